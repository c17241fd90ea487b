//! Nonces for signed requests: given out without keeping anything, good for a minute, used once.
//!
//! A nonce carries its place in an order and a MAC. When a machine uses one, its place is written down durably, and
//! from then on only later ones are good for its key (`core/lifecycle/src/nonce.rs`): a replay is refused after a restart, on
//! another replica and however many nonces were given out meanwhile, at the cost of one row per machine.

use data_encoding::BASE64URL_NOPAD;
use muster_lifecycle::nonce::Moment;
use muster_model::{Pepper, SignedDuration, Timestamp};
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

    /// A nonce given out at this time. The random number tells apart those of one millisecond.
    pub fn issue(&self, now: Timestamp, random: u32) -> String {
        let place = Self::first_of(now) | u64::from(random) & ((1 << RANDOM_BITS) - 1);
        let mut bytes = place.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.mac(place)[..MAC]);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// The place of a nonce, if it is one of ours and no older than a minute.
    pub fn place(&self, nonce: &str, now: Timestamp) -> Option<u64> {
        let bytes = BASE64URL_NOPAD.decode(nonce.as_bytes()).ok()?;
        let (place, mac) = bytes.split_at_checked(8)?;
        let place = u64::from_be_bytes(place.try_into().ok()?);
        let issued = Timestamp::from_millisecond(i64::try_from(place >> RANDOM_BITS).ok()?).ok()?;
        let age = now.duration_since(issued);
        // A replica whose clock is ahead may have given it out.
        let is_fresh = age <= LIFE && age >= -LIFE;
        (bool::from(mac.ct_eq(&self.mac(place)[..MAC])) && is_fresh).then_some(place)
    }

    /// No nonce that was given out before this time has this place or a later one.
    pub fn first_of(time: Timestamp) -> u64 {
        u64::try_from(time.as_millisecond()).unwrap_or(0) << RANDOM_BITS
    }

    /// A moment, by a clock that says this.
    pub fn moment(now: Timestamp) -> Moment {
        let millis = |time: i64| u64::try_from(time).unwrap_or(0);
        let horizon = millis((now + LIFE).as_millisecond()) + 1;
        Moment { horizon: horizon << RANDOM_BITS, life: millis(LIFE.as_millis() as i64) << RANDOM_BITS }
    }

    fn mac(&self, place: u64) -> [u8; 32] {
        self.pepper.mac(&[b"nonce", &place.to_be_bytes()]).0
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
        let nonce = nonces().issue(at(1000), 7);
        assert!(nonces().place(&nonce, at(1060)).is_some());
        assert!(nonces().place(&nonce, at(1062)).is_none());
    }

    #[test]
    fn later_nonces_have_later_places() {
        let place = |second, random| nonces().place(&nonces().issue(at(second), random), at(second));
        assert!(place(1000, u32::MAX) < place(1001, 0));
    }

    #[test]
    fn a_forged_nonce_is_none_of_ours() {
        let foreign = Nonces::new(Pepper::new([2; 32])).issue(at(1000), 7);
        for forged in [foreign.as_str(), "", "AAAA", "%%%"] {
            assert!(nonces().place(forged, at(1000)).is_none(), "{forged}");
        }
    }
}
