//! A transaction that many jobs share.
//!
//! A job leaves all of its writes or none. A savepoint for each would see to that, and costs an eighth of the writer's
//! time for a failure that only a mistake of ours can bring about. So a batch is run without; when a job fails, the batch
//! is rolled back and run once more, this time with savepoints. Jobs can be run again: what they read and decide, they
//! read and decide anew.

use std::sync::Arc;

use muster_store::StoreError;
use rusqlite::Connection;

use crate::dialect::Writing;
use crate::engine::Sqlite;
use crate::failure::{failed, is_damage, told};
use crate::search::Pending;

/// A transaction that is open.
pub(crate) struct Batch<'w> {
    pub(crate) db: &'w mut Connection,
    /// What the index of words learns with the commit.
    pub(crate) words: Pending,
    /// Whether anything was written.
    pub(crate) wrote: bool,
    /// Whether each job has a savepoint.
    pub(crate) careful: bool,
}

/// Why a batch does not go on.
#[derive(Debug)]
pub(crate) enum Interruption {
    /// A job failed, and its writes cannot be told from those of the others.
    Redo,
    /// The transaction is gone, or the database is damaged.
    Lost(Arc<StoreError>),
}

/// What became of a job's own writes.
pub(crate) type Written = Result<Result<(), StoreError>, Interruption>;

impl<'w> Batch<'w> {
    /// Begins a transaction.
    pub(crate) fn begin(db: &'w mut Connection, careful: bool) -> Result<Self, StoreError> {
        step(db, "BEGIN IMMEDIATE")?;
        Ok(Self { db, words: Pending::default(), wrote: false, careful })
    }

    /// What statements run on.
    pub(crate) fn engine(&mut self) -> Sqlite<Writing<'_>> {
        Sqlite(Writing { db: self.db, words: &mut self.words })
    }

    /// Does the writes of a job: all of them, or none.
    pub(crate) fn write(
        &mut self,
        work: impl FnOnce(&mut Sqlite<Writing<'_>>) -> Result<(), StoreError>,
    ) -> Written {
        let done = if self.careful { self.in_savepoint(work) } else { work(&mut self.engine()) };
        match done {
            Ok(()) => {
                self.wrote = true;
                Ok(Ok(()))
            }
            // After some errors SQLite has rolled the whole transaction back itself.
            Err(error) if self.db.is_autocommit() || is_damage(&error) => {
                Err(Interruption::Lost(Arc::new(error)))
            }
            Err(error) if self.careful => Ok(Err(error)),
            Err(_) => Err(Interruption::Redo),
        }
    }

    /// Gives a failure to read back as a job's own: it leaves nothing behind, unless the database is damaged.
    pub(crate) fn unread(&self, error: StoreError) -> Result<StoreError, Interruption> {
        if is_damage(&error) { Err(Interruption::Lost(Arc::new(error))) } else { Ok(error) }
    }

    fn in_savepoint(
        &mut self,
        work: impl FnOnce(&mut Sqlite<Writing<'_>>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        step(self.db, "SAVEPOINT job")?;
        let mut words = Pending::default();
        let done = work(&mut Sqlite(Writing { db: self.db, words: &mut words }));
        if done.is_err() && !self.db.is_autocommit() {
            step(self.db, "ROLLBACK TO job")?;
            step(self.db, "RELEASE job")?;
        }
        done?;
        self.words.append(words);
        step(self.db, "RELEASE job")
    }

    /// Makes it durable.
    pub(crate) fn commit(mut self) -> Result<bool, StoreError> {
        self.words.write(self.db)?;
        step(self.db, "COMMIT")?;
        Ok(self.wrote)
    }
}

/// Ends a transaction that failed, if SQLite has not ended it.
pub(crate) fn roll_back(db: &Connection) -> Result<(), StoreError> {
    if db.is_autocommit() { Ok(()) } else { step(db, "ROLLBACK") }
}

pub(crate) fn step(db: &Connection, sql: &'static str) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(failed(sql))?;
    statement.execute([]).map(|_| ()).map_err(failed(sql))
}

/// The answer of a job. A result, even a refusal, is none unless its transaction was committed.
pub(crate) fn answer<T, E: From<StoreError>>(
    result: Option<Result<T, E>>,
    lost: Option<&Arc<StoreError>>,
) -> Option<Result<T, E>> {
    match lost {
        Some(error) => Some(Err(told(error).into())),
        None => result,
    }
}
