//! `muster restore`: going on from a database that was put back to an older day.

use std::io::{BufRead, IsTerminal, Write};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_wire::replica::RestoreAccepted;
use muster_wire::status::Status;

use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Human, details, escape};

/// Going on from an older database.
#[derive(Debug, Subcommand)]
pub(crate) enum Restore {
    /// Accept that the database is older than what was seen of it: what it has forgotten stays forgotten.
    Accept(Accept),
}

/// How sure.
#[derive(Debug, Args)]
pub(crate) struct Accept {
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

/// Runs `muster restore`.
pub(crate) async fn run(context: &Context, verb: Restore) -> Result {
    let Restore::Accept(args) = verb;
    let client = context.client().await?;
    let status = client.status().await?;
    if status.mode != "restored" {
        return Err(Failure::new(Exit::Conflict, "there is nothing to accept")
            .cause("the database is not older than what was seen of it"));
    }
    if !args.yes {
        sure(&status)?;
    }
    context.out.show(&client.accept_restore().await?)
}

/// Shows what is lost, and asks.
fn sure(status: &Status) -> Result {
    let mut err = std::io::stderr().lock();
    let mut say = |text: &str| write!(err, "{text}").and_then(|()| err.flush());
    let failed = |error: &std::io::Error| Failure::new(Exit::Failed, "nobody can be asked").because(error);
    for warning in &status.warnings {
        say(&format!("{}\n", escape(warning))).map_err(|error| failed(&error))?;
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, "nobody is here to be asked").hint("add --yes to accept it"));
    }
    say("Machines that came in since are unknown, and what was revoked since is not. Go on? [y/N] ")
        .map_err(|error| failed(&error))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| failed(&error))?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "nothing was accepted")),
    }
}

impl Human for RestoreAccepted {
    fn human(&self, _: Timestamp) -> String {
        let facts = details([
            ("incarnation", self.incarnation.clone()),
            ("seen", format!("entry {} of the audit log", self.seen)),
            ("goes on", format!("after entry {}", self.found)),
        ]);
        format!(
            "{facts}\n\nLook at what came and went in between: revoke again what was revoked, and let in again whom it has\nforgotten, with a new invite: their agents end, because nobody here knows them."
        )
    }
}
