//! Connections that only read. One is lent out at a time to one reader, with a transaction that begins with its first
//! question: everything read through it is of one moment. A reader waits for no writer, nor a writer for a reader.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::try_join;
use muster_model::{Replica, TenantId};
use muster_store::{MachineFilter, MachineRow, PageRequest, StoreError};
use muster_store_sql::cells::Parsed;
use muster_store_sql::{Dialect, Engine, Row, Texts, Value, invariant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::common::Common;
use crate::connection::{Connected, connect};
use crate::dialect;
use crate::failure::{Failure, unavailable};
use crate::round::{self, Answer};
use crate::values::{Found, Owned};

/// How long a reader waits for another one to end, and for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Pool {
    common: Arc<Common>,
    idle: Mutex<Vec<Connected>>,
    permits: Arc<Semaphore>,
}

/// A connection that goes back to its pool.
pub struct Pooled {
    connection: Option<Connected>,
    /// Whether the transaction has begun.
    begun: bool,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Pooled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pooled").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(common: Arc<Common>, most: usize) -> Self {
        Self { common, idle: Mutex::default(), permits: Arc::new(Semaphore::new(most.max(1))) }
    }

    /// Lends a connection.
    pub(crate) async fn lend(self: &Arc<Self>) -> Result<Pooled, StoreError> {
        const WHAT: &str = "wait for a reader";
        let lent = async {
            let permit = match Arc::clone(&self.permits).acquire_owned().await {
                Ok(permit) => permit,
                Err(closed) => return Err(StoreError::Unavailable { what: WHAT, cause: Box::new(closed) }),
            };
            let connection = match self.take() {
                Some(connection) => connection,
                None => self.open().await?,
            };
            Ok(Pooled { connection: Some(connection), begun: false, pool: Arc::clone(self), _permit: permit })
        };
        match tokio::time::timeout(PATIENCE, lent).await {
            Ok(lent) => lent,
            Err(_) => Err(unavailable(WHAT, "all readers are taken")),
        }
    }

    fn take(&self) -> Option<Connected> {
        let mut idle = self.idle();
        while let Some(connection) = idle.pop() {
            if connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    async fn open(&self) -> Result<Connected, StoreError> {
        connect(&self.common.dial()).await.map_err(|failure| failure.told("open a reader"))
    }

    /// Lends no more, and lets go of what is not lent.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connected>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pooled {
    async fn ask(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Answer, StoreError> {
        let values: Vec<Owned> = values.iter().map(|value| Owned::from(*value)).collect();
        let first = !self.begun;
        let answer = match self.try_ask(sql, &values).await {
            // It lay idle while the server went away and came back: nothing was read on it yet. A server that hangs is
            // not waited for twice.
            Err(failure) if first && failure.is_of_the_line() && !matches!(failure, Failure::Late) => {
                self.connection = Some(self.pool.open().await?);
                self.begun = false;
                self.try_ask(sql, &values).await
            }
            answer => answer,
        };
        answer.map_err(|failure| failure.told(what))
    }

    async fn try_ask(&mut self, sql: &'static str, values: &[Owned]) -> Result<Answer, Failure> {
        const BEGIN: [&str; 2] = [
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; DISCARD PLANS",
        ];
        let connection = self.connection.as_ref().expect("it is taken out on drop alone");
        let begun = std::mem::replace(&mut self.begun, true);
        let asked = async {
            let statement = connection.prepared(sql).await?;
            let asked = round::one(connection, &statement, values);
            if begun {
                return asked.await;
            }
            // Sent together: the first question costs no more than the others.
            try_join(connection.begin(BEGIN), asked).await.map(|((), answer)| answer)
        };
        connection.bounded(asked).await
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.begun {
            // Sent by the first look; nobody waits for the answer.
            drop(connection.step("COMMIT").now_or_never());
        }
        if connection.is_usable() && !self.pool.permits.is_closed() {
            self.pool.idle().push(connection);
        }
    }
}

impl Engine for Pooled {
    async fn query<T: Send>(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
        mut parse: impl FnMut(&dyn Row) -> Parsed<T> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let answer = self.ask(what, sql, values).await?;
        answer.rows.iter().map(|row| parse(&Found { row, skip: answer.skip })).collect()
    }

    async fn execute(
        &mut self,
        what: &'static str,
        _: &'static str,
        _: &[Value<'_>],
    ) -> Result<u64, StoreError> {
        Err(invariant(what, "a reader does not write"))
    }
}

impl Dialect for Pooled {
    const TEXTS: &'static Texts = &dialect::TEXTS;

    async fn found(
        &mut self,
        tenant: TenantId,
        filter: &MachineFilter,
        page: PageRequest,
        words: &[String],
    ) -> Result<Vec<MachineRow>, StoreError> {
        dialect::found(self, tenant, filter, page, words).await
    }

    async fn replicas(&mut self) -> Result<Vec<Replica>, StoreError> {
        dialect::replicas(self).await
    }
}
