//! The storage port on PostgreSQL: several processes on one database.
//!
//! Owns the schema, the connections and how a transaction comes about; never a rule of Muster, and no statement that the
//! other database understands as well.
//!
//! Times are kept to the millisecond.

mod batch;
mod common;
mod connection;
mod control;
mod dialect;
mod effects;
mod failure;
mod fence;
mod guard;
mod job;
mod lane;
mod listen;
mod locks;
mod open;
mod pool;
mod prune;
mod puts;
mod recover;
mod round;
mod schema;
mod session;
mod settings;
mod shape;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod transfer;
mod values;

pub use open::{Found, OpenError, probe};
pub use pool::Pooled;
pub use settings::Settings;
pub use store::{PostgresStore, Reader};
pub use transfer::ImportError;
