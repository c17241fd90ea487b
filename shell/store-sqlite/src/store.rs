//! The store as others hold it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use muster_lifecycle::Plan;
use muster_lifecycle::reap::Watched;
use muster_model::{Entry, ReplicaId, SignedDuration};
use muster_store::{
    Decision, Fence, Joining, PresenceNote, Prune, PulseNote, SettleError, Signal, Standing, Store,
    StoreError, Unscoped,
};
use muster_store_sql::View;
use tokio::sync::{mpsc, oneshot};

use crate::checkpoint::Checkpoints;
use crate::engine::{Sqlite, at_once};
use crate::failure::unavailable;
use crate::health::Health;
use crate::job::{Job, Note, Settle};
use crate::open::{self, OpenError, Opened};
use crate::pool::Pool;
use crate::writer::{Message, Writer};
use crate::{Reader, presence};

/// The most writes that wait. Who comes later waits for a place.
const QUEUE: usize = 4096;

/// A database in one file. Clones share it; when the last one goes, it is closed in good order.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    queue: Option<mpsc::Sender<Message>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    pool: Arc<Pool>,
    health: Arc<Health>,
    /// Who works on this file, once it joined.
    replica: Mutex<Option<ReplicaId>>,
    _home: Option<tempfile::TempDir>,
}

impl SqliteStore {
    /// Makes a database where there is none.
    ///
    /// # Errors
    /// [`OpenError::Exists`] where there is a file, whatever is in it.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let opened = open::create(path.as_ref())?;
        Self::start(path.as_ref(), opened, None)
    }

    /// Opens a database that is there, and brings it up to this version's schema.
    ///
    /// # Errors
    /// What is not there, empty, damaged, of a newer version or not Muster's is refused and left as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let opened = open::open(path.as_ref())?;
        Self::start(path.as_ref(), opened, None)
    }

    /// A database for a test, gone when the last clone goes. It is a file like any other, so that a test meets what
    /// production meets.
    ///
    /// # Errors
    /// Those of [`SqliteStore::create`].
    pub fn in_memory() -> Result<Self, OpenError> {
        let io = |cause| OpenError::Io { path: std::env::temp_dir(), cause };
        let home = tempfile::tempdir().map_err(io)?;
        let path = home.path().join("muster.db");
        let opened = open::create(&path)?;
        Self::start(&path, opened, Some(home))
    }

    pub(crate) fn start(
        path: &Path,
        opened: Opened,
        home: Option<tempfile::TempDir>,
    ) -> Result<Self, OpenError> {
        let io = |cause| OpenError::Io { path: path.to_owned(), cause };
        let health = Arc::new(Health::default());
        let pool = Arc::new(Pool::new(path.to_owned()));
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writer = Writer {
            db: opened.db,
            queue: jobs,
            health: Arc::clone(&health),
            pool: Arc::clone(&pool),
            checkpoints: Checkpoints::start(path, &health).map_err(io)?,
        };
        let spawned = thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run());
        if opened.unchecked {
            check_beside(path, &health).map_err(io)?;
        }
        let inner = Inner {
            path: path.to_owned(),
            queue: Some(queue),
            writer: Mutex::new(Some(spawned.map_err(io)?)),
            pool,
            health,
            replica: Mutex::new(None),
            _home: home,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// How many transactions that wrote something were committed since the start.
    pub fn writes(&self) -> u64 {
        self.inner.health.writes()
    }

    /// Returns when the database turns out damaged or its disk fails. Nothing is written from then on, and what was
    /// being written is uncertain: the process must end, and the next start looks at the file anew.
    pub async fn damaged(&self) {
        self.inner.health.damaged().await;
    }

    /// Finishes what is queued, writes everything into one file and closes it. Later writes fail.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        let Some(queue) = &self.inner.queue else { return };
        if queue.send(Message::Close(done)).await.is_ok() {
            // The writer answers, or it is gone already: it is closed either way.
            closed.await.unwrap_or_default();
        }
    }

    /// Tries whether there is room again: nobody else may write while this says there is none.
    async fn probe(&self) -> Result<(), StoreError> {
        let (job, answer) = Note::new(|batch| batch.write(|db| open::find_room(db.db())));
        self.ask(job, answer).await?
    }

    /// Queues a job and waits for its answer.
    pub(crate) async fn ask<T>(
        &self,
        job: impl Job + 'static,
        answer: oneshot::Receiver<T>,
    ) -> Result<T, StoreError> {
        self.inner.health.sound()?;
        let closed = || unavailable("ask the writer", "the store is closed");
        let queue = self.inner.queue.as_ref().ok_or_else(closed)?;
        if queue.send(Message::Job(Box::new(job))).await.is_err() {
            return Err(closed());
        }
        answer.await.map_err(|gone| StoreError::Unavailable { what: "ask the writer", cause: Box::new(gone) })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.queue.take());
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // A decision may hold the last clone; then this is the writer's own thread.
        if let Some(writer) = writer.filter(|writer| writer.thread().id() != thread::current().id())
            && writer.join().is_err()
        {
            tracing::error!("the writer thread panicked");
        }
    }
}

impl Store for SqliteStore {
    type Reader = Reader;

    async fn reader(&self) -> Result<Reader, StoreError> {
        self.inner.pool.lend().await.map(|lent| View::new(Sqlite(lent)))
    }

    async fn settle<D: Decision>(&self, decision: D) -> Result<Plan<D::Outcome>, SettleError> {
        #[expect(clippy::disallowed_methods, reason = "measures how long the database takes")]
        let start = Instant::now();
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
        if notes.is_empty() {
            return Ok(());
        }
        let (job, answer) = Note::new(move |batch| batch.write(|db| presence::note(db.db(), &notes)));
        self.ask(job, answer).await?
    }

    async fn note_pulse(&self, notes: Vec<PulseNote>) -> Result<(), StoreError> {
        if notes.is_empty() {
            return Ok(());
        }
        let (job, answer) = Note::new(move |batch| {
            batch.write(|db| at_once("note_pulse", muster_store_sql::note_pulse(db, &notes)))
        });
        self.ask(job, answer).await?
    }

    async fn tell(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let (job, answer) = Note::new(move |batch| {
            batch.write(|db| at_once("tell", muster_store_sql::entries(db, &entries)))
        });
        self.ask(job, answer).await?
    }

    async fn check(&self) -> Result<(), StoreError> {
        let (job, answer) = Note::new(|batch| match at_once("check", View::new(batch.engine()).tenants()) {
            Ok(_) => Ok(Ok(())),
            Err(error) => Ok(Err(batch.unread(error)?)),
        });
        self.ask(job, answer).await??;
        if self.inner.health.is_full() {
            return self.probe().await;
        }
        Ok(())
    }

    async fn join(&self, joining: Joining) -> Result<(), StoreError> {
        *self.inner.replica.lock().unwrap_or_else(PoisonError::into_inner) = Some(joining.replica);
        let (job, answer) = Note::new(move |batch| batch.write(|db| presence::end_all(db.db(), joining.now)));
        self.ask(job, answer).await?
    }

    /// Nobody else asks, so that nothing is written.
    async fn alive(&self, _: u64) -> Result<Standing, StoreError> {
        Ok(Standing::Known)
    }

    /// There is no other replica.
    async fn signals(&self) -> Result<Vec<Signal>, StoreError> {
        Ok(Vec::new())
    }

    async fn stirred(&self) {
        std::future::pending::<()>().await;
    }

    /// The one process that has this file does every job.
    async fn lease(&self, job: &'static str, _: SignedDuration) -> Result<Option<Fence>, StoreError> {
        let holder = *self.inner.replica.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(holder.map(|holder| Fence { job, holder, token: 1 }))
    }

    async fn note_watched(&self, _: Fence, watched: Watched) -> Result<(), StoreError> {
        let (job, answer) = Note::new(move |batch| {
            batch.write(|db| at_once("note_watched", muster_store_sql::note_watched(db, watched)))
        });
        self.ask(job, answer).await?
    }

    async fn prune(&self, _: Fence, prune: Prune) -> Result<u64, StoreError> {
        let gone = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&gone);
        let (job, answer) = Note::new(move |batch| {
            batch.write(|db| {
                let rows = at_once("prune", muster_store_sql::prune(db, &prune))?;
                counted.store(rows, Ordering::Relaxed);
                Ok(())
            })
        });
        self.ask(job, answer).await??;
        Ok(gone.load(Ordering::Relaxed))
    }
}

/// Reads a large file through on a connection of its own, while the work begins.
pub(crate) fn check_beside(path: &Path, health: &Arc<Health>) -> std::io::Result<()> {
    let (path, health) = (path.to_owned(), Arc::clone(health));
    let check = move || {
        tracing::info!(path = %path.display(), "the last stop was not in good order: checking the database");
        let checked = open::connect(&path)
            .map_err(|cause| OpenError::Sqlite { path: path.clone(), cause })
            .and_then(|db| open::check(&db, &path));
        match checked {
            Ok(()) => tracing::info!("the database is sound"),
            Err(error) => {
                let cause = Box::new(error);
                health.condemn(Arc::new(StoreError::Unavailable { what: "check the database", cause }));
            }
        }
    };
    thread::Builder::new().name("store-check".to_owned()).spawn(check).map(drop)
}
