//! A typed client of Muster's management API, for programs and for our own command line.
//!
//! Owns how a request travels: over the server's Unix socket or over TLS that trusts exactly one deployment, with an
//! idempotency key on every write, and answers read into the shapes of `muster-wire`. Holds no rule the server must
//! also enforce, and never decides for its caller whether an error matters.
//!
//! Invariant: nothing secret is sent before the server has proved to be the pinned one.

mod access;
mod accounts;
mod alarms;
mod audit;
mod ca;
mod callers;
mod engagements;
mod error;
mod grants;
mod holds;
mod machines;
mod operators;
mod overview;
mod page;
mod path;
mod reaper;
mod replicas;
mod request;
mod sites;
mod status;
mod tls;
mod trust;

pub use error::ClientError;
pub use page::collect;
pub use request::Client;
pub use tls::{config_for_roots, pin_of};
pub use trust::{PinnedTrust, first_contact, pinned_root};
