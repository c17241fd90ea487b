//! `muster doctor`.
use std::process::ExitCode;

use clap::Args;

use crate::context::Context;
use crate::failure::Result;

/// What to look at.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

/// Runs `muster doctor`.
pub(crate) async fn run(_context: &Context, _: Doctor) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
