//! The bare loop on SQLite: one writer that commits many at once.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::{Enrollment, Keep};

const BATCH: usize = 256;
const QUEUE: usize = 4096;
const SCHEMA: &str = "
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4096;
    CREATE TABLE machines (id BLOB PRIMARY KEY, hostname TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE credentials (machine BLOB PRIMARY KEY, hash BLOB NOT NULL, certificate BLOB) WITHOUT ROWID;
    CREATE TABLE audit (seq INTEGER PRIMARY KEY, machine BLOB NOT NULL, at INTEGER NOT NULL);";

struct Job {
    enrollment: Enrollment,
    done: oneshot::Sender<()>,
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Queue(SyncSender<Job>);

/// Starts the writer, which ends when the queue is gone.
pub(crate) fn start(dir: &Path) -> Result<(Queue, JoinHandle<()>)> {
    let db = Connection::open(dir.join("prototype.db"))?;
    db.execute_batch(SCHEMA)?;
    let (queue, jobs) = sync_channel(QUEUE);
    let writer = std::thread::spawn(move || write(&db, &jobs).expect("the database of the bare loop works"));
    Ok((Queue(queue), writer))
}

impl Keep for Queue {
    async fn keep(&self, enrollment: Enrollment) -> Result<()> {
        let (done, committed) = oneshot::channel();
        self.0.try_send(Job { enrollment, done }).context("the queue is full")?;
        Ok(committed.await?)
    }
}

fn write(db: &Connection, jobs: &Receiver<Job>) -> rusqlite::Result<()> {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        insert(db, &batch[0].enrollment)?;
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            insert(db, &job.enrollment)?;
            batch.push(job);
        }
        db.prepare_cached("COMMIT")?.execute([])?;
        // Who no longer waits is not answered.
        batch.into_iter().for_each(|job| job.done.send(()).unwrap_or_default());
    }
    Ok(())
}

fn insert(db: &Connection, enrollment: &Enrollment) -> rusqlite::Result<()> {
    let Enrollment { id, hostname, hash, certificate, at } = enrollment;
    db.prepare_cached("INSERT INTO machines VALUES (?1, ?2, ?3)")?.execute(params![id, hostname, at])?;
    db.prepare_cached("INSERT INTO credentials VALUES (?1, ?2, ?3)")?.execute(params![
        id,
        hash,
        certificate
    ])?;
    db.prepare_cached("INSERT INTO audit (machine, at) VALUES (?1, ?2)")?.execute(params![id, at])?;
    Ok(())
}
