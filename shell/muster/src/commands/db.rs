//! `muster db`: what the database holds, and carrying it somewhere else. All but `status` with the server stopped.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::progress::Bar;
use super::serve::on_many_threads;
use crate::compose::database::{self, Place};
use crate::compose::moving::{self, Carried, Quiet, Target};
use crate::config::{Database, DatabaseUrl};
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::logging;
use crate::output::{Human, details};

/// The database.
#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Tell where the database is and what it holds.
    Status,
    /// Write all of it into a file. No key and no pepper is among it; the server must be stopped.
    Export(Export),
    /// Read all of it from a file into an empty database, in a data directory that has its keys.
    Import(Import),
    /// Move the database of this server to PostgreSQL. The server must be stopped.
    MigrateTo(MigrateTo),
}

/// Where it goes.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A file that is not there yet; it is made with mode 0600.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Where it comes from.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file that `muster db export` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Where it moves to.
#[derive(Debug, Args)]
pub(crate) struct MigrateTo {
    /// The address of an empty PostgreSQL database, without a password: postgres://muster@db.example.org/muster
    #[arg(value_name = "URL")]
    url: String,
    /// A file with its password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file with the certificates (PEM) by which it is known.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// What was carried, and what to do next.
#[derive(Debug, Serialize)]
struct Done {
    #[serde(flatten)]
    carried: Carried,
    #[serde(skip)]
    next: String,
}

/// Runs `muster db`.
pub(crate) fn run(context: &Context, verb: Db) -> Result {
    logging::of_command(context.global.verbose, context.out.color);
    let config = context.config()?.config;
    let dir = context.server_dir(&config);
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    on_many_threads(async {
        let done = match verb {
            Db::Status => return context.out.show(&database::status(&dir, &config.database).await?),
            Db::Export(args) => {
                let (quiet, place) = (Quiet::take(&dir)?, Place::of(&dir, &config.database)?);
                let carried = moving::export(&quiet, &place, &args.file, Bar::rows(context.out)).await?;
                Done {
                    carried,
                    next: "It holds no key: keep ca/ and pepper of the data directory beside it.".into(),
                }
            }
            Db::Import(args) => {
                let (quiet, place) = (Quiet::take(&dir)?, Place::of(&dir, &config.database)?);
                let carried = moving::import(&quiet, &place, &args.file, Bar::rows(context.out)).await?;
                Done { carried, next: "Start the server: muster serve".into() }
            }
            Db::MigrateTo(args) => {
                let target = target(&dir, args)?;
                let quiet = Quiet::take(&dir)?;
                let carried = moving::migrate(&quiet, &target, Bar::rows(context.out)).await?;
                let next = format!(
                    "Say in the configuration where it is now, and start the server:\n\n    database = \"{}\"",
                    target.url
                );
                Done { carried, next }
            }
        };
        context.out.show(&done)
    })
}

/// The database that is named on the command line, where other users can read it.
fn target(dir: &std::path::Path, args: MigrateTo) -> Result<Target> {
    let url: DatabaseUrl = args.url.parse().map_err(|error: crate::config::NotAnAddress| {
        Failure::usage("the URL cannot be used").because(&error)
    })?;
    if url.password().is_some() {
        return Err(Failure::usage(
            "a password stands in the URL, where other users of this host can read it",
        )
        .hint("leave it out and give it in a file: --password-file FILE"));
    }
    let database =
        Database { url, password_file: args.password_file, ca_file: args.ca_file, ..Database::default() };
    match Place::of(dir, &database)? {
        Place::Postgres(settings, url) => Ok(Target { settings: *settings, url }),
        Place::Sqlite(_) => Err(Failure::new(Exit::Usage, "it moves to PostgreSQL: postgres://…").hint(
            "back into a file: muster db export FILE, and muster db import FILE with database = \"sqlite\"",
        )),
    }
}

impl Human for Done {
    fn human(&self, _: Timestamp) -> String {
        let Carried { deployment, to, rows, newest_entry, was_there } = &self.carried;
        let rows = if *was_there { "all there already".to_owned() } else { rows.to_string() };
        let newest = newest_entry.map(|seq| seq.to_string()).unwrap_or_default();
        let facts = details([
            ("deployment", deployment.clone()),
            ("to", to.clone()),
            ("rows", rows),
            ("newest entry", newest),
        ]);
        format!("{facts}\n\n{}", self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(url: &str) -> Result<Target> {
        let args = MigrateTo { url: url.to_owned(), password_file: None, ca_file: None };
        target(std::path::Path::new("/d"), args)
    }

    #[test]
    fn q_27_a_password_in_the_url_of_a_command_is_refused_and_not_repeated() {
        for url in [
            "postgres://u:canary@db/m",
            "postgres://u@db/m?password=canary",
            "postgres://u:can@ary@db/m",
            "mysql://u:canary@db/m",
        ] {
            let failure = asked(url).err().expect("refused");
            assert_eq!(failure.exit(), Exit::Usage, "{url}");
            assert!(!format!("{failure:?}").contains("ary"), "{failure:?}");
        }
        assert_eq!(
            asked("postgres://u@db/m").ok().map(|target| target.url).as_deref(),
            Some("postgres://u@db/m")
        );
        assert_eq!(asked("sqlite").err().expect("refused").exit(), Exit::Usage);
    }
}
