//! `muster replica`: the servers of the deployment, and what a further one needs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_wire::replica::Replica as Shape;
use serde::Serialize;

use super::lists::Listed;
use crate::compose::bundle;
use crate::context::Context;
use crate::failure::Result;
use crate::output::{Human, details, relative, table};

/// The servers of the deployment.
#[derive(Debug, Subcommand)]
pub(crate) enum Replica {
    /// List the servers of the deployment.
    #[command(visible_alias = "list")]
    Ls,
    /// Write what a further server needs into a file: the CA's keys and the pepper. Keep it as you keep them.
    Export(Export),
    /// Make the data directory of a further server out of such a file.
    Import(Import),
}

/// Where it goes.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A file that is not there yet; it is made with mode 0600.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Where it comes from.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file that `muster replica export` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What went out or came in.
#[derive(Debug, Serialize)]
struct Handed {
    deployment: String,
    file: PathBuf,
    data_dir: PathBuf,
    #[serde(skip)]
    next: &'static str,
}

/// Runs `muster replica`.
pub(crate) async fn run(context: &Context, verb: Replica) -> Result {
    let data_dir = context.server_dir(&context.config()?.config);
    let out = context.out;
    let (deployment, file, next) = match verb {
        Replica::Ls => return out.show(&context.client().await?.replicas().await?),
        Replica::Export(args) => (
            bundle::export(&data_dir, &args.out)?,
            args.out,
            "It holds the keys of the deployment. Bring it to the other host, import it there, and remove it:\n\n    muster replica import FILE",
        ),
        Replica::Import(args) => (
            bundle::import(&data_dir, &args.file)?,
            args.file,
            "Remove the file. Say in the configuration where the database is, and start the server:\n\n    muster serve",
        ),
    };
    out.show(&Handed { deployment: deployment.to_string(), file, data_dir, next })
}

impl Listed for Shape {
    const EMPTY: &'static str = "No server is known.";

    fn table(items: &[Self], now: Timestamp) -> String {
        let header = ["ID", "VERSION", "STARTED", "ALIVE", "CHANNELS"];
        table(
            header,
            items.iter().map(|replica| {
                let this = if replica.this { "  (this one)" } else { "" };
                let gone = || format!("no, {}", relative(now, replica.alive_at));
                [
                    replica.id.clone(),
                    replica.version.clone(),
                    relative(now, replica.started_at),
                    if replica.alive { "yes".to_owned() } else { gone() },
                    format!("{}{this}", replica.channels),
                ]
            }),
        )
    }
}

impl Human for Handed {
    fn human(&self, _: Timestamp) -> String {
        let facts = details([
            ("deployment", self.deployment.clone()),
            ("file", self.file.display().to_string()),
            ("data", self.data_dir.display().to_string()),
        ]);
        format!("{facts}\n\n{}", self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_gone_and_the_one_that_answers_are_told_apart() {
        let replica = |this: bool, alive: bool| Shape {
            id: "rep_1".into(),
            version: "1.0".into(),
            started_at: Timestamp::UNIX_EPOCH,
            alive_at: Timestamp::UNIX_EPOCH,
            alive,
            channels: 7,
            this,
        };
        let page = muster_wire::Page { items: vec![replica(true, true), replica(false, false)], next: None };
        let text = page.human(Timestamp::UNIX_EPOCH);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("yes") && lines[1].contains("7  (this one)"), "{text}");
        assert!(lines[2].contains("no, ") && !lines[2].contains("this one"), "{text}");
    }
}
