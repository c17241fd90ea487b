//! One connection, and the statements that stay prepared on it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Statement};

use crate::settings::Dial;

/// How long it may take until a connection is there, all of its hosts and its handshakes together.
const PATIENCE: Duration = Duration::from_secs(4);

/// A connection.
pub(crate) struct Connected {
    pub(crate) client: Client,
    statements: Mutex<HashMap<&'static str, Arc<OnceCell<Statement>>>>,
    task: JoinHandle<()>,
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").field("closed", &self.client.is_closed()).finish_non_exhaustive()
    }
}

impl Connected {
    pub(crate) fn new(client: Client, task: JoinHandle<()>) -> Self {
        Self { client, statements: Mutex::default(), task }
    }

    /// The statement, prepared once.
    pub(crate) async fn prepared(&self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        let cell = {
            let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(statements.entry(sql).or_default())
        };
        let statement = cell.get_or_try_init(|| async { self.client.prepare(&translated(sql)).await });
        statement.await.cloned()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        // A server that hangs would never let the task end.
        self.task.abort();
    }
}

/// `?1` becomes `$1`. A question mark is nothing else in a statement of ours.
fn translated(sql: &str) -> String {
    sql.replace('?', "$")
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Failure {
    Driver(tokio_postgres::Error),
    Late,
}

impl Failure {
    pub(crate) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Driver(error) => error.code(),
            Self::Late => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(error) => f.write_str(&crate::failure::said(error)),
            Self::Late => f.write_str("it took too long"),
        }
    }
}

impl std::error::Error for Failure {}

/// Makes a connection.
pub(crate) async fn connect(dial: &Dial) -> Result<Connected, Failure> {
    let connected = tokio::time::timeout(PATIENCE, dial.connect()).await;
    let (client, connection) = match connected {
        Ok(connected) => connected.map_err(Failure::Driver)?,
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
