//! Which connections are let in: so many in total, so many per source. Counting happens at accept, before a byte
//! is read, and ends when the socket closes, also after an upgrade. Never waits: a connection too many is closed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::settings::ServeSettings;
use crate::limits::Bucket;

/// The open connections of one listener.
#[derive(Debug, Clone)]
pub(super) struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: usize,
    per_source: usize,
    per_loopback: usize,
    open: Mutex<Open>,
    emptied: Notify,
    gauge: metrics::Gauge,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    // Invariant: bounded by `total`, because a source leaves with its last connection.
    by_source: HashMap<Bucket, usize>,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Total,
    Source,
}

/// A place held by one open connection.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Admission,
    source: Option<Bucket>,
}

impl Admission {
    pub(super) fn new(settings: &ServeSettings, gauge: metrics::Gauge) -> Self {
        Self(Arc::new(Inner {
            total: settings.max_connections,
            per_source: settings.max_per_source,
            per_loopback: settings.max_per_loopback,
            open: Mutex::default(),
            emptied: Notify::new(),
            gauge,
        }))
    }

    /// A place for a connection from `address`; a Unix peer has none and counts in the total only.
    pub(super) fn admit(&self, address: Option<IpAddr>) -> Result<Permit, Refused> {
        let source = address.map(Bucket::of);
        let mut open = self.lock();
        if open.total >= self.0.total {
            return Err(Refused::Total);
        }
        if let (Some(source), Some(address)) = (source, address) {
            let count = open.by_source.get(&source).copied().unwrap_or(0);
            if count >= self.bound(address) {
                return Err(Refused::Source);
            }
            open.by_source.insert(source, count + 1);
        }
        open.total += 1;
        self.0.gauge.increment(1);
        Ok(Permit { admission: self.clone(), source })
    }

    /// How many are open now.
    pub(super) fn open(&self) -> usize {
        self.lock().total
    }

    /// Ends when no connection is open.
    pub(super) async fn emptied(&self) {
        loop {
            let mut emptied = pin!(self.0.emptied.notified());
            // Listen before looking, or the last close could come between the two.
            emptied.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn bound(&self, address: IpAddr) -> usize {
        if address.to_canonical().is_loopback() { self.0.per_loopback } else { self.0.per_source }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Nothing panics between two changes of the counts, so a poisoned lock still guards true ones.
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.admission.lock();
        open.total -= 1;
        self.admission.0.gauge.decrement(1);
        if open.total == 0 {
            self.admission.0.emptied.notify_waiters();
        }
        if let Some(Entry::Occupied(mut count)) = self.source.map(|source| open.by_source.entry(source)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(total: usize, per_source: usize, per_loopback: usize) -> Admission {
        Admission::new(
            &ServeSettings {
                max_connections: total,
                max_per_source: per_source,
                max_per_loopback: per_loopback,
                ..ServeSettings::default()
            },
            metrics::Gauge::noop(),
        )
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn one_more_than_the_total_is_refused_until_a_place_is_free() {
        let admission = admission(2, 9, 9);
        let first = admission.admit(ip("192.0.2.1")).expect("first");
        let _second = admission.admit(None).expect("second");
        assert_eq!(admission.admit(ip("192.0.2.3")).err(), Some(Refused::Total));
        drop(first);
        assert!(admission.admit(ip("192.0.2.3")).is_ok());
    }

    #[test]
    fn q19_addresses_of_one_v6_slash_64_share_their_places() {
        let admission = admission(9, 2, 9);
        let _held = (admission.admit(ip("2001:db8::1")), admission.admit(ip("2001:db8::ffff:2")));
        assert_eq!(admission.admit(ip("2001:db8:0:0:dead::3")).err(), Some(Refused::Source));
        assert!(admission.admit(ip("2001:db8:0:1::3")).is_ok());
    }

    #[test]
    fn loopback_has_its_own_bound_also_when_mapped_into_v6() {
        let admission = admission(9, 1, 3);
        let held: Vec<_> =
            ["127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1"].map(|a| admission.admit(ip(a))).into();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(admission.admit(ip("127.0.0.1")).err(), Some(Refused::Source));
    }

    #[test]
    fn a_source_without_connections_leaves_nothing_behind() {
        let admission = admission(9, 9, 9);
        drop(admission.admit(ip("192.0.2.1")));
        assert_eq!(admission.open(), 0);
        assert!(admission.lock().by_source.is_empty());
    }
}
