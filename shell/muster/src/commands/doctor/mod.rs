//! `muster doctor`: named checks of what this host has of Muster, each with its cause and how to mend it.
//!
//! Looks and never changes anything. A check that cannot be made says so; it never passes by default.

mod agent;
mod disk;
mod files;
mod report;
mod server;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::clock;
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
            server::address(&url, pin, clock::now(), checks).await;
            if checks.iter().all(|check| check.passed()) {
                server::access(&Target::Address { url, pin, token_file }, checks).await;
            }
        }
        Ok(Target::Socket(path)) => server::socket(&path, checks).await,
        Err(failure) => checks.push(Check::of("pin", &failure)),
    }
    if context.global.data_dir.is_some() {
        agent::check(&context.agent_dir(), clock::now(), checks).await;
    }
}

/// What this host has: a server's directory, an agent's, or both.
async fn local(context: &Context, config: &Config, listen: SocketAddr, checks: &mut Vec<Check>) {
    let dir = context.server_dir(config);
    let place = Place::of(&dir);
    checks.push(files::directory(&dir));
    if place != Place::Missing {
        checks.push(disk::check(&dir));
        checks.push(files::whole(&dir));
        checks.push(files::not_from_the_future(&dir, clock::now()));
    }
    if place == Place::Agent {
        return agent::check(&dir, clock::now(), checks).await;
    }
    let pin = context.global.ca_pin.or(config.client.ca_pin.map(|pin| pin.0));
    let running = server::local(&dir, pin, clock::now(), checks).await;
    if !running {
        checks.push(server::port(listen));
    }
    // Whoever runs the server shows by running it that the owner is right.
    checks.push(files::modes(&dir, running));
    if let Some(agent) = agent_below(&dir) {
        agent::check(&agent, clock::now(), checks).await;
    }
}

fn agent_below(dir: &Path) -> Option<PathBuf> {
    let agent = dir.join("agent");
    agent.is_dir().then_some(agent)
}

/// What a directory is, by what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Missing,
    Agent,
    Server,
}

impl Place {
    fn of(dir: &Path) -> Self {
        const AGENT: [&str; 4] = ["identity.json", "pending.json", "ended.json", "key-a.pem"];
        let has = |name: &str| dir.join(name).symlink_metadata().is_ok();
        if AGENT.into_iter().any(has) {
            Self::Agent
        } else if dir.symlink_metadata().is_ok() {
            Self::Server
        } else {
            Self::Missing
        }
    }
}
