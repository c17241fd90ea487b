//! The HTTP face of Muster: routes, authentication, limits, the problem table, pages and health.
//!
//! A handler takes the request apart, calls one use case and writes its answer. It decides nothing: who may call is
//! asked before any handler runs, by the action that each route must declare to be mounted at all, and every error
//! becomes a problem document in one table.

mod compat;
pub mod console;
pub mod limits;
pub mod metrics;
mod problem;
mod route;
mod routes;
pub mod serve;
mod socket;
mod state;

pub use axum::Router;
pub use compat::Wires;
pub use problem::{document, problems};
pub use route::Mounted;
pub use routes::{compat_router, openapi, router};
pub use state::{Config, ServerState};
