//! Fixtures for the tests beside the decisions, and properties that hold over whole histories of them.

pub(crate) mod fixtures;
pub(crate) mod people;
mod properties;
mod world;
