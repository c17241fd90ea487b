//! What the parts of a store share: the queue, the way to the database, and how things stand.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use muster_model::ReplicaId;
use muster_store::StoreError;
use tokio::sync::{Notify, mpsc, watch};

use crate::job::Job;
use crate::settings::Dial;

/// The longest that a lane waits for more to do.
const GATHER: Duration = Duration::from_millis(10);
/// So many lanes begin to work on whatever there is.
const FREE: usize = 2;

/// A job, and how often it was put off.
pub(crate) struct Queued {
    pub(crate) job: Box<dyn Job>,
    pub(crate) deferrals: u8,
}

pub(crate) struct Common {
    dial: Mutex<Dial>,
    queue: tokio::sync::Mutex<mpsc::Receiver<Queued>>,
    /// How many lanes are at work.
    busy: AtomicUsize,
    rested: Notify,
    replica: OnceLock<ReplicaId>,
    full: AtomicBool,
    fallen: watch::Sender<bool>,
    writes: AtomicU64,
    retries: AtomicU64,
}

/// A lane at work.
pub(crate) struct AtWork(Arc<Common>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
        self.0.rested.notify_one();
    }
}

/// Takes what is there. `false` once the queue has ended.
fn drain(queue: &mut mpsc::Receiver<Queued>, jobs: &mut Vec<Queued>, most: usize) -> bool {
    while jobs.len() < most {
        match queue.try_recv() {
            Ok(job) => jobs.push(job),
            Err(mpsc::error::TryRecvError::Empty) => return true,
            Err(mpsc::error::TryRecvError::Disconnected) => return false,
        }
    }
    true
}

impl Common {
    pub(crate) fn new(dial: Dial, queue: mpsc::Receiver<Queued>) -> Self {
        Self {
            dial: Mutex::new(dial),
            queue: tokio::sync::Mutex::new(queue),
            busy: AtomicUsize::new(0),
            rested: Notify::new(),
            replica: OnceLock::new(),
            full: AtomicBool::new(false),
            fallen: watch::Sender::new(false),
            writes: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        }
    }

    /// Takes what is queued, up to so many; waits for the first where there is none yet. `false` once the queue has ended.
    ///
    /// What shares a transaction shares its cost. So a lane gathers for a moment: one that would be one of many at work
    /// until there is much to do or another one is done, and one that had much to do until it has half as much again. Who
    /// was just answered is about to ask.
    pub(crate) async fn take(&self, jobs: &mut Vec<Queued>, last: usize, most: usize) -> bool {
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
                // Another lane waits there, and takes what comes.
                Err(_) => return true,
            }
        };
        // Waiting is the work here: a transaction of many costs little more than one of few.
        let mut overdue = std::pin::pin!(tokio::time::sleep(GATHER));
        loop {
            let rested = self.rested.notified();
            if !drain(&mut queue, jobs, most) {
                return false;
            }
            let free = self.busy.load(Ordering::SeqCst) < FREE;
            if jobs.len() >= if free { last / 2 } else { most - most / 4 } {
                return true;
            }
            tokio::select! {
                () = rested => {}
                // Those at work may be waiting for a lock.
                () = &mut overdue => return true,
                job = queue.recv() => match job {
                    Some(job) => jobs.push(job),
                    None => return false,
                },
            }
        }
    }

    /// A lane begins to work. It rests when the guard goes.
    pub(crate) fn at_work(self: &Arc<Self>) -> AtWork {
        self.busy.fetch_add(1, Ordering::SeqCst);
        AtWork(Arc::clone(self))
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

    /// A lane ended before its time.
    pub(crate) fn fall(&self) {
        self.fallen.send_replace(true);
    }

    /// Returns once one did.
    pub(crate) async fn fallen(&self) {
        let mut fallen = self.fallen.subscribe();
        if fallen.wait_for(|fallen| *fallen).await.is_err() {
            std::future::pending::<()>().await;
        }
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
