//! The ways in which a use case ends without its result.

use muster_issuer::{AuthorityError, IssueError, TokenError};
use muster_model::Refusal;
use muster_store::{SettleError, StoreError};
use muster_wire::{FieldError, FieldErrors};
use thiserror::Error;

/// Why a use case ended without its result.
#[derive(Debug, Error)]
pub enum Error {
    /// It is not a request.
    #[error(transparent)]
    Malformed(#[from] FieldErrors),
    /// It was understood, and decided: no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed, or an invariant of ours.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This server has not seen the store for too long to decide anything.
    #[error("the store was not seen for too long")]
    Stale,
    /// The store was put back to an older day, and nobody has accepted that yet.
    #[error("the store is older than what was seen of it")]
    Restored,
    /// The authority could not sign.
    #[error("the authority could not issue")]
    Issue(#[from] IssueError),
    /// The next authority could not be made, or the one of the database not be opened.
    #[error("the authority cannot be changed")]
    Authority(#[from] AuthorityError),
    /// The authority could not sign a token.
    #[error("the authority could not sign")]
    Token(#[from] TokenError),
}

impl Error {
    /// One wrong field.
    pub(crate) fn field(path: impl Into<String>, message: impl std::fmt::Display) -> Self {
        Self::Malformed(FieldErrors(vec![FieldError { path: path.into(), message: message.to_string() }]))
    }
}

impl From<SettleError> for Error {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Refused(refusal) => Self::Refused(refusal),
            SettleError::Store(error) => Self::Store(error),
        }
    }
}
