//! The one thread that writes. It takes what is queued, runs it in one transaction, commits, and only then answers.
//!
//! Invariant: nobody is answered before the commit that carries what they were told, not even with a refusal: it may
//! rest on what an earlier job of the same transaction wrote.

use std::sync::Arc;

use muster_store::StoreError;
use rusqlite::Connection;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use crate::apply::step;
use crate::failure::failed;
use crate::health::Health;
use crate::pool::Pool;
use crate::search::Pending;

/// The most jobs in one transaction: bounds how long the first of them waits.
const BATCH: usize = 256;

/// What the writer is asked.
pub(crate) enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// A transaction that is open.
pub(crate) struct Batch<'w> {
    pub(crate) db: &'w mut Connection,
    pub(crate) words: &'w mut Pending,
    /// Whether anything was written.
    pub(crate) wrote: bool,
}

/// A piece of work for the writer.
pub(crate) trait Job: Send {
    /// Runs in the open transaction, leaving all of its writes or none. Gives an error where the whole transaction is
    /// lost, or the database failed otherwise than by this job.
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), Arc<StoreError>>;

    /// Answers, after the commit or with what became of it.
    fn answer(self: Box<Self>, lost: Option<&Arc<StoreError>>);
}

pub(crate) struct Writer {
    pub(crate) db: Connection,
    pub(crate) queue: Receiver<Message>,
    pub(crate) health: Arc<Health>,
    pub(crate) pool: Arc<Pool>,
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

    /// One transaction. Gives back a request to close that was queued behind its jobs.
    fn batch(&mut self, first: Box<dyn Job>) -> Option<oneshot::Sender<()>> {
        let mut jobs = Vec::with_capacity(16);
        let mut closing = None;
        let mut words = Pending::default();
        let mut next = Some(first);
        let begun = self.health.sound().and_then(|()| step(&self.db, "BEGIN IMMEDIATE"));
        let mut outcome = begun.map_err(Arc::new);
        let mut batch = Batch { db: &mut self.db, words: &mut words, wrote: false };
        while let Some(mut job) = next.take() {
            if outcome.is_ok() {
                outcome = job.run(&mut batch);
            }
            jobs.push(job);
            if jobs.len() < BATCH {
                match self.queue.try_recv() {
                    Ok(Message::Job(job)) => next = Some(job),
                    Ok(Message::Close(done)) => closing = Some(done),
                    Err(_) => {}
                }
            }
        }
        let wrote = batch.wrote;
        let outcome = outcome.and_then(|()| commit(&self.db, &mut words).map_err(Arc::new));
        self.conclude(&outcome, wrote, jobs.len());
        jobs.into_iter().for_each(|job| job.answer(outcome.as_ref().err()));
        closing
    }

    fn conclude(&mut self, outcome: &Result<(), Arc<StoreError>>, wrote: bool, jobs: usize) {
        metrics::histogram!("muster_store_batch_jobs").record(jobs as f64);
        match outcome {
            Ok(()) if wrote => self.health.wrote(),
            Ok(()) => {}
            Err(error) => {
                tracing::error!(error = ?error, jobs, "a transaction was not committed");
                self.health.note(error);
                if !self.db.is_autocommit()
                    && let Err(error) = step(&self.db, "ROLLBACK")
                {
                    self.health.note(&Arc::new(error));
                }
            }
        }
    }

    /// Leaves a file that the next start need not check: all in one place, and marked as closed in good order.
    fn finish(self) {
        self.pool.close();
        if self.health.sound().is_err() {
            return;
        }
        const CLOSE: &str = "UPDATE meta SET clean = 1; PRAGMA wal_checkpoint(TRUNCATE);";
        if let Err(error) = self.db.execute_batch(CLOSE).map_err(failed("close the database")) {
            tracing::warn!(error = ?error, "the database was not closed in good order; the next start checks it");
        }
    }
}

fn commit(db: &Connection, words: &mut Pending) -> Result<(), StoreError> {
    words.write(db)?;
    step(db, "COMMIT")
}
