//! Why a transfer stopped. Whatever it was, nothing was written.

use muster_store::StoreError;
use thiserror::Error;

/// Why a transfer stopped.
#[derive(Debug, Error)]
pub enum TransferError {
    /// A database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The target refused rows.
    #[error("the database refuses the rows of lines {from} to {to}")]
    Refused {
        /// The first of these lines.
        from: u64,
        /// The last.
        to: u64,
        /// What it said.
        #[source]
        cause: StoreError,
    },
    /// A line is not what was exported.
    #[error("line {line}: {what}")]
    Damaged {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// The lines were written by a version that this one does not understand.
    #[error("line {line}: written by another version of Muster: {what}")]
    Version {
        /// Which, from 1.
        line: u64,
        /// What differs.
        what: String,
    },
    /// There is no deployment to export.
    #[error("there is no deployment in this database")]
    Nothing,
    /// The target has something in it.
    #[error("the database to import into is not empty")]
    NotEmpty,
    /// What arrived is not what was sent.
    #[error("what arrived in the database is not what was sent: {what}")]
    Differs {
        /// What was compared.
        what: String,
    },
    /// Lines could not be read or written.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        cause: std::io::Error,
    },
    /// The other end stopped; it tells why.
    #[error("the other end of the transfer stopped")]
    Gone,
}
