//! What can go wrong between Muster and its database.

use muster_model::Refusal;
use thiserror::Error;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A database that did not answer, or answered with something that cannot be.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It cannot be reached, is locked by another, or timed out. Nothing was written.
    #[error("the store is unavailable: {what}")]
    Unavailable {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        cause: Cause,
    },
    /// There is no room left to write. Reading goes on.
    #[error("the store has no room left to write")]
    Full {
        /// Why it failed.
        #[source]
        cause: Cause,
    },
    /// The connection was lost while committing, and could not be asked since. It may have been written: repeating the
    /// same request is safe and tells.
    #[error("it is not known whether the store wrote: {what}")]
    Unknown {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        cause: Cause,
    },
    /// The right to do a job went to another replica. Nothing was written.
    #[error("another replica does the job {job} now")]
    Fenced {
        /// The job.
        job: &'static str,
    },
    /// A row that no version of Muster writes.
    #[error("broken row in {table}: column {column} of {row}")]
    Broken {
        /// Its table.
        table: &'static str,
        /// Its key, as text.
        row: String,
        /// The column that cannot be.
        column: &'static str,
    },
    /// An invariant of the schema was violated by a plan: our own mistake.
    #[error("a plan violates the schema: {what}")]
    Invariant {
        /// What was tried.
        what: &'static str,
        /// What the database said.
        #[source]
        cause: Cause,
    },
}

/// Why a decision was not carried out.
#[derive(Debug, Error)]
pub enum SettleError {
    /// It was decided: no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed. Nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
