//! `muster login-link`: a one-time login link for a browser.

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Failure, Result};

/// A one-time login link.
#[derive(Debug, Args)]
pub(crate) struct LoginLink {}

/// Runs `muster login-link`.
pub(crate) async fn run(_context: &Context, _: LoginLink) -> Result {
    Err(Failure::new(Exit::Failed, "this server makes login links only when it starts")
        .hint("start it with `muster up`"))
}
