//! The store on a real PostgreSQL. Where there is none, each test says so and passes.

mod conformance;
mod leases;
mod opening;
mod outages;
mod presence;
mod proxy;
mod races;
mod signals;
mod support;
mod tls;
mod unknown;
