//! What PostgreSQL's errors mean to Muster.

use muster_store::StoreError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// What an error says, with what lies under it.
pub(crate) fn said(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Names what was tried and keeps the cause: `.map_err(failed("read a site"))`.
pub(crate) fn failed(what: &'static str) -> impl FnOnce(Error) -> StoreError {
    move |error| match error.code() {
        Some(code) if *code == SqlState::DISK_FULL => StoreError::Full { cause: Box::new(error) },
        Some(code) if is_mistake(code) => StoreError::Invariant { what, cause: Box::new(error) },
        Some(_) => StoreError::Unavailable { what, cause: Box::new(error) },
        None if is_of_the_line(&error) => StoreError::Unavailable { what, cause: Box::new(error) },
        None => StoreError::Invariant { what, cause: Box::new(error) },
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

/// Whether the connection is what failed: the server, the network, or the time.
fn is_of_the_line(error: &Error) -> bool {
    error.is_closed() || has_io(error)
}

fn has_io(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}
