//! Carrying everything from one database to another: as lines of JSON, read in one transaction and written in one.
//!
//! The head names the deployment, its newest audit entry and how many rows follow; the tail has a SHA-256 of all lines
//! before it. Rows go as they are: both schemas have the same tables and columns. What can be made of them (the index of
//! words, the counts of machines) is made anew, and nobody is online on the other side. Whoever imports commits only
//! after [`import`] returned: then everything is there, was counted and compared.

mod error;
mod export;
mod format;
mod import;
mod table;
#[cfg(test)]
mod tests;

use std::future::Future;

use muster_store::StoreError;

use crate::dialect::WriteDialect;

pub use error::TransferError;
pub use export::export;
pub use format::Head;
pub use import::{Incoming, import};

/// Where lines go.
pub trait Sink: Send {
    /// Takes one, without its line break.
    fn put(&mut self, line: String) -> impl Future<Output = Result<(), TransferError>> + Send;
}

/// Where lines come from.
pub trait Source: Send {
    /// Gives the next one, without its line break; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<String>, TransferError>> + Send;
}

/// A database that takes an import, within the one transaction of it.
pub trait Landing: WriteDialect {
    /// Words were noted for many machines: they need not be kept in memory.
    fn words_noted(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Every row is there: what counts on by itself goes on after the last of them.
    fn landed(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;
}
