//! The store as others hold it.

use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::FutureExt;
use muster_lifecycle::Plan;
use muster_lifecycle::reap::Watched;
use muster_model::{Entry, SignedDuration};
use muster_store::{
    Decision, Fence, Joining, PresenceNote, Prune, PulseNote, SettleError, Signal, Standing, Store,
    StoreError,
};
use muster_store_sql::View;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::common::{Common, Queued};
use crate::control::Control;
use crate::failure::unavailable;
use crate::job::{Job, Note, Presences, Pulses, Settle, Tell, Watching, Write};
use crate::lane::Lane;
use crate::listen::listen;
use crate::open::{self, OpenError};
use crate::pool::{Pool, Pooled};
use crate::prune::Pruning;
use crate::settings::{Dial, Settings};

/// The most writes that wait. Who comes later waits for a place.
const QUEUE: usize = 4096;

/// A consistent view for reading. Give it back soon: there are only so many.
pub type Reader = View<Pooled>;

/// A database that several processes share. Clones share the connections of this process.
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

struct Inner {
    place: String,
    common: Arc<Common>,
    queue: Mutex<Option<mpsc::Sender<Queued>>>,
    lanes: Mutex<Vec<JoinHandle<()>>>,
    pool: Arc<Pool>,
    control: Control,
    /// Rises whenever others committed something that machines here may have to hear of.
    stirred: OnceLock<tokio::sync::Mutex<watch::Receiver<u64>>>,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PostgresStore").field(&self.inner.place).finish()
    }
}

impl PostgresStore {
    /// Makes Muster's schema in an empty database.
    ///
    /// # Errors
    /// [`OpenError::Exists`] where Muster is in it already, [`OpenError::NotOurs`] where somebody else is.
    pub async fn create(settings: Settings) -> Result<Self, OpenError> {
        let dial = Dial::new(&settings)?;
        open::create(&dial).await?;
        Ok(Self::start(dial, &settings))
    }

    /// Opens a database that has Muster's schema, and brings that up to this version.
    ///
    /// # Errors
    /// What is empty, of a newer version or not Muster's is refused and left as it is.
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        let dial = Dial::new(&settings)?;
        open::open(&dial).await?;
        Ok(Self::start(dial, &settings))
    }

    fn start(dial: Dial, settings: &Settings) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let place = dial.place.clone();
        let common = Arc::new(Common::new(dial, jobs));
        let lane = |_| tokio::spawn(watched(Arc::clone(&common)));
        let inner = Inner {
            place,
            queue: Mutex::new(Some(queue)),
            lanes: Mutex::new((0..settings.lanes.max(1)).map(lane).collect()),
            pool: Arc::new(Pool::new(Arc::clone(&common), settings.readers)),
            control: Control::new(Arc::clone(&common)),
            stirred: OnceLock::new(),
            common,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Which database this is, as people may be shown it.
    pub fn place(&self) -> &str {
        &self.inner.place
    }

    /// How many transactions that wrote something were committed since the start.
    pub fn writes(&self) -> u64 {
        self.inner.common.writes()
    }

    /// How often work was done again since the start: races that were lost, connections too.
    pub fn retries(&self) -> u64 {
        self.inner.common.retries()
    }

    /// Returns when a part of the store has failed for good, by a mistake of ours: the process must end. What is damaged in
    /// the database is its server's to tell, and it does so by refusing.
    pub async fn damaged(&self) {
        self.inner.common.fallen().await;
    }

    /// Finishes what is queued and lets go of the connections. Later writes fail.
    pub async fn close(&self) {
        drop(self.inner.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let lanes = std::mem::take(&mut *self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        for lane in lanes {
            if lane.await.is_err() {
                tracing::error!("a lane panicked");
            }
        }
        self.inner.pool.close();
        self.inner.control.close().await;
    }

    /// Queues a job and waits for its answer.
    async fn ask<T>(&self, job: impl Job + 'static, answer: oneshot::Receiver<T>) -> Result<T, StoreError> {
        const WHAT: &str = "ask a lane";
        let queue = self.inner.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or_else(|| unavailable(WHAT, "the store is closed"))?;
        let queued = Queued { job: Box::new(job), deferrals: 0 };
        if queue.send(queued).await.is_err() {
            return Err(unavailable(WHAT, "the store is closed"));
        }
        drop(queue);
        answer.await.map_err(|gone| StoreError::Unavailable { what: WHAT, cause: Box::new(gone) })
    }

    async fn note(&self, write: impl Write + 'static) -> Result<u64, StoreError> {
        let (job, answer) = Note::new(write);
        self.ask(job, answer).await?
    }

    fn listen(&self) {
        let common = Arc::clone(&self.inner.common);
        self.inner.stirred.get_or_init(|| {
            let (stirs, stirred) = watch::channel(0);
            tokio::spawn(listen(common, stirs));
            tokio::sync::Mutex::new(stirred)
        });
    }
}

/// A lane works until the store is closed. One that panics takes the process with it: jobs would wait for it for ever.
async fn watched(common: Arc<Common>) {
    let lane = Lane::new(Arc::clone(&common), drawn()).run();
    if AssertUnwindSafe(lane).catch_unwind().await.is_err() {
        tracing::error!("a lane panicked: nothing more is promised");
        common.fall();
    }
}

/// Names a lane: sixteen bytes that no other has. The seeds of hashes are drawn by the system.
fn drawn() -> [u8; 16] {
    let half = || RandomState::new().hash_one("lane").to_be_bytes();
    let (first, second) = (half(), half());
    std::array::from_fn(|i| if i < 8 { first[i] } else { second[i - 8] })
}

impl Store for PostgresStore {
    type Reader = Reader;

    async fn reader(&self) -> Result<Reader, StoreError> {
        self.inner.pool.lend().await.map(View::new)
    }

    async fn settle<D: Decision>(&self, decision: D) -> Result<Plan<D::Outcome>, SettleError> {
        let start = tokio::time::Instant::now();
        let (job, answer) = Settle::new(decision);
        let settled = self.ask(job, answer).await.map_err(SettleError::from).and_then(|settled| settled);
        let outcome = match &settled {
            Ok(_) => "done",
            Err(SettleError::Refused(_)) => "refused",
            Err(SettleError::Store(_)) => "failed",
        };
        metrics::histogram!("muster_store_settle_seconds", "decision" => D::NAME, "outcome" => outcome)
            .record(start.elapsed());
        settled
    }

    async fn note_presence(&self, notes: Vec<PresenceNote>) -> Result<(), StoreError> {
        if notes.is_empty() { Ok(()) } else { self.note(Presences(notes)).await.map(drop) }
    }

    async fn note_pulse(&self, notes: Vec<PulseNote>) -> Result<(), StoreError> {
        if notes.is_empty() { Ok(()) } else { self.note(Pulses(notes)).await.map(drop) }
    }

    async fn tell(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        if entries.is_empty() { Ok(()) } else { self.note(Tell(entries)).await.map(drop) }
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.control.check().await
    }

    async fn join(&self, joining: Joining) -> Result<(), StoreError> {
        self.inner.control.join(joining).await?;
        self.listen();
        Ok(())
    }

    async fn alive(&self, channels: u64) -> Result<Standing, StoreError> {
        self.inner.control.alive(channels).await
    }

    async fn signals(&self) -> Result<Vec<Signal>, StoreError> {
        self.inner.control.signals().await
    }

    async fn stirred(&self) {
        self.listen();
        // What was seen is seen: the next call waits for what comes after it.
        let changed = match self.inner.stirred.get() {
            Some(stirred) => stirred.lock().await.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            std::future::pending::<()>().await;
        }
    }

    async fn lease(&self, job: &'static str, span: SignedDuration) -> Result<Option<Fence>, StoreError> {
        self.inner.control.lease(job, span).await
    }

    async fn note_watched(&self, fence: Fence, watched: Watched) -> Result<(), StoreError> {
        self.note(Watching { fence, watched }).await.map(drop)
    }

    async fn prune(&self, fence: Fence, prune: Prune) -> Result<u64, StoreError> {
        self.note(Pruning { fence, prune }).await
    }
}
