//! How long to wait: full-jitter back-off, `Retry-After`, and the point at which a certificate is renewed.
//!
//! Numbers are drawn outside and enter as values, so that every delay can be tested.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// No back-off is longer.
pub const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// No `Retry-After` is believed beyond this: an odd value must not put an agent to sleep for a year.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// Long waits are cut into pieces of this length, so that a machine that slept or whose clock was set notices.
pub(crate) const MAX_NAP: Duration = Duration::from_secs(600);
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(50);
/// A renewal that is overdue at start is spread over this long, so that a fleet that was switched on does not knock
/// at once.
const OVERDUE_SPREAD: Duration = Duration::from_secs(30);

/// A rotation that is overdue at start is spread over this long: it waits well, and after an upgrade a whole fleet may be due.
const OVERDUE_KEY_SPREAD: Duration = Duration::from_secs(3600);

/// A number drawn uniformly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw(pub u32);

/// What a step needs from the world around it.
#[derive(Debug, Clone, Copy)]
pub struct Fresh {
    /// The hour, corrected by what is known of the server's clock.
    pub now: Timestamp,
    /// For delays after failures.
    pub jitter: Draw,
    /// For the point of renewal.
    pub spread: Draw,
}

/// The life of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Its start.
    pub not_before: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
}

impl Draw {
    /// The number as a fraction, 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(u32::MAX)
    }
}

impl Life {
    /// Whether it is over. `expired` is not `revoked`: the key may still ask to renew.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.not_after
    }

    /// A point between 50 % and 80 % of it.
    pub fn renewal_point(&self, draw: Draw) -> Timestamp {
        let length = self.not_after.duration_since(self.not_before).max(SignedDuration::ZERO);
        let into = length.mul_f64(0.5 + 0.3 * draw.fraction());
        self.not_before.checked_add(into).unwrap_or(self.not_after)
    }

    /// The first point of renewal after now: as drawn, or soon where that has passed.
    pub(crate) fn plan(&self, fresh: &Fresh) -> Timestamp {
        let at = self.renewal_point(fresh.spread);
        if at > fresh.now || self.is_over(fresh.now) {
            return at;
        }
        let soon = OVERDUE_SPREAD.mul_f64(fresh.spread.fraction());
        fresh.now.checked_add(soon).map_or(at, |soon| soon.min(self.not_after))
    }
}

/// When a key is rotated: between 50 % and 80 % of what it may live, as a certificate is renewed, so that the rest
/// is left for outages before anybody calls it overdue. One that is past that is rotated within
/// an hour, or a fifth of that life if that is less.
pub(crate) fn rotation_point(made_at: Timestamp, after: SignedDuration, fresh: &Fresh) -> Timestamp {
    let not_after = made_at.checked_add(after).unwrap_or(Timestamp::MAX);
    let at = Life { not_before: made_at, not_after }.renewal_point(fresh.spread);
    if at > fresh.now {
        return at;
    }
    let window = Duration::try_from(after / 5).unwrap_or_default().min(OVERDUE_KEY_SPREAD);
    let soon = window.mul_f64(fresh.spread.fraction());
    fresh.now.checked_add(soon).unwrap_or(at)
}

/// How long to wait after a failure: what the server asked for ±20 %, else full jitter under a ceiling that doubles
/// with every attempt from 1 s to 5 min.
pub fn backoff(attempt: u32, draw: Draw, retry_after: Option<u32>) -> Duration {
    if let Some(seconds) = retry_after.filter(|seconds| *seconds > 0) {
        let asked = Duration::from_secs(u64::from(seconds)).min(MAX_RETRY_AFTER);
        return asked.mul_f64(0.8 + 0.4 * draw.fraction());
    }
    let ceiling = FIRST_BACKOFF.saturating_mul(1 << attempt.min(16)).min(MAX_BACKOFF);
    ceiling.mul_f64(draw.fraction()).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn life(hours: i64) -> Life {
        let not_before = Timestamp::UNIX_EPOCH;
        Life { not_before, not_after: not_before + SignedDuration::from_hours(hours) }
    }

    #[test]
    fn q_17_renewals_spread_evenly_over_50_to_80_percent_of_life() {
        // A multiplicative walk stands for the drawn numbers; chi-squared over 30 bins, 29 degrees, p > 0.01.
        let mut bins = [0u32; 30];
        let mut x: u64 = 0x9e37_79b9_7f4a_7c15;
        const N: u32 = 30_000;
        for _ in 0..N {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let at = life(24).renewal_point(Draw((x >> 32) as u32));
            let share = at.as_second() as f64 / (24.0 * 3600.0);
            assert!((0.499..=0.801).contains(&share), "{share}");
            bins[(((share - 0.5) / 0.3 * 30.0).max(0.0) as usize).min(29)] += 1;
        }
        let expected = f64::from(N) / 30.0;
        let chi: f64 = bins.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        assert!(chi < 49.6, "chi-squared {chi}");
    }

    #[test]
    fn q_14_retry_after_is_honoured_within_a_fifth_and_never_believed_beyond_an_hour() {
        let secs = |draw, after| backoff(0, Draw(draw), Some(after)).as_secs_f64();
        assert!((secs(0, 100) - 80.0).abs() < 0.01);
        assert!((secs(u32::MAX, 100) - 120.0).abs() < 0.01);
        assert!(secs(u32::MAX, u32::MAX) <= 1.2 * MAX_RETRY_AFTER.as_secs_f64() + 0.01);
    }

    #[test]
    fn ceilings_double_from_one_second_to_five_minutes() {
        let top = |attempt| backoff(attempt, Draw(u32::MAX), None).as_secs();
        assert_eq!([0, 1, 2, 8, 9, 40, u32::MAX].map(top), [1, 2, 4, 256, 300, 300, 300]);
    }

    #[test]
    fn an_overdue_renewal_comes_soon_and_before_the_end() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(23);
        let fresh = Fresh { now, jitter: Draw(0), spread: Draw(u32::MAX / 2) };
        let at = life(24).plan(&fresh);
        assert!(at >= now && at <= now + SignedDuration::from_secs(30), "{at}");
    }

    proptest! {
        #[test]
        fn back_off_is_bounded(attempt: u32, draw: u32, after: Option<u32>) {
            let wait = backoff(attempt, Draw(draw), after);
            prop_assert!(wait >= SHORTEST);
            prop_assert!(wait <= MAX_RETRY_AFTER.mul_f64(1.21).max(MAX_BACKOFF));
        }

        #[test]
        fn renewal_lies_within_life_whatever_the_life(start in -1_000_000_000i64..4_000_000_000, len in -10i64..100_000_000, draw: u32) {
            let not_before = Timestamp::from_second(start).expect("in range");
            let life = Life { not_before, not_after: not_before + SignedDuration::from_secs(len) };
            let at = life.renewal_point(Draw(draw));
            prop_assert!(at >= life.not_before);
            prop_assert!(len <= 0 || at < life.not_after);
        }
    }
}
