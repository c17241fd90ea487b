//! `muster serve`: a server only, for hosts that are no machines of their own fleet.

use clap::Args;

use super::up::Listen;
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};

/// A server only.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// How it is reached.
    #[command(flatten)]
    pub(crate) listen: Listen,
}

/// Runs `muster serve`.
pub(crate) fn run(_context: &Context, _args: Serve) -> Result {
    Err(Failure::new(Exit::Failed, "the server is not part of this build"))
}
