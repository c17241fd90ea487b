//! What the adapters of SQL databases have in common: the statements, how a row is written, and how it is parsed.
//!
//! One text serves every database, with `?1` for its values and nothing that only one of them understands. An adapter is
//! an [`Engine`], which runs a statement; a [`Dialect`] and a [`WriteDialect`], which hold the little that must differ: the
//! index of words, presence, how a page is joined, where counts are kept. [`View`] answers the queries of the port on any
//! such engine, and [`plan`] applies a plan. Identifiers are 16 bytes, times whole milliseconds since 1970, flags 0 and 1,
//! names of states text.
//!
//! Never gives a default: a value that no version of Muster writes is [`StoreError::Broken`](muster_store::StoreError).

mod apply;
pub mod cells;
mod dialect;
mod engine;
mod failure;
mod rows;
pub mod sql;
pub mod transfer;
mod view;
pub mod words;

pub use apply::{entries, plan, prune};
pub use dialect::{Dialect, Texts, WriteDialect};
pub use engine::{Cell, Engine, Row, Value};
pub use failure::invariant;
pub use rows::machine_list::{machine_row, place};
pub use rows::pulse::note_pulse;
pub use rows::reaper::note_watched;
pub use view::View;
