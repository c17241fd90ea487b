//! `muster agent`: the resident program of a machine.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::join::Join;
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};

/// The agent of this machine.
#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Run the agent: hold the channel, renew the credential; enroll first where an invite is given.
    Run(Run),
    /// Tell what the agent's directory holds: identity, state, credential, trouble.
    Status,
    /// Sign this machine off: it becomes retired, its files are set aside.
    Leave,
}

/// How to run the agent.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// How this machine asks to be let in, if it is not yet.
    #[command(flatten)]
    pub(crate) join: Join,
    /// Set owner and mode of the agent's files right before starting.
    #[arg(long)]
    pub(crate) repair_permissions: bool,
}

/// Runs `muster agent`.
pub(crate) fn run(_context: &Context, _verb: Agent) -> Result<ExitCode> {
    Err(Failure::new(Exit::Failed, "the agent is not part of this build"))
}
