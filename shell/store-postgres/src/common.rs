//! What the parts of a store share: the queue, the way to the database, and how things stand.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use muster_model::ReplicaId;
use muster_store::StoreError;
use tokio::sync::mpsc;

use crate::job::Job;
use crate::settings::Dial;

/// A job, and how often it was put off.
pub(crate) struct Queued {
    pub(crate) job: Box<dyn Job>,
    pub(crate) deferrals: u8,
}

pub(crate) struct Common {
    dial: Mutex<Dial>,
    queue: tokio::sync::Mutex<mpsc::Receiver<Queued>>,
    replica: OnceLock<ReplicaId>,
    full: AtomicBool,
    writes: AtomicU64,
    retries: AtomicU64,
}

impl Common {
    pub(crate) fn new(dial: Dial, queue: mpsc::Receiver<Queued>) -> Self {
        Self {
            dial: Mutex::new(dial),
            queue: tokio::sync::Mutex::new(queue),
            replica: OnceLock::new(),
            full: AtomicBool::new(false),
            writes: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        }
    }

    /// Takes what is queued, up to so many; waits for the first where there is none yet. `false` once the queue has ended.
    pub(crate) async fn take(&self, jobs: &mut Vec<Queued>, most: usize) -> bool {
        let mut queue = if jobs.is_empty() {
            let mut queue = self.queue.lock().await;
            match queue.recv().await {
                Some(first) => jobs.push(first),
                None => return false,
            }
            queue
        } else {
            match self.queue.try_lock() {
                Ok(queue) => queue,
                // Another lane waits there, so that nothing is queued.
                Err(_) => return true,
            }
        };
        while jobs.len() < most {
            match queue.try_recv() {
                Ok(job) => jobs.push(job),
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    pub(crate) fn dial(&self) -> Dial {
        self.dial.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn replica(&self) -> Option<ReplicaId> {
        self.replica.get().copied()
    }

    /// Who works here, from now on. `false` where somebody does already.
    pub(crate) fn join(&self, replica: ReplicaId) -> bool {
        let named = self.dial().named(&format!("muster/{replica}"));
        *self.dial.lock().unwrap_or_else(PoisonError::into_inner) = named;
        self.replica.set(replica).is_ok()
    }

    /// Counts work that is done again.
    pub(crate) fn count(&self, decision: &'static str, cause: &'static str) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("muster_store_retries_total", "decision" => decision, "cause" => cause)
            .increment(1);
        tracing::debug!(decision, cause, "a transaction is run again");
    }

    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Takes note of a commit that wrote.
    pub(crate) fn wrote(&self) {
        self.full.store(false, Ordering::Relaxed);
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn found_room(&self) {
        self.full.store(false, Ordering::Relaxed);
    }

    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Takes note of a failure.
    pub(crate) fn note(&self, error: &StoreError) {
        if matches!(error, StoreError::Full { .. }) {
            self.full.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}
