//! Waiting for what other processes do: the one place that looks again and again, always with an end.

use std::time::{Duration, Instant};

/// Long enough for anything that happens at all, also on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(20);

/// Measures how long something takes.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "real processes take real time")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Looks until there is something to see.
pub(crate) fn eventually<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    within(limit, look).unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

/// Looks until there is something to see, or the time is over.
#[expect(
    clippy::disallowed_methods,
    reason = "another process is waited for, and nothing tells when it is done"
)]
pub(crate) fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let watch = Stopwatch::start();
    loop {
        let seen = look();
        if seen.is_some() || watch.elapsed() >= limit {
            return seen;
        }
        std::thread::sleep(PAUSE);
    }
}
