//! What PostgreSQL's errors mean to Muster.

use std::fmt;
use std::sync::Arc;

use muster_store::StoreError;
use tokio_postgres::error::SqlState;

/// Why a statement gave no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The driver, or the server through it.
    Driver(tokio_postgres::Error),
    /// Nobody answered in time. The connection is of no use any more.
    Late,
    /// A statement for many does not tell whose row it did not touch.
    Unclear,
    /// A decision waits for something that is not the store.
    Idle,
}

/// What a lost race, or a crowd, is called in the metrics.
pub(crate) type Cause = &'static str;

impl Failure {
    pub(crate) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Driver(error) => error.code(),
            Self::Late | Self::Unclear | Self::Idle => None,
        }
    }

    /// Whether the connection is what failed: the server went away, the network, or the time is over.
    pub(crate) fn is_of_the_line(&self) -> bool {
        match self {
            Self::Late => true,
            Self::Unclear | Self::Idle => false,
            Self::Driver(error) => match error.code() {
                // The server ends, ended or begins; it has closed the connection or is about to.
                Some(code) => matches!(code.code(), "57P01" | "57P02" | "57P03" | "25P03" | "57P05"),
                None => error.is_closed() || has_io(error),
            },
        }
    }

    /// What to call it, where the same work done again may well succeed: a race that was lost, or too many at once.
    pub(crate) fn is_passing(&self) -> Option<Cause> {
        match *self.code()? {
            SqlState::T_R_SERIALIZATION_FAILURE => Some("serialization"),
            SqlState::T_R_DEADLOCK_DETECTED => Some("deadlock"),
            SqlState::LOCK_NOT_AVAILABLE => Some("lock_timeout"),
            SqlState::UNIQUE_VIOLATION => Some("unique"),
            SqlState::OUT_OF_MEMORY => Some("memory"),
            _ => None,
        }
    }

    /// The same for a caller: what was tried, and why it failed.
    pub(crate) fn told(self, what: &'static str) -> StoreError {
        let is_mistake = match &self {
            Self::Late => false,
            Self::Unclear | Self::Idle => true,
            Self::Driver(error) => match error.code() {
                Some(code) if *code == SqlState::DISK_FULL => {
                    return StoreError::Full { cause: Box::new(self) };
                }
                Some(code) => is_mistake(code),
                None => !self.is_of_the_line(),
            },
        };
        let cause = Box::new(self);
        if is_mistake {
            StoreError::Invariant { what, cause }
        } else {
            StoreError::Unavailable { what, cause }
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Driver(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(error) => f.write_str(&said(error)),
            Self::Late => f.write_str("it took too long"),
            Self::Unclear => f.write_str("of several rows, not all were there"),
            Self::Idle => f.write_str("it waits for something that is not the store"),
        }
    }
}

impl std::error::Error for Failure {}

/// What an error says, with what lies under it.
pub(crate) fn said(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The same failure, for one of several callers that it hit.
pub(crate) fn told(error: &Arc<StoreError>) -> StoreError {
    let cause = Box::new(Arc::clone(error));
    match &**error {
        StoreError::Unavailable { what, .. } => StoreError::Unavailable { what, cause },
        StoreError::Full { .. } => StoreError::Full { cause },
        StoreError::Unknown { what, .. } => StoreError::Unknown { what, cause },
        StoreError::Fenced { job } => StoreError::Fenced { job },
        StoreError::Invariant { what, .. } => StoreError::Invariant { what, cause },
        StoreError::Broken { table, row, column } => StoreError::Broken { table, row: row.clone(), column },
    }
}

/// A store that cannot be used for a reason that is not the driver's.
pub(crate) fn unavailable(what: &'static str, why: impl Into<String>) -> StoreError {
    StoreError::Unavailable { what, cause: why.into().into() }
}

/// Data that cannot be, a violated constraint, a statement that is wrong: our own mistakes.
fn is_mistake(code: &SqlState) -> bool {
    matches!(code.code().as_bytes(), [b'2', b'1' | b'2' | b'3', ..] | [b'4', b'2', ..])
}

fn has_io(error: &tokio_postgres::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}
