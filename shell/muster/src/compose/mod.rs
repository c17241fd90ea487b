//! Putting a server together: this room alone names the concrete store, issuer and clock.

pub(crate) mod bundle;
mod ca_copy;
pub(crate) mod database;
pub(crate) mod founded;
pub(crate) mod home;
mod jobs;
pub(crate) mod moving;
mod own_certificate;
pub(crate) mod payload_key;
mod ports;
mod provision;
mod running;
mod secret;
mod seen;
mod store;
mod tls;

pub(crate) use home::{Home, unusable};
pub(crate) use own_certificate::OwnFiles;
pub(crate) use ports::SystemPorts;
pub(crate) use provision::provisioners;
pub(crate) use running::{Running, start};
