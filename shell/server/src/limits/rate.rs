//! One bounded rate limiter: governor's cell-rate arithmetic over a store with a hard cap.
//!
//! A key is reduced to 64 bits under a secret hash, so a key costs the same whatever a client wrote into it. When
//! the store is full it is swept, at most once a second; keys that still find no room share one overflow cell,
//! which is strict towards newcomers and never forgets those who are counted already.
//!
//! Invariant: at most `max_keys` keys, at most [`MAX_KEYS`] of them, which is below 16 MiB.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::Quota;
use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use thiserror::Error;

/// The most keys any limiter may hold: 2^18 entries of 17 bytes in a table that is never more than doubled, ≤ 9 MiB.
pub const MAX_KEYS: usize = 1 << 18;
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// So many at once, then one per `every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateQuota {
    /// How many may come at once.
    pub burst: NonZeroU32,
    /// The time after which one more may come; at least a nanosecond.
    pub every: Duration,
}

/// Too often. The caller may come again after so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many requests; again in {seconds} s")]
pub struct RetryAfter {
    /// For the `Retry-After` header (RFC 9110 §10.2.3); at least 1.
    pub seconds: u64,
}

/// A limiter over any kind of key.
#[derive(Debug)]
pub struct RateLimiter<C: Clock = DefaultClock> {
    cells: governor::RateLimiter<u64, Cells, C, NoOpMiddleware<C::Instant>>,
    store: Cells,
    hasher: RandomState,
    swept: Mutex<Option<C::Instant>>,
}

impl RateLimiter {
    /// A limiter on the system's monotonic clock, for at most `max_keys` keys.
    pub fn new(quota: RateQuota, max_keys: usize) -> Self {
        Self::with_clock(quota, max_keys, DefaultClock::default())
    }
}

impl<C: Clock> RateLimiter<C> {
    /// The same on a given clock.
    pub fn with_clock(quota: RateQuota, max_keys: usize, clock: C) -> Self {
        let every = quota.every.max(Duration::from_nanos(1));
        let quota = Quota::with_period(every).expect("the period is not zero").allow_burst(quota.burst);
        let store = Cells { max_keys: max_keys.clamp(1, MAX_KEYS), state: Arc::default() };
        let cells = governor::RateLimiter::new(quota, store.clone(), clock);
        Self { cells, store, hasher: RandomState::new(), swept: Mutex::new(None) }
    }

    /// Counts one use by `key`, or says when the next one is possible. A refused use is not counted.
    pub fn check<K: Hash + ?Sized>(&self, key: &K) -> Result<(), RetryAfter> {
        let key = self.hasher.hash_one(key);
        if !self.store.has_room_for(key) {
            self.sweep();
        }
        self.cells.check_key(&key).map_err(|until| {
            let wait = until.wait_time_from(self.cells.clock().now());
            // Rounded up: a caller that comes when told must not come too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            RetryAfter { seconds: seconds.max(1) }
        })
    }

    /// How many keys are held.
    pub fn keys(&self) -> usize {
        self.store.len()
    }

    /// Forgets the keys that are as good as new.
    fn sweep(&self) {
        let now = self.cells.clock().now();
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            // A flood of new keys must not make every request walk the store.
            if swept.is_some_and(|last| now.duration_since(last) < Nanos::from(SWEEP_PAUSE)) {
                return;
            }
            *swept = Some(now);
        }
        self.cells.retain_recent();
    }
}

/// The cells by key, and the one shared by keys that found no room.
#[derive(Debug, Clone)]
struct Cells {
    max_keys: usize,
    // Shared: governor keeps one handle, the limiter another, because governor does not let its store be asked.
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    by_key: HashMap<u64, Nanos>,
    overflow: Option<Nanos>,
}

impl Cells {
    fn has_room_for(&self, key: u64) -> bool {
        let state = self.lock();
        state.by_key.len() < self.max_keys || state.by_key.contains_key(&key)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A cell is replaced in one step, so whatever a panicking thread left is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Cells {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut state = self.lock();
        let known = state.by_key.get(key).copied();
        if known.is_none() && state.by_key.len() >= self.max_keys {
            let (outcome, cell) = measure(state.overflow)?;
            state.overflow = Some(cell);
            return Ok(outcome);
        }
        let (outcome, cell) = measure(known)?;
        state.by_key.insert(*key, cell);
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<u64> for Cells {
    fn retain_recent(&self, drop_below: Nanos) {
        self.lock().by_key.retain(|_, cell| *cell > drop_below);
    }

    fn len(&self) -> usize {
        self.lock().by_key.len()
    }

    fn is_empty(&self) -> bool {
        self.lock().by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limiter(
        burst: u32,
        every: u64,
        max_keys: usize,
    ) -> (RateLimiter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let burst = NonZeroU32::new(burst).expect("not zero");
        let quota = RateQuota { burst, every: Duration::from_secs(every) };
        (RateLimiter::with_clock(quota, max_keys, clock.clone()), clock)
    }

    #[test]
    fn a_burst_is_let_through_and_then_one_for_every_period() {
        let (limiter, clock) = limiter(3, 7, 10);
        for _ in 0..3 {
            assert_eq!(limiter.check("a"), Ok(()));
        }
        assert_eq!(limiter.check("a"), Err(RetryAfter { seconds: 7 }));
        assert_eq!(limiter.check("b"), Ok(()), "another key is not touched");
        clock.advance(Duration::from_millis(6_500));
        assert_eq!(limiter.check("a"), Err(RetryAfter { seconds: 1 }), "rounded up");
        clock.advance(Duration::from_millis(500));
        assert_eq!(limiter.check("a"), Ok(()));
        assert_eq!(limiter.check("a"), Err(RetryAfter { seconds: 7 }));
    }

    #[test]
    fn q19_a_million_keys_leave_no_more_than_the_cap_and_the_rest_share_one_cell() {
        let (limiter, _clock) = limiter(1, 60, 1_000);
        let let_in = (0..1_000_000_u32).filter(|key| limiter.check(key).is_ok()).count();
        assert_eq!(limiter.keys(), 1_000);
        assert_eq!(let_in, 1_001, "the cap, and one through the overflow");
    }

    #[test]
    fn q19_no_limiter_holds_more_than_the_largest_cap() {
        let (limiter, _clock) = limiter(1, 60, usize::MAX);
        for key in 0..MAX_KEYS + 10 {
            limiter.check(&key).ok();
        }
        assert_eq!(limiter.keys(), MAX_KEYS);
        let table = limiter.store.lock().by_key.capacity() * (size_of::<(u64, Nanos)>() + 1) * 8 / 7;
        assert!(table <= 16 << 20, "{table} bytes");
    }

    #[test]
    fn a_known_key_keeps_its_own_cell_when_the_store_is_full() {
        let (limiter, _clock) = limiter(2, 60, 1);
        assert_eq!(limiter.check("known"), Ok(()));
        for stranger in 0..10 {
            limiter.check(&stranger).ok();
        }
        assert_eq!(limiter.check("known"), Ok(()));
        assert!(limiter.check("known").is_err());
    }

    #[test]
    fn keys_that_are_as_good_as_new_make_room() {
        let (limiter, clock) = limiter(1, 60, 2);
        for key in ["a", "b"] {
            assert_eq!(limiter.check(key), Ok(()));
        }
        assert_eq!(limiter.check("c"), Ok(()), "through the overflow");
        assert!(limiter.check("d").is_err(), "which is spent");
        clock.advance(Duration::from_secs(121));
        assert_eq!(limiter.check("d"), Ok(()));
        assert_eq!(limiter.keys(), 1);
    }
}
