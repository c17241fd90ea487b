//! The benchmarks of Muster: `cargo xtask bench NAME`.
//!
//! Each measures a path of the product and what it is to be compared with in one run, in one process, over loopback
//! TLS, with server and client on the same processors; the ratio of both is held against a target. Nothing here is
//! asserted: a slow machine is not a fault. `docs/performance.md` tells the last results and what bounds them.

mod dashboards;
mod elsewhere;
mod enroll;
mod fill;
mod fleet;
mod full;
mod host;
mod http;
mod kept;
mod list;
mod load;
mod machines;
mod naive;
mod presence;
mod prototype;
mod read;
mod renew;
mod replicas;
mod report;
mod tls;
mod upkeep;
mod watch;
mod websocket;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use muster_server::metrics::Metrics;
use muster_store_postgres::PostgresStore;
use muster_store_sqlite::SqliteStore;
use tempfile::TempDir;

use crate::host::Host;
use crate::kept::Kept;
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
    /// What everything is kept in.
    #[arg(long, value_enum, default_value_t = Kind::Sqlite)]
    store: Kind,
    /// How many machines there are in the end: 100000 for `fill`, whose target speaks of 1000000, and 1000000 for `list`.
    #[arg(long)]
    machines: Option<u64>,
    /// How many channels `presence` and `dashboards` hold.
    #[arg(long, default_value_t = 10_000)]
    channels: usize,
    /// How long `presence` holds them and `dashboards` looks, in seconds.
    #[arg(long, default_value_t = 60)]
    hold: u64,
    /// Tell at the end what PostgreSQL spent its time on, by statement. It costs a little, so that figures are lower.
    #[arg(long)]
    statements: bool,
    /// Where the databases are made: a real disk, or the figures say nothing.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// P1, P2, P3, and on PostgreSQL P4: enrolling.
    Enroll,
    /// P5: channels.
    Presence,
    /// P6: a read with a bearer key.
    Read,
    /// P7: renewing.
    Renew,
    /// P8: lists, searches and filters among many machines.
    List,
    /// P9: starting with 100000 machines.
    Start,
    /// P11: enrolling where many are already.
    Fill,
    /// P12: refusing.
    Refused,
    /// P13: open pages beside a fleet that is online.
    Dashboards,
    /// All of them.
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// SQLite.
    Sqlite,
    /// A PostgreSQL that is started for it, with full durability.
    Postgres,
    /// One after the other.
    Both,
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
    machines: Option<u64>,
    channels: usize,
    hold: Duration,
    statements: bool,
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

    async fn home<S: Kept>(&self) -> Result<S::Home> {
        S::home(self.directory()?, self.statements).await
    }

    async fn run(&self, name: Name, store: Kind) -> Result<Vec<Row>> {
        match (name, store) {
            (Name::Enroll, Kind::Sqlite) => enroll::bench(self).await,
            (name, Kind::Sqlite) => self.on::<SqliteStore>(name).await,
            (Name::Enroll, Kind::Postgres) => replicas::bench(self).await,
            (name, Kind::Postgres) => self.on::<PostgresStore>(name).await,
            (_, Kind::Both) => Ok(Vec::new()),
        }
    }

    /// What is measured in the same way on any store.
    async fn on<S: Kept>(&self, name: Name) -> Result<Vec<Row>> {
        let rows = match name {
            Name::Presence => presence::bench::<S>(self).await,
            Name::Read => read::read::<S>(self).await,
            Name::Renew => renew::bench::<S>(self).await,
            Name::List => list::bench::<S>(self).await,
            Name::Start => full::start::<S>(self).await,
            Name::Fill => full::enroll::<S>(self).await,
            Name::Refused => read::refused::<S>(self).await,
            Name::Dashboards => Box::pin(dashboards::bench::<S>(self)).await,
            Name::Enroll | Name::All => Ok(Vec::new()),
        }?;
        Ok(rows.into_iter().map(|row| row.on(S::NAME)).collect())
    }

    /// What was measured, and what failed: one that fails does not take the figures of the others with it.
    async fn all(&self, name: Name, store: Kind) -> (Vec<Row>, Result<()>) {
        let (mut rows, mut failed) = (Vec::new(), Ok(()));
        for (name, store) in
            store.each().iter().flat_map(|store| name.each().iter().map(move |name| (*name, *store)))
        {
            eprintln!("{name:?} on {store:?} …");
            match self.run(name, store).await.with_context(|| format!("{name:?} on {store:?}")) {
                Ok(more) => rows.extend(more),
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        (rows, failed)
    }
}

impl Name {
    fn each(&self) -> &[Self] {
        match self {
            Self::All => &[
                Self::Enroll,
                Self::Presence,
                Self::Read,
                Self::Renew,
                Self::List,
                Self::Start,
                Self::Fill,
                Self::Refused,
                Self::Dashboards,
            ],
            one => std::slice::from_ref(one),
        }
    }
}

impl Kind {
    fn each(&self) -> &[Self] {
        match self {
            Self::Both => &[Self::Sqlite, Self::Postgres],
            one => std::slice::from_ref(one),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // The other process is told everything on its standard input.
    match std::env::args().nth(1).as_deref() {
        Some("hold") => return presence::hold().await,
        Some("look") => return dashboards::look().await,
        _ => {}
    }
    let arguments = Arguments::parse();
    // What a server does on the side costs here what it costs there: logs as configured by default, metrics recorded.
    tracing_subscriber::fmt()
        .with_env_filter(
            "info,h2=warn,hyper=warn,rustls=warn,muster_store_sqlite=warn,muster_store_postgres=warn",
        )
        .with_writer(std::io::stderr)
        .init();
    let bench = Bench {
        rounds: arguments.rounds.max(1),
        time: Duration::from_secs_f64(arguments.seconds),
        connections: arguments.connections.max(1),
        machines: arguments.machines,
        channels: arguments.channels.max(1),
        hold: Duration::from_secs(arguments.hold),
        statements: arguments.statements,
        dir: arguments.dir,
        metrics: Metrics::record()?,
    };
    let (rows, failed) = bench.all(arguments.name, arguments.store).await;
    let report = Report { host: Host::this(), rows };
    match arguments.output {
        Output::Table => report.print_table(),
        Output::Json => report.print_json()?,
    }
    failed
}
