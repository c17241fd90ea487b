//! Tests of the SQLite store as others see it.

mod conformance;
mod crash;
mod file;
mod join;
mod many;
mod support;
mod transfer;
