//! `muster man`: the man pages, a file per command.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};

use crate::cli::Cli;
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};

/// Where the man pages go.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// An existing or new directory.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Runs `muster man`.
pub(crate) fn run(context: &Context, args: Man) -> Result {
    std::fs::create_dir_all(&args.dir)
        .and_then(|()| write_pages(&args.dir))
        .map_err(|error| failed(&args.dir, &error))?;
    context.out.note(&format!("man pages are in {}", args.dir.display()));
    Ok(())
}

/// Writes every page, `muster.1` and one for each command.
pub(crate) fn write_pages(dir: &Path) -> std::io::Result<()> {
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), dir)
}

fn failed(dir: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("the man pages cannot be written to {}", dir.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_noun_and_verb_has_a_page() {
        let dir = std::env::temp_dir().join(format!("muster-man-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        write_pages(&dir).expect("writable");
        for page in ["muster.1", "muster-up.1", "muster-hold-approve.1", "muster-agent-run.1"] {
            assert!(dir.join(page).exists(), "{page}");
        }
        std::fs::remove_dir_all(&dir).expect("our own directory");
    }
}
