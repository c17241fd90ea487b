//! Connections that only read. One is lent out at a time to one reader, with a transaction that began when it was lent:
//! everything read through it is of one moment. A reader never waits for a writer, nor a writer for a reader.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_store::StoreError;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::batch::step;
use crate::engine::Source;
use crate::failure::{failed, unavailable};
use crate::open::tune;

/// The most readers at once.
const READERS: usize = 8;
/// How long a reader waits for another one to end.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

/// A connection that goes back to its pool.
#[derive(Debug)]
pub struct Pooled {
    connection: Option<Connection>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default(), permits: Arc::new(Semaphore::new(READERS)) }
    }

    /// Lends a connection.
    pub(crate) async fn lend(self: &Arc<Self>) -> Result<Pooled, StoreError> {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait().await?,
        };
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open(&self.path).map_err(failed("open a reader"))?,
        };
        step(&connection, "BEGIN")?;
        Ok(Pooled { connection: Some(connection), pool: Arc::clone(self), _permit: permit })
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        match tokio::time::timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(closed)) => {
                Err(StoreError::Unavailable { what: "wait for a reader", cause: Box::new(closed) })
            }
            Err(_) => Err(unavailable("wait for a reader", "all readers are taken")),
        }
    }

    /// Lends no more, and lets go of what is not lent.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Pooled {
    fn connection(&mut self) -> &Connection {
        self.connection.as_ref().expect("it is taken out on drop alone")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let ended = step(&connection, "COMMIT");
        if ended.is_ok() && !self.pool.permits.is_closed() {
            self.pool.idle().push(connection);
        }
    }
}

fn open(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    tune(&connection)?;
    connection
        .execute_batch("PRAGMA query_only = ON; PRAGMA busy_timeout = 5000; PRAGMA cache_size = -8192;")?;
    Ok(connection)
}
