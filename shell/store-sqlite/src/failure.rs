//! What SQLite's error codes mean to Muster.
//!
//! Three kinds matter: no room (reading goes on), a violated schema (our own mistake), and damage or a failed write of
//! the disk. After the last kind nothing that was thought written is certain (PostgreSQL's fsync lesson of 2018), so the
//! store takes no more writes and the process is expected to end.

use std::sync::Arc;

use muster_store::StoreError;
use rusqlite::{Error, ErrorCode};

/// Names what was tried and keeps the cause: `.map_err(failed("read a site"))`.
pub(crate) fn failed(what: &'static str) -> impl FnOnce(Error) -> StoreError {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { cause: Box::new(error) },
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::ApiMisuse) | None => {
            StoreError::Invariant { what, cause: Box::new(error) }
        }
        Some(_) => StoreError::Unavailable { what, cause: Box::new(error) },
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

/// A store that cannot be used for a reason that is not SQLite's.
pub(crate) fn unavailable(what: &'static str, why: impl Into<String>) -> StoreError {
    StoreError::Unavailable { what, cause: why.into().into() }
}

/// Whether nothing that was written since the last commit, or even before, is certain any more.
pub(crate) fn is_damage(error: &StoreError) -> bool {
    let StoreError::Unavailable { cause, .. } = error else { return false };
    let code = cause.downcast_ref::<Error>().and_then(Error::sqlite_error_code);
    matches!(code, Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn error(code: i32) -> Error {
        Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn no_room_is_told_apart_from_an_outage_and_from_a_mistake() {
        assert!(matches!(failed("w")(error(ffi::SQLITE_FULL)), StoreError::Full { .. }));
        assert!(matches!(failed("w")(error(ffi::SQLITE_BUSY)), StoreError::Unavailable { .. }));
        assert!(matches!(failed("w")(error(ffi::SQLITE_CONSTRAINT)), StoreError::Invariant { .. }));
        assert!(matches!(failed("w")(Error::InvalidQuery), StoreError::Invariant { .. }));
    }

    #[test]
    fn q_53_failed_sync_and_corruption_are_damage_and_a_full_disk_is_not() {
        for code in [ffi::SQLITE_IOERR, ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
            assert!(is_damage(&failed("w")(error(code))), "{code}");
        }
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_BUSY, ffi::SQLITE_CONSTRAINT] {
            assert!(!is_damage(&failed("w")(error(code))), "{code}");
        }
    }
}
