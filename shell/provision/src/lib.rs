//! Connectors to other systems: they carry out what an [`Order`](muster_app::Order) wants, and keep nothing.
//!
//! Each call is bounded in time and in size, follows no redirect and uses no proxy. Never changes an account that is not
//! ours, and never writes a passphrase or a token into an error: what another system says is cut to what can be shown.

mod ergo;
mod http;
mod irc;
mod webhook;

pub use ergo::{Ergo, ErgoSettings};
pub use http::SetupError;
pub use irc::IrcOperator;
pub use webhook::{Allowed, Webhook, WebhookSettings};
