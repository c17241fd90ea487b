//! What the adapters of SQL databases have in common: the statements, how a row is written, and how it is parsed.
//!
//! One text serves every database, with `?1` for its values and nothing that only one of them understands; what must
//! differ (the index of words, presence, how a page is joined) is with the adapter. An adapter is an [`Engine`]: it runs a
//! statement. Identifiers are 16 bytes, times whole milliseconds since 1970, flags 0 and 1, names of states text.
//!
//! Never gives a default: a value that no version of Muster writes is [`StoreError::Broken`](muster_store::StoreError).

pub mod cells;
mod engine;

pub use engine::{Cell, Engine, Row, Value};
