//! The benchmarks of Muster: `cargo xtask bench NAME`.
//!
//! Each measures a path of the product and what it is to be compared with in one run, in one process, over loopback
//! TLS, with server and client on the same processors; the ratio of both is held against a target. Nothing here is
//! asserted: a slow machine is not a fault. `docs/performance.md` tells the last results and what bounds them.

mod enroll;
mod fill;
mod full;
mod host;
mod http;
mod load;
mod machines;
mod naive;
mod presence;
mod prototype;
mod read;
mod renew;
mod report;
mod tls;
mod watch;
mod websocket;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use muster_server::metrics::Metrics;
use tempfile::TempDir;

use crate::host::Host;
use crate::load::Load;
use crate::report::{Report, Row};

#[derive(Parser)]
#[command(name = "bench", about = "Measures Muster beside what it is to be compared with")]
struct Arguments {
    /// What to measure.
    name: Name,
    /// How the report is written.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// How often each figure is taken; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each figure is taken, in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Callers at once.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How many machines `fill` puts in; the target speaks of 1000000.
    #[arg(long, default_value_t = 100_000)]
    machines: u64,
    /// How many channels `presence` holds.
    #[arg(long, default_value_t = 10_000)]
    channels: usize,
    /// Where the databases are made: a real disk, or the figures say nothing.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// P1, P2, P3: enrolling.
    Enroll,
    /// P5: channels.
    Presence,
    /// P6: a read with a bearer key.
    Read,
    /// P7: renewing.
    Renew,
    /// P9: starting with 100000 machines.
    Start,
    /// P11: enrolling where many are already.
    Fill,
    /// P12: refusing.
    Refused,
    /// All of them.
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// What all benchmarks are told.
pub(crate) struct Bench {
    rounds: usize,
    time: Duration,
    connections: usize,
    machines: u64,
    channels: usize,
    dir: PathBuf,
    metrics: Metrics,
}

impl Bench {
    fn load(&self) -> Load {
        Load { connections: self.connections, time: self.time, fresh: false }
    }

    /// How many things to have ready where so many are used up in a second.
    fn supply(&self, a_second: usize) -> usize {
        a_second * (self.time.as_secs_f64().ceil() as usize + 1) * self.rounds
    }

    fn directory(&self) -> Result<TempDir> {
        TempDir::with_prefix_in("muster-bench-", &self.dir).context("a directory for the databases")
    }

    async fn run(&self, name: Name) -> Result<Vec<Row>> {
        match name {
            Name::Enroll => enroll::bench(self).await,
            Name::Presence => presence::bench(self).await,
            Name::Read => read::read(self).await,
            Name::Renew => renew::bench(self).await,
            Name::Start => full::start(self).await,
            Name::Fill => full::enroll(self).await,
            Name::Refused => read::refused(self).await,
            Name::All => Ok(Vec::new()),
        }
    }

    /// What was measured, and what failed: one that fails does not take the figures of the others with it.
    async fn all(&self, name: Name) -> (Vec<Row>, Result<()>) {
        let every =
            [Name::Enroll, Name::Presence, Name::Read, Name::Renew, Name::Start, Name::Fill, Name::Refused];
        let one = [name];
        let names = if name == Name::All { &every[..] } else { &one[..] };
        let (mut rows, mut failed) = (Vec::new(), Ok(()));
        for name in names {
            eprintln!("{name:?} …");
            match self.run(*name).await.with_context(|| format!("{name:?}")) {
                Ok(more) => rows.extend(more),
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        (rows, failed)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // The other process is told everything on its standard input.
    if std::env::args().nth(1).as_deref() == Some("hold") {
        return presence::hold().await;
    }
    let arguments = Arguments::parse();
    // What a server does on the side costs here what it costs there: logs as configured by default, metrics recorded.
    tracing_subscriber::fmt()
        .with_env_filter("info,h2=warn,hyper=warn,rustls=warn,muster_store_sqlite=warn")
        .with_writer(std::io::stderr)
        .init();
    let bench = Bench {
        rounds: arguments.rounds.max(1),
        time: Duration::from_secs_f64(arguments.seconds),
        connections: arguments.connections.max(1),
        machines: arguments.machines,
        channels: arguments.channels.max(1),
        dir: arguments.dir,
        metrics: Metrics::record()?,
    };
    let (rows, failed) = bench.all(arguments.name).await;
    let report = Report { host: Host::this(), rows };
    match arguments.output {
        Output::Table => report.print_table(),
        Output::Json => report.print_json()?,
    }
    failed
}
