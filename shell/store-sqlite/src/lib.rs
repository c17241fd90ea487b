//! The storage port on SQLite: one file, one writer thread that commits many decisions at once, and readers that never
//! wait for it.
//!
//! Owns the SQL text, the schema and how a row is written and parsed; never a rule of Muster. What is acknowledged is
//! durable: WAL with `synchronous=FULL`, asked back after opening. After a failed sync or found damage the store
//! takes no more writes, and [`SqliteStore::damaged`] returns: the process is expected to end.
//!
//! Times are kept to the millisecond.

mod apply;
mod batch;
mod cells;
mod checkpoint;
mod failure;
mod health;
mod job;
mod open;
mod pool;
mod rows;
mod search;
mod sql;
mod store;
#[cfg(test)]
mod tests;
mod view;
mod writer;

pub use open::OpenError;
pub use pool::Pooled;
pub use store::SqliteStore;
pub use view::{Reader, View};
