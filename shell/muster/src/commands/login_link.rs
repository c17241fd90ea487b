//! `muster login-link`: a one-time login link for a browser.

use clap::Args;
use jiff::Timestamp;
use muster_wire::access::LoginLink as Link;

use crate::context::Context;
use crate::failure::Result;
use crate::output::Human;

/// A one-time login link.
#[derive(Debug, Args)]
pub(crate) struct LoginLink {}

/// Runs `muster login-link`.
pub(crate) async fn run(context: &Context, _: LoginLink) -> Result {
    context.out.show(&context.client().await?.create_login_link().await?)
}

impl Human for Link {
    fn human(&self, _: Timestamp) -> String {
        format!("Open this once, soon, in a browser:\n\n    {}\n", self.login_url)
    }
}
