//! Nonces for signed requests: given out without keeping anything, good for a minute, used once.
//!
//! A nonce carries its place in an order and a MAC. When a machine uses one, its place is written down durably, and
//! from then on only later ones are good for its key (`core/lifecycle/src/nonce.rs`): a replay is refused after a restart, on
//! another replica and however many nonces were given out meanwhile, at the cost of one row per machine.
//!
//! The MAC covers the incarnation under which a nonce was given out: a database that was put back has forgotten which ones
//! were used before, so that none of those is good any more once an operator has accepted it (0040).

use data_encoding::BASE64URL_NOPAD;
use muster_lifecycle::nonce::Moment;
use muster_model::{IncarnationId, Pepper, SignedDuration, Timestamp};
use subtle::ConstantTimeEq;

const LIFE: SignedDuration = SignedDuration::from_secs(60);
const RANDOM_BITS: u32 = 20;
const MAC: usize = 16;

/// Gives out and recognises nonces.
pub struct Nonces {
    pepper: Pepper,
}

impl Nonces {
    /// Nonces under this pepper.
    pub fn new(pepper: Pepper) -> Self {
        Self { pepper }
    }

    /// A nonce given out at this time, under this incarnation. The random number tells apart those of one millisecond.
    pub fn issue(&self, now: Timestamp, random: u32, under: Option<IncarnationId>) -> String {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let place = millis << RANDOM_BITS | u64::from(random) & ((1 << RANDOM_BITS) - 1);
        let mut bytes = place.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.mac(place, under)[..MAC]);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// The place of a nonce, if it is one of ours under this incarnation and no older than a minute.
    pub fn place(&self, nonce: &str, now: Timestamp, under: Option<IncarnationId>) -> Option<u64> {
        let bytes = BASE64URL_NOPAD.decode(nonce.as_bytes()).ok()?;
        let (place, mac) = bytes.split_at_checked(8)?;
        let place = u64::from_be_bytes(place.try_into().ok()?);
        let issued = Timestamp::from_millisecond(i64::try_from(place >> RANDOM_BITS).ok()?).ok()?;
        let age = now.duration_since(issued);
        // A replica whose clock is ahead may have given it out.
        let is_fresh = age <= LIFE && age >= -LIFE;
        (bool::from(mac.ct_eq(&self.mac(place, under)[..MAC])) && is_fresh).then_some(place)
    }

    /// A moment, by a clock that says this.
    pub fn moment(now: Timestamp) -> Moment {
        let millis = |time: i64| u64::try_from(time).unwrap_or(0);
        let horizon = millis((now + LIFE).as_millisecond()) + 1;
        Moment { horizon: horizon << RANDOM_BITS, life: millis(LIFE.as_millis() as i64) << RANDOM_BITS }
    }

    fn mac(&self, place: u64, under: Option<IncarnationId>) -> [u8; 32] {
        let under = under.as_ref().map_or(&[][..], |incarnation| incarnation.as_bytes());
        self.pepper.mac(&[b"nonce", &place.to_be_bytes(), under]).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces() -> Nonces {
        Nonces::new(Pepper::new([1; 32]))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_nonce_is_good_for_a_minute() {
        let nonce = nonces().issue(at(1000), 7, None);
        assert!(nonces().place(&nonce, at(1060), None).is_some());
        assert!(nonces().place(&nonce, at(1062), None).is_none());
    }

    #[test]
    fn a_nonce_of_another_incarnation_is_none() {
        let [one, two] = [1, 2].map(|n| Some(IncarnationId::new(n, [1; 10])));
        let nonce = nonces().issue(at(1000), 7, one);
        assert!(nonces().place(&nonce, at(1000), one).is_some());
        for other in [two, None] {
            assert!(nonces().place(&nonce, at(1000), other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn later_nonces_have_later_places() {
        let place =
            |second, random| nonces().place(&nonces().issue(at(second), random, None), at(second), None);
        assert!(place(1000, u32::MAX) < place(1001, 0));
    }

    #[test]
    fn a_forged_nonce_is_none_of_ours() {
        let foreign = Nonces::new(Pepper::new([2; 32])).issue(at(1000), 7, None);
        for forged in [foreign.as_str(), "", "AAAA", "%%%"] {
            assert!(nonces().place(forged, at(1000), None).is_none(), "{forged}");
        }
    }
}
