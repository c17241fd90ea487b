//! Putting a server together: this room alone names the concrete store, issuer and clock.

pub(crate) mod home;
mod jobs;
mod ports;
mod running;
mod tls;

pub(crate) use home::Home;
pub(crate) use ports::SystemPorts;
pub(crate) use running::{Running, start};
