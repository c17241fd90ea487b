//! How long somebody waits who failed to show who they are, so that guessing is slow and nobody can shut another out.
//!
//! What is counted always has in it where it came from, or that something was proved before: never a name alone, which
//! anybody may type. So whoever fails slows down itself and what shares its address, and nobody else. The delays grow, are
//! bounded, and are no lock: when one is over, the next try counts.

use muster_model::{SignedDuration, Timestamp};

/// How many counters are kept: what is beyond the newest is forgotten when the database is pruned.
pub const MOST: u32 = 100_000;
/// After so long without a failure it is as if there had been none.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// The first delay, in seconds. Each further failure doubles it.
const FIRST_DELAY: i64 = 5;
/// The longest, in seconds.
const LONGEST: i64 = 15 * 60;

/// How often something failed, and when last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// How often.
    pub count: u32,
    /// When last.
    pub at: Timestamp,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// One name, however it is written, tried from one source.
    Name,
    /// Whatever is tried from one source.
    Source,
    /// Whatever is tried from the server's own host, which may be a proxy that nobody configured: then all the world comes
    /// from there. So it slows down only names that have failed there already, and never one that nobody touched.
    Host,
    /// What somebody tries who has shown already who they are.
    Account,
}

/// A counter as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// What it counts.
    pub counted: Counted,
    /// MAC over that.
    pub key: [u8; 32],
    /// What was counted, if anything.
    pub failures: Option<Failures>,
}

impl Counted {
    /// How many failures cost nothing: people mistype, and several share an address.
    fn free(self) -> u32 {
        match self {
            Self::Name | Self::Account => 5,
            Self::Source => 30,
            Self::Host => 300,
        }
    }
}

impl Counter {
    /// How many seconds are still to be waited before the next try.
    pub fn wait(&self, now: Timestamp) -> Option<u32> {
        let failures = self.failures.filter(|known| is_remembered(known, now))?;
        let beyond = failures.count.checked_sub(self.counted.free())?;
        let delay = FIRST_DELAY.checked_shl(beyond.min(16)).map_or(LONGEST, |delay| delay.min(LONGEST));
        // A clock that was put back makes nobody wait longer than that.
        let past = now.duration_since(failures.at).as_secs().max(0);
        u32::try_from(delay - past).ok().filter(|left| *left > 0)
    }

    /// The counter after one more failure.
    pub fn failed(&self, now: Timestamp) -> Failures {
        let known = self.failures.filter(|known| is_remembered(known, now));
        Failures { count: known.map_or(0, |known| known.count).saturating_add(1), at: now }
    }
}

/// The longest wait of any of these.
pub fn wait(counters: &[Counter], now: Timestamp) -> Option<u32> {
    let failed = |failures: Failures| failures.count > 0 && is_remembered(&failures, now);
    let is_touched =
        |counter: &Counter| counter.counted == Counted::Name && counter.failures.is_some_and(failed);
    let is_touched = counters.iter().any(is_touched);
    let counts = |counter: &&Counter| is_touched || counter.counted != Counted::Host;
    counters.iter().filter(counts).filter_map(|counter| counter.wait(now)).max()
}

fn is_remembered(failures: &Failures, now: Timestamp) -> bool {
    now.duration_since(failures.at) < FORGOTTEN_AFTER
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + second).expect("a time")
    }

    fn counter(counted: Counted, count: u32, second: i64) -> Counter {
        Counter { counted, key: [0; 32], failures: Some(Failures { count, at: at(second) }) }
    }

    #[test]
    fn q_10_the_delay_grows_is_bounded_and_ends() {
        let waits = |count| counter(Counted::Name, count, 0).wait(at(0));
        assert_eq!((1..=4).map(waits).collect::<Vec<_>>(), [None; 4]);
        assert_eq!([5, 6, 7, 8, 13].map(waits), [5, 10, 20, 40, 900].map(Some));
        assert_eq!(waits(u32::MAX), Some(900));
        let last = counter(Counted::Name, u32::MAX, 0);
        assert_eq!((last.wait(at(899)), last.wait(at(900))), (Some(1), None));
        assert_eq!(counter(Counted::Source, 29, 0).wait(at(0)), None);
        assert_eq!(counter(Counted::Source, 30, 0).wait(at(0)), Some(5));
        assert_eq!(counter(Counted::Host, 299, 0).wait(at(0)), None);
        assert_eq!(counter(Counted::Host, 300, 0).wait(at(0)), Some(5));
    }

    #[test]
    fn q_10_a_busy_host_slows_down_names_that_failed_there_and_no_other() {
        let busy = counter(Counted::Host, 310, 0);
        let with = |name| wait(&[name, busy], at(0));
        assert_eq!(with(counter(Counted::Name, 1, 0)), Some(900));
        assert_eq!(with(counter(Counted::Name, 0, 0)), None, "who got in begins anew");
        assert_eq!(with(Counter { failures: None, ..counter(Counted::Name, 0, 0) }), None);
        assert_eq!(with(counter(Counted::Name, 4, -86_400)), None, "a day ago");
    }

    #[test]
    fn a_day_without_a_failure_is_a_new_beginning() {
        let old = counter(Counted::Account, 40, 0);
        assert_eq!(old.failed(at(86_399)).count, 41);
        assert_eq!(old.failed(at(86_400)), Failures { count: 1, at: at(86_400) });
        let never = Counter { failures: None, ..old };
        assert_eq!((never.wait(at(0)), never.failed(at(0)).count), (None, 1));
    }

    proptest! {
        /// Whatever the clock does, nobody waits longer than the longest, and never for good.
        #[test]
        fn q_10_no_wait_is_longer_than_the_longest(
            count in any::<u32>(), now in -1_000_000_i64..1_000_000, kind in 0..4_usize,
        ) {
            let counted = [Counted::Name, Counted::Source, Counted::Host, Counted::Account][kind];
            let waits = counter(counted, count, 0).wait(at(now));
            prop_assert!(waits.is_none_or(|wait| (1..=900).contains(&wait)));
            let later = counter(counted, count, 0).wait(at(now.max(0) + 900));
            prop_assert_eq!(later, None);
        }

        /// So many tries as somebody makes in a day are few, whenever they make them.
        #[test]
        fn q_10_whoever_keeps_guessing_gets_few_tries_a_day(step in 1_i64..600) {
            let mut own = Counter { counted: Counted::Name, key: [0; 32], failures: None };
            let mut tries = 0;
            for second in (0..86_400).step_by(usize::try_from(step).expect("small")) {
                if own.wait(at(second)).is_none() {
                    own.failures = Some(own.failed(at(second)));
                    tries += 1;
                }
            }
            prop_assert!(tries <= 5 + 8 + 96, "{tries}");
        }
    }
}
