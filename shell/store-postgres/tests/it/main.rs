//! The store on a real PostgreSQL. Where there is none, each test says so and passes.

mod conformance;
mod support;
