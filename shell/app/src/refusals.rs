//! Refusals in the audit log, coalesced when they flood.
//!
//! A refusal of an operator is always an entry of its own, unless its token is confined: those are handed to programs. Of all others, the first of a code
//! from a network is written before its answer leaves; those that follow within the
//! window are counted and written as one entry. What is counted is bounded: past the bound all sources share one line.
//! Whether a write happens depends on code and network alone, never on the hidden cause, so that its time tells nothing.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use muster_lifecycle::alarm;
use muster_model::{Actor, Entry, Object, Reason, Refusal, SignedDuration, Timestamp, network};
use muster_store::Store;

use crate::App;
use crate::caller::Origin;
use crate::mode::Mode;
use crate::ports::draw;

/// How many lines are counted at once.
const LINES: usize = 256;
/// So many of one line between two writes, a minute apart, are a storm: ten a second.
const STORM: u64 = 600;
/// How often a storm that lasts is told as an alarm.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// Counts refusals.
#[derive(Default)]
pub(crate) struct RefusalLog {
    lines: Mutex<HashMap<Line, Counted>>,
    /// When each storm was told.
    storms: Mutex<HashMap<Line, Timestamp>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Line {
    code: &'static str,
    action: &'static str,
    source: Option<IpAddr>,
}

#[derive(Default)]
struct Counted {
    causes: BTreeMap<&'static str, u64>,
}

impl RefusalLog {
    /// Counts a refusal. Tells whether it is the first of its line.
    fn count(&self, line: Line, cause: &'static str) -> bool {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = if lines.len() >= LINES && !lines.contains_key(&line) {
            Line { source: None, ..line }
        } else {
            line
        };
        let is_first = !lines.contains_key(&line);
        let counted = lines.entry(line).or_default();
        if !is_first {
            *counted.causes.entry(cause).or_default() += 1;
        }
        is_first
    }

    /// Takes what was counted, in the order of the lines, and forgets those on which nothing happened since the last
    /// time.
    fn take(&self) -> Vec<(Line, BTreeMap<&'static str, u64>)> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|_, counted| !counted.causes.is_empty());
        let taken: BTreeMap<_, _> =
            lines.iter_mut().map(|(line, counted)| (*line, std::mem::take(&mut counted.causes))).collect();
        taken.into_iter().collect()
    }
}

impl RefusalLog {
    /// Whether so many of a line are a storm that was not told lately.
    fn is_news(&self, line: Line, times: u64, now: Timestamp) -> bool {
        let mut storms = self.storms.lock().unwrap_or_else(PoisonError::into_inner);
        storms.retain(|_, told| now.duration_since(*told).abs() < AGAIN);
        // There are no more lines than are counted, and an hour's worth of those.
        times >= STORM && storms.len() < LINES && storms.insert(line, now).is_none()
    }
}

impl<S: Store> App<S> {
    /// Tells of a refusal in the audit log.
    pub async fn tell_refusal(&self, origin: &Origin, action: &'static str, refusal: &Refusal) {
        count(refusal);
        self.count_refused(self.tenant_of(&origin.caller));
        let line = Line { code: refusal.code(), action, source: origin.source.map(network) };
        if !origin.caller.is_person() && !self.inner.refusals.count(line, cause_of(refusal)) {
            return;
        }
        if self.mode() != Mode::Normal {
            // An answer must not wait for a store that is not there, and an older database is not added to: it is told
            // with those that follow.
            self.inner.refusals.count(line, cause_of(refusal));
            return;
        }
        let entry = Entry {
            actor: origin.caller.actor(),
            source: origin.source,
            detail: refused_because(refusal),
            ..self.refusal_entry(line, self.now())
        };
        if let Err(error) = self.inner.store.tell(vec![entry]).await {
            tracing::error!(%error, "a refusal could not be written to the audit log");
        }
    }

    /// Writes what was counted since the last time. Called every few seconds, and at the end.
    pub async fn flush_refusals(&self) {
        if self.mode() == Mode::Restored {
            return;
        }
        let now = self.now();
        let tell = |(line, causes): (Line, BTreeMap<&'static str, u64>)| {
            let times = causes.values().sum::<u64>();
            let mut entry = self.refusal_entry(line, now);
            entry.detail.push(("repeated", times.to_string()));
            entry.detail.extend(causes.into_iter().map(|(cause, count)| (cause, count.to_string())));
            let is_news = self.inner.refusals.is_news(line, times, now);
            [Some(entry), is_news.then(|| self.storm_entry(line, times, now))]
        };
        let entries: Vec<Entry> = self.inner.refusals.take().into_iter().flat_map(tell).flatten().collect();
        if entries.is_empty() {
            return;
        }
        if let Err(error) = self.inner.store.tell(entries).await {
            tracing::error!(%error, "refusals could not be written to the audit log");
        }
    }

    /// What somebody should look at: so many refusals of one kind from one network within a minute.
    fn storm_entry(&self, line: Line, times: u64, at: Timestamp) -> Entry {
        let mut detail = vec![
            ("cause", line.code.to_owned()),
            ("refused", line.action.to_owned()),
            ("times", times.to_string()),
        ];
        detail.extend(line.source.map(|source| ("from", source.to_string())));
        let told = self.refusal_entry(line, at);
        Entry { actor: Actor::System, action: "refusals.storm", reason: Reason(alarm::ALARM), detail, ..told }
    }

    fn refusal_entry(&self, line: Line, at: Timestamp) -> Entry {
        Entry {
            id: draw!(&*self.inner.ports),
            tenant: self.inner.tenant,
            at,
            actor: Actor::Anonymous,
            action: line.action,
            object: Object::Deployment,
            reason: Reason(line.code),
            source: line.source,
            detail: vec![("outcome", "refused".to_owned())],
        }
    }
}

/// Counts a refusal in the metrics.
pub(crate) fn count(refusal: &Refusal) {
    metrics::counter!("muster_refusals_total", "code" => refusal.code()).increment(1);
}

/// What an audit entry says of a refusal.
pub(crate) fn refused_because(refusal: &Refusal) -> Vec<(&'static str, String)> {
    vec![("outcome", "refused".to_owned()), ("cause", cause_of(refusal).to_owned())]
}

/// The hidden cause of a refusal, for the audit log alone.
fn cause_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NotEntitled { cause } | Refusal::NotAuthenticated { cause } => cause,
        other => other.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_19_addresses_of_one_network_share_a_line() {
        let network = |text: &str| network(text.parse().expect("an address")).to_string();
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
    }

    fn line(n: u32) -> Line {
        Line { code: "not_entitled", action: "machine.enroll", source: Some(IpAddr::from(n.to_be_bytes())) }
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_as_one() {
        let log = RefusalLog::default();
        let firsts: Vec<bool> = (0..5).map(|_| log.count(line(1), "secret_wrong")).collect();
        assert_eq!(firsts, [true, false, false, false, false]);
        let taken = log.take();
        assert_eq!(taken[0].1, BTreeMap::from([("secret_wrong", 4)]));
        assert!(log.take().is_empty(), "a quiet line is forgotten");
        assert!(log.count(line(1), "secret_wrong"), "and told at once when it speaks again");
    }

    #[test]
    fn q_09_whether_a_refusal_is_written_at_once_does_not_depend_on_its_cause() {
        let log = RefusalLog::default();
        assert!(log.count(line(1), "secret_wrong"));
        assert!(!log.count(line(1), "secret_unknown"));
    }

    #[test]
    fn a_flood_from_everywhere_stays_bounded() {
        let log = RefusalLog::default();
        (0..100_000).for_each(|n| {
            log.count(line(n), "secret_wrong");
        });
        assert!(log.lines.lock().expect("no panic").len() <= LINES + 1);
        let told: u64 = log.take().iter().flat_map(|(_, causes)| causes.values()).sum();
        assert_eq!(told, 100_000 - LINES as u64 - 1, "all but the first of each line are counted");
    }
}
