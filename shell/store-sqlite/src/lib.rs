//! The storage port on SQLite: one file, one writer thread that commits many decisions at once, and readers that never
//! wait for it.
//!
//! Owns the schema, the transactions and what is SQLite's own; the statements are of `muster-store-sql`. Never a rule of
//! Muster. What is acknowledged is
//! durable: WAL with `synchronous=FULL`, asked back after opening. After a failed sync or found damage the store
//! takes no more writes, and [`SqliteStore::damaged`] returns: the process is expected to end.
//!
//! Times are kept to the millisecond.

mod batch;
mod checkpoint;
mod dialect;
mod engine;
mod failure;
mod health;
mod job;
mod open;
mod pool;
mod presence;
mod search;
mod store;
#[cfg(test)]
mod tests;
mod transfer;
mod writer;

pub use engine::{Source, Sqlite};
pub use open::OpenError;
pub use pool::Pooled;
pub use store::SqliteStore;
pub use transfer::{Found, ImportError};

/// A consistent view for reading. Give it back soon: there are only so many.
pub type Reader = muster_store_sql::View<Sqlite<Pooled>>;
