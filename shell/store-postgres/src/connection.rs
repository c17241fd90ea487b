//! One connection, and the statements that stay prepared on it. No wait for it is without an end.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use crate::failure::Failure;
use crate::settings::Dial;
use crate::shape;

/// How long it may take until a connection is there, all of its hosts and its handshakes together.
const CONNECT: Duration = Duration::from_secs(4);
/// How long an answer may take. The server itself gives up earlier; this is for one that hangs.
const ANSWER: Duration = Duration::from_secs(6);

/// What is bound.
pub(crate) type Values<'v> = &'v [&'v (dyn ToSql + Sync)];

/// A connection.
pub(crate) struct Connected {
    pub(crate) client: Client,
    statements: Kept<Statement>,
    grouped: Kept<Option<Statement>>,
    /// Set once it must not be used any more, though it stands.
    spoilt: AtomicBool,
    /// How many transactions were begun on it.
    begun: AtomicU32,
    task: JoinHandle<()>,
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").field("usable", &self.is_usable()).finish_non_exhaustive()
    }
}

impl Connected {
    pub(crate) fn new(client: Client, task: JoinHandle<()>) -> Self {
        let (spoilt, begun) = (AtomicBool::new(false), AtomicU32::new(0));
        Self { client, statements: Kept::default(), grouped: Kept::default(), spoilt, begun, task }
    }

    /// The statement, prepared once.
    pub(crate) async fn prepared(&self, sql: &'static str) -> Result<Statement, Failure> {
        self.statements.get(sql, || async { Ok(self.client.prepare(&translated(sql)).await?) }).await
    }

    /// The statement for many, prepared once; `None` where it has no such form.
    pub(crate) async fn grouped(&self, sql: &'static str) -> Result<Option<Statement>, Failure> {
        let make = || async {
            let single = self.prepared(sql).await?;
            match shape::grouped(sql, single.params()) {
                Some(text) => Ok(Some(self.client.prepare(&text).await?)),
                None => Ok(None),
            }
        };
        self.grouped.get(sql, make).await
    }

    /// Every row of a statement.
    pub(crate) async fn query(&self, statement: &Statement, values: Values<'_>) -> Result<Vec<Row>, Failure> {
        let rows = self.client.query_raw(statement, values.iter().copied()).await?;
        Ok(rows.try_collect().await?)
    }

    /// How many rows a statement touches.
    pub(crate) async fn execute(&self, statement: &Statement, values: Values<'_>) -> Result<u64, Failure> {
        Ok(self.client.execute_raw(statement, values.iter().copied()).await?)
    }

    /// A statement without values, unprepared. It is sent when this is first polled.
    pub(crate) async fn step(&self, sql: &'static str) -> Result<(), Failure> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Waits for an answer, and not for ever. After a failure of the connection it is of no use any more.
    pub(crate) async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let answer = match tokio::time::timeout(ANSWER, work).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Late),
        };
        if answer.as_ref().is_err_and(Failure::is_of_the_line) {
            self.spoil();
        }
        answer
    }

    /// Begins a transaction. From time to time, and less and less often, everything is planned anew: the first plans were
    /// made when the tables may have been empty, and are kept until the server gathers statistics, which takes a minute.
    pub(crate) async fn begin(&self, [plain, anew]: [&'static str; 2]) -> Result<(), Failure> {
        let before = self.begun.fetch_add(1, Ordering::Relaxed);
        self.step(if before >= 16 && before.is_power_of_two() { anew } else { plain }).await
    }

    /// Returns once everything that was sent is answered, or the connection is closed: however long that takes.
    pub(crate) async fn answered(&self) {
        // Which of both it was makes no difference.
        self.client.batch_execute("").await.ok();
    }

    /// Nobody is to use it any more.
    pub(crate) fn spoil(&self) {
        self.spoilt.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_usable(&self) -> bool {
        !self.spoilt.load(Ordering::Relaxed) && !self.client.is_closed()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        // A server that hangs would never let the task end.
        self.task.abort();
    }
}

/// What is made once for each text.
struct Kept<T>(Mutex<HashMap<&'static str, Arc<OnceCell<T>>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Kept<T> {
    async fn get<F: Future<Output = Result<T, Failure>>>(
        &self,
        sql: &'static str,
        make: impl FnOnce() -> F,
    ) -> Result<T, Failure> {
        let cell = {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(kept.entry(sql).or_default())
        };
        cell.get_or_try_init(make).await.cloned()
    }
}

/// `?1` becomes `$1`. A question mark is nothing else in a statement of ours.
fn translated(sql: &str) -> String {
    sql.replace('?', "$")
}

/// Makes a connection.
pub(crate) async fn connect(dial: &Dial) -> Result<Connected, Failure> {
    let (client, connection) = match tokio::time::timeout(CONNECT, dial.connect()).await {
        Ok(connected) => connected?,
        Err(_) => return Err(Failure::Late),
    };
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %crate::failure::said(&error), "a connection to the database ended");
        }
    });
    Ok(Connected::new(client, task))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_written_as_the_server_wants_them() {
        assert_eq!(translated("a = ?1 AND b = ?12"), "a = $1 AND b = $12");
    }
}
