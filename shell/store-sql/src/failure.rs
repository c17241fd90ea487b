//! Our own mistakes, found before the database does.

use muster_store::StoreError;

/// What a plan or a caller must not do.
pub fn invariant(what: &'static str, why: impl Into<String>) -> StoreError {
    StoreError::Invariant { what, cause: why.into().into() }
}
