//! Everything that speaks to the server. Failures leave as verdicts of the core, so that they are judged once.

pub(crate) mod calls;
pub(crate) mod channel;
pub(crate) mod client;
pub(crate) mod endpoint;
pub(crate) mod fault;
pub(crate) mod sign;
pub(crate) mod tls;
pub(crate) mod trust;
