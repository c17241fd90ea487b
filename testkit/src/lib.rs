//! What tests are made of: a clock that stands still, identifiers that count, and things with sensible defaults.
//!
//! Nothing here is random or reads a clock, so that a test that failed fails again. Never part of a release.

#[cfg(feature = "authenticator")]
pub mod authenticator;
pub mod balancer;
mod clock;
#[cfg(feature = "downstream")]
pub mod downstream;
#[cfg(feature = "downstream")]
pub mod ergo;
mod ids;
mod listener;
mod port;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod proxy;
#[cfg(feature = "downstream")]
pub mod receiver;
#[cfg(feature = "reference")]
pub mod reference;
mod things;
#[cfg(feature = "world")]
pub mod world;

pub use clock::FixedClock;
pub use ids::{Ids, counted_bytes};
pub use port::free_address;
pub use things::{Kit, at, public_key, secret_pair};
