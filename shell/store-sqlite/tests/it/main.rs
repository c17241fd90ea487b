//! Tests of the SQLite store as others see it.

mod conformance;
mod file;
