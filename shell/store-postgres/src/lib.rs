//! The storage port on PostgreSQL: several processes on one database.
//!
//! Owns the schema, the connections and how a transaction comes about; never a rule of Muster, and no statement that the
//! other database understands as well.
//!
//! Times are kept to the millisecond.

mod connection;
mod failure;
mod open;
mod schema;
mod settings;
mod store;
mod tls;

pub use open::{Found, OpenError, probe};
pub use settings::Settings;
pub use store::PostgresStore;
