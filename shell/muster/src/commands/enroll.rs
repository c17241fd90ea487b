//! `muster enroll`: turn this machine into a known one, and wait until it is let in.

use std::process::ExitCode;

use clap::Args;

use super::join::Join;
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};

/// Enroll this machine.
#[derive(Debug, Args)]
pub(crate) struct Enroll {
    /// How this machine asks to be let in.
    #[command(flatten)]
    pub(crate) join: Join,
    /// Ask once: end with code 21 where a person must decide, 30 where nobody answers.
    #[arg(long, visible_alias = "once")]
    pub(crate) no_wait: bool,
}

/// Runs `muster enroll`.
pub(crate) fn run(_context: &Context, _args: Enroll) -> Result<ExitCode> {
    Err(Failure::new(Exit::Failed, "the agent is not part of this build"))
}
