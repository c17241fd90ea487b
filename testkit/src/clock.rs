//! A clock that stands still until it is told to move.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use muster_model::{SignedDuration, Timestamp};

/// A clock that stands still until it is told to move. Clones show the same time.
#[derive(Debug, Clone)]
pub struct FixedClock {
    millis: Arc<AtomicI64>,
}

impl FixedClock {
    /// A clock that shows this time, cut to the millisecond.
    pub fn new(now: Timestamp) -> Self {
        Self { millis: Arc::new(AtomicI64::new(now.as_millisecond())) }
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        let millis = self.millis.load(Ordering::SeqCst);
        Timestamp::from_millisecond(millis).expect("it came from a time")
    }

    /// Moves on, or back where the duration is negative.
    pub fn advance(&self, by: SignedDuration) {
        self.set(self.now() + by);
    }

    /// Jumps.
    pub fn set(&self, now: Timestamp) {
        self.millis.store(now.as_millisecond(), Ordering::SeqCst);
    }
}

impl Default for FixedClock {
    /// Noon of 1 November 2026.
    fn default() -> Self {
        Self::new(crate::at(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_show_the_same_time_and_it_moves_both_ways() {
        let clock = FixedClock::default();
        let other = clock.clone();
        clock.advance(SignedDuration::from_secs(90));
        assert_eq!(other.now(), crate::at(90));
        other.advance(SignedDuration::from_secs(-100));
        assert_eq!(clock.now(), crate::at(-10));
    }
}
