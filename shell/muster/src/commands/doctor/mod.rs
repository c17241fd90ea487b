//! `muster doctor`: named checks of what this host has of Muster, each with its cause and how to mend it.
//!
//! Looks and never changes anything. A check that cannot be made says so; it never passes by default.

mod agent;
mod database;
mod disk;
mod files;
mod report;
mod server;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::clock;
use crate::compose::{OwnFiles, provisioners};
use crate::config::Config;
use crate::context::{Context, Target};
use crate::failure::Result;

use report::{Check, Report};

/// What to look at.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The address the server would listen on, where it differs from the configuration.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Runs `muster doctor`.
pub(crate) async fn run(context: &Context, args: Doctor) -> Result<ExitCode> {
    let mut checks = Vec::new();
    let config = configuration(context, &mut checks);
    let listen = args.listen.unwrap_or(config.server.listen);
    match &context.global.server {
        Some(_) => remote(context, &config, &mut checks).await,
        None => local(context, &config, listen, &mut checks).await,
    }
    let report = Report::new(checks);
    context.out.show(&report)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A broken configuration is a finding, and the rest is looked at with the defaults.
fn configuration(context: &Context, checks: &mut Vec<Check>) -> Config {
    match context.config() {
        Ok(loaded) => {
            let file = loaded.file.map_or_else(|| "defaults".to_owned(), |file| file.display().to_string());
            checks.push(Check::ok("configuration", file));
            loaded.config
        }
        Err(failure) => {
            checks.push(Check::of("configuration", &failure));
            Config::default()
        }
    }
}

/// A server elsewhere: pin, clock, and whether we are let in.
async fn remote(context: &Context, config: &Config, checks: &mut Vec<Check>) {
    match context.target(config) {
        Ok(Target::Address { url, pin, token_file }) => {
            server::address(&server::NAMES, &url, pin, clock::now(), checks).await;
            if checks.iter().all(|check| check.passed()) {
                server::access(&Target::Address { url, pin, token_file }, checks).await;
            }
        }
        Ok(Target::Socket(path)) => server::socket(&path, checks).await,
        Err(failure) => checks.push(Check::of("pin", &failure)),
    }
    if context.global.data_dir.is_some() {
        let dir = context.agent_dir();
        agent::check(&dir, &context.agent_run(&dir), clock::now(), checks).await;
    }
}

/// What this host has: a server's directory, an agent's, or both.
async fn local(context: &Context, config: &Config, listen: SocketAddr, checks: &mut Vec<Check>) {
    let dir = context.server_dir(config);
    let place = Place::of(&dir);
    checks.push(files::directory(&dir));
    if place != Place::Missing {
        checks.push(disk::check(&dir));
        checks.push(files::not_from_the_future(&dir, clock::now()));
    }
    if matches!(place, Place::Server | Place::Missing) {
        let pin = context.global.ca_pin.or(config.client.ca_pin.map(|pin| pin.0));
        let running = server::local(&dir, pin, clock::now(), checks).await;
        if !running {
            checks.push(server::port(listen));
        }
        if place == Place::Server {
            checks.extend(accounts(config));
            checks.extend(own_certificate(config, running));
            checks.extend(database::check(&dir, &config.database, running).await);
            checks.push(files::whole_server(&dir, running));
            // Whoever runs the server shows by running it that the owner is right.
            checks.push(files::modes(&dir, running));
        }
    } else {
        checks.push(files::whole(&dir));
    }
    let agent = if place == Place::Agent { dir } else { dir.join(AGENT) };
    if agent.is_dir() {
        agent::check(&agent, &context.agent_run(&agent), clock::now(), checks).await;
    }
}

/// Whether the server could reach out to other systems, as far as files tell. Nobody is asked.
fn accounts(config: &Config) -> Option<Check> {
    if config.provisioners.is_empty() {
        return None;
    }
    Some(match provisioners(config) {
        Ok(all) => {
            let names: Vec<String> = all.names().map(ToString::to_string).collect();
            Check::ok("provisioners", names.join(", "))
        }
        Err(failure) => Check::of("provisioners", &failure),
    })
}

/// Whether the operator's own certificate can serve existing clients now, and will for a while.
fn own_certificate(config: &Config, running: bool) -> Option<Check> {
    const NAME: &str = "own certificate";
    let files = match OwnFiles::of(&config.compat) {
        Ok(files) => files?,
        Err(failure) => return Some(Check::of(NAME, &failure)),
    };
    if running && files.is_anothers() {
        // Whoever runs the server shows by running it that the key is right; nobody else may read it.
        let fix = "run this as the user who runs the server";
        return Some(Check::warn(NAME, format!("{} belongs to another user", files.key.display()), fix));
    }
    Some(match files.warning(clock::now()) {
        Ok(None) => Check::ok(NAME, format!("{} and its key fit", files.certificate.display())),
        Ok(Some(warning)) => Check::warn(NAME, warning, "renew it: the server takes the new one by itself"),
        Err(failure) => Check::of(NAME, &failure),
    })
}

/// Below the directory of a host: its own agent's.
const AGENT: &str = "agent";

/// What a directory is, by what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is not there.
    Missing,
    /// An agent's own.
    Agent,
    /// That of a host which has an agent and no server.
    Host,
    /// A server's, or an empty one that shall be.
    Server,
}

impl Place {
    fn of(dir: &Path) -> Self {
        const AGENTS: [&str; 4] = ["identity.json", "pending.json", "ended.json", "key-a.pem"];
        const SERVERS: [&str; 5] = ["muster.db", "ca", "pepper", "founded", "muster.lock"];
        let has = |name: &str| dir.join(name).symlink_metadata().is_ok();
        if dir.symlink_metadata().is_err() {
            Self::Missing
        } else if SERVERS.into_iter().any(has) {
            Self::Server
        } else if AGENTS.into_iter().any(has) {
            Self::Agent
        } else if has(AGENT) {
            Self::Host
        } else {
            Self::Server
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_judged_by_what_it_holds() {
        let dir = std::env::temp_dir().join(format!("muster-place-{}", std::process::id()));
        assert_eq!(Place::of(&dir), Place::Missing);
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        assert_eq!(Place::of(&dir), Place::Server, "empty: a server shall be here");
        std::fs::create_dir(dir.join("agent")).expect("ours");
        assert_eq!(Place::of(&dir), Place::Host);
        std::fs::write(dir.join("identity.json"), "{}").expect("ours");
        assert_eq!(Place::of(&dir), Place::Agent);
        std::fs::write(dir.join("muster.db"), "").expect("ours");
        assert_eq!(Place::of(&dir), Place::Server);
        std::fs::remove_dir_all(&dir).expect("ours");
    }
}
