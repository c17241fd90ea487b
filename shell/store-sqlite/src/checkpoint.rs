//! Moves what the log holds into the file, beside the writer.
//!
//! SQLite would do it in the writer's thread, where everybody waits for it, and would say nothing of a sync of the file
//! that failed. Here a thread of its own does, with a connection of its own, and a failure ends all writing. While
//! writes never pause it cannot reach the end of the log, and the log would grow for ever: then the writer does the rest.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};

use muster_store::StoreError;
use rusqlite::Connection;

use crate::failure::failed;
use crate::health::Health;
use crate::open;

/// After so many changed rows it is time; a thousand enrollments change as many.
const EVERY: u64 = 10_000;
/// A log of so many pages (64 MiB) is finished by the writer.
const LONG: i64 = 16_384;

/// The thread, as the writer sees it.
pub(crate) struct Checkpoints {
    ask: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    overdue: Arc<AtomicBool>,
    last: u64,
}

impl Checkpoints {
    pub(crate) fn start(path: &Path, health: &Arc<Health>) -> io::Result<Self> {
        let (ask, asked) = mpsc::sync_channel(1);
        let overdue = Arc::new(AtomicBool::new(false));
        let work = Work { path: path.into(), health: Arc::clone(health), overdue: Arc::clone(&overdue) };
        let thread =
            thread::Builder::new().name("store-checkpoint".to_owned()).spawn(move || work.run(&asked))?;
        Ok(Self { ask: Some(ask), thread: Some(thread), overdue, last: 0 })
    }

    /// Takes note of a commit by the writer.
    pub(crate) fn written(&mut self, db: &Connection, health: &Health) {
        if self.overdue.swap(false, Ordering::Relaxed)
            && let Err(error) = checkpoint(db)
        {
            health.note(&Arc::new(error));
        }
        let changes = db.total_changes();
        if changes - self.last < EVERY {
            return;
        }
        match self.ask.as_ref().map(|ask| ask.try_send(())) {
            Some(Err(TrySendError::Disconnected(()))) => tracing::error!("nobody makes checkpoints any more"),
            Some(Ok(()) | Err(TrySendError::Full(()))) | None => self.last = changes,
        }
    }

    /// Waits for the one at work and makes no more.
    pub(crate) fn end(&mut self) {
        drop(self.ask.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

struct Work {
    path: Box<Path>,
    health: Arc<Health>,
    overdue: Arc<AtomicBool>,
}

impl Work {
    fn run(&self, asked: &Receiver<()>) {
        let mut db = None;
        while asked.recv().is_ok() {
            if let Err(error) = self.checkpoint(&mut db) {
                tracing::error!(error = ?error, "a checkpoint failed");
                self.health.note(&Arc::new(error));
            }
        }
    }

    fn checkpoint(&self, db: &mut Option<Connection>) -> Result<(), StoreError> {
        let db = match db {
            Some(db) => db,
            None => db.insert(open::checkpointing(&self.path).map_err(failed("open for checkpoints"))?),
        };
        let length = checkpoint(db)?;
        metrics::gauge!("muster_store_log_pages").set(length as f64);
        self.overdue.store(length > LONG, Ordering::Relaxed);
        Ok(())
    }
}

/// Moves what can be moved without waiting for anybody. Gives the length of the log in pages.
fn checkpoint(db: &Connection) -> Result<i64, StoreError> {
    const SQL: &str = "PRAGMA wal_checkpoint(PASSIVE)";
    db.query_row(SQL, [], |row| row.get(1)).map_err(failed("checkpoint"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database whose log holds more than is let wait, and the size of its file.
    fn with_a_long_log(path: &Path) -> (Connection, u64) {
        let db = open::create(path).expect("a new database").db;
        let fill = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
            INSERT INTO nonces (tenant_id, key, issued) SELECT x'00', randomblob(32), n FROM n";
        db.execute_batch(fill).expect("filled");
        (db, size(path))
    }

    fn size(path: &Path) -> u64 {
        std::fs::metadata(path).expect("the file").len()
    }

    #[test]
    fn what_is_written_is_moved_into_the_file_beside_the_writer() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("muster.db");
        let (db, before) = with_a_long_log(&path);
        let health = Arc::new(Health::default());
        let mut checkpoints = Checkpoints::start(&path, &health).expect("a thread");
        checkpoints.written(&db, &health);
        checkpoints.end();
        assert!(size(&path) > 3 * before, "{before} became {}", size(&path));
        assert!(health.sound().is_ok());
    }

    #[test]
    fn what_the_thread_cannot_finish_the_writer_does() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("muster.db");
        let (db, before) = with_a_long_log(&path);
        let health = Arc::new(Health::default());
        let mut checkpoints = Checkpoints::start(&path, &health).expect("a thread");
        checkpoints.last = db.total_changes();
        checkpoints.written(&db, &health);
        assert_eq!(size(&path), before, "it is not time");
        checkpoints.overdue.store(true, Ordering::Relaxed);
        checkpoints.written(&db, &health);
        assert!(size(&path) > 3 * before, "{before} became {}", size(&path));
        checkpoints.end();
    }

    #[test]
    fn q_53_a_checkpoint_that_meets_damage_ends_all_writing() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("muster.db");
        let (db, _) = with_a_long_log(&path);
        let elsewhere = home.path().join("elsewhere.db");
        std::fs::write(&elsewhere, "no database, but as long as one must be at the least".repeat(100))
            .expect("written");
        let health = Arc::new(Health::default());
        let mut checkpoints = Checkpoints::start(&elsewhere, &health).expect("a thread");
        checkpoints.written(&db, &health);
        checkpoints.end();
        assert!(health.sound().is_err());
    }
}
