//! `muster completions`: completions for a shell, on standard output.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::context::Context;
use crate::failure::Result;

/// Completions for a shell.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell.
    shell: Shell,
}

/// Runs `muster completions`.
pub(crate) fn run(context: &Context, args: Completions) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "muster", &mut script);
    context.out.text(&String::from_utf8_lossy(&script))
}
