//! The one thread that writes. It takes what is queued, runs it in one transaction, commits, and only then answers.
//!
//! Invariant: nobody is answered before the commit that carries what they were told, not even with a refusal: it may
//! rest on what an earlier job of the same transaction wrote.

use std::sync::Arc;

use muster_store::StoreError;
use muster_store_sql::invariant;
use rusqlite::Connection;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use crate::batch::{Batch, Interruption, roll_back};
use crate::checkpoint::Checkpoints;
use crate::failure::failed;
use crate::health::Health;
use crate::job::Job;
use crate::pool::Pool;

/// The most jobs in one transaction: bounds how long the first of them waits.
const BATCH: usize = 256;

/// What the writer is asked.
pub(crate) enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

type Lost = Arc<StoreError>;

pub(crate) struct Writer {
    pub(crate) db: Connection,
    pub(crate) queue: Receiver<Message>,
    pub(crate) health: Arc<Health>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) checkpoints: Checkpoints,
}

impl Writer {
    /// Works until nobody is left to ask, or somebody asks to close.
    pub(crate) fn run(mut self) {
        let mut closing = None;
        while closing.is_none() {
            match self.queue.blocking_recv() {
                Some(Message::Job(first)) => closing = self.batch(first),
                Some(Message::Close(done)) => closing = Some(done),
                None => break,
            }
        }
        self.finish();
        if let Some(done) = closing {
            done.send(()).unwrap_or_default();
        }
    }

    /// One transaction, with whatever is queued. Gives back a request to close that was queued behind its jobs.
    fn batch(&mut self, first: Box<dyn Job>) -> Option<oneshot::Sender<()>> {
        let mut jobs = vec![first];
        let mut closing = None;
        let queue = &mut self.queue;
        let more = || match queue.try_recv() {
            Ok(Message::Job(job)) => Some(job),
            Ok(Message::Close(done)) => {
                closing = Some(done);
                None
            }
            Err(_) => None,
        };
        let sound = self.health.sound().map_err(Arc::new);
        let outcome = sound.and_then(|()| carry_out(&mut self.db, &mut jobs, more));
        match &outcome {
            Ok(true) => {
                self.health.wrote();
                self.checkpoints.written(&self.db, &self.health);
            }
            Ok(false) => {}
            Err(error) => self.lost(error, jobs.len()),
        }
        metrics::histogram!("muster_store_batch_jobs").record(jobs.len() as f64);
        jobs.into_iter().for_each(|job| job.answer(outcome.as_ref().err()));
        closing
    }

    fn lost(&self, error: &Lost, jobs: usize) {
        tracing::error!(error = ?error, jobs, "a transaction was not committed");
        self.health.note(error);
        if let Err(error) = roll_back(&self.db) {
            self.health.note(&Arc::new(error));
        }
    }

    /// Leaves a file that the next start need not check: all in one place, and marked as closed in good order.
    fn finish(mut self) {
        self.pool.close();
        self.checkpoints.end();
        if self.health.sound().is_err() {
            return;
        }
        const CLOSE: &str = "UPDATE meta SET clean = 1; PRAGMA wal_checkpoint(TRUNCATE);";
        if let Err(error) = self.db.execute_batch(CLOSE).map_err(failed("close the database")) {
            tracing::warn!(error = ?error, "the database was not closed in good order; the next start checks it");
        }
    }
}

/// Runs the jobs and those that `more` gives, and commits. Tells whether anything was written.
fn carry_out(
    db: &mut Connection,
    jobs: &mut Vec<Box<dyn Job>>,
    mut more: impl FnMut() -> Option<Box<dyn Job>>,
) -> Result<bool, Lost> {
    let first = attempt(db, jobs, false, &mut more);
    let done = match first {
        Err(Interruption::Redo) => {
            roll_back(db)?;
            attempt(db, jobs, true, &mut more)
        }
        done => done,
    };
    done.map_err(|interruption| match interruption {
        Interruption::Lost(error) => error,
        Interruption::Redo => Arc::new(invariant("run a batch", "it was interrupted twice")),
    })
}

/// One attempt at a transaction.
fn attempt(
    db: &mut Connection,
    jobs: &mut Vec<Box<dyn Job>>,
    careful: bool,
    more: &mut impl FnMut() -> Option<Box<dyn Job>>,
) -> Result<bool, Interruption> {
    let lost = |error| Interruption::Lost(Arc::new(error));
    let mut batch = Batch::begin(db, careful).map_err(lost)?;
    for job in jobs.iter_mut() {
        job.run(&mut batch)?;
    }
    while jobs.len() < BATCH {
        let Some(job) = more() else { break };
        jobs.push(job);
        jobs.last_mut().expect("it was just pushed").run(&mut batch)?;
    }
    batch.commit().map_err(lost)
}
