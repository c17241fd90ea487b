//! P13: people who look: so many open pages of the machines beside a fleet that holds its channels, while machines come.
//! What the server takes of a processor and of memory, and how long a page takes. Whoever looks is in a process of its own.

use std::net::SocketAddr;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use muster_app::{Caller, Origin};
use muster_wire::access::Login;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Bench;
use crate::elsewhere;
use crate::host::{busy, open_files, resident};
use crate::http::{Client, Place};
use crate::kept::Kept;
use crate::machines::{enrolled, make};
use crate::presence::{SPARE, hold_elsewhere};
use crate::report::{Row, Target};
use crate::watch::{now, quantile};
use crate::world::World;

const ID: &str = "P13";
/// Pages that are open.
const PAGES: usize = 200;
/// Between two machines that come.
const COMES: Duration = Duration::from_millis(500);
/// How often an open page asks anew at the most, as its own script does.
const ASKS: Duration = Duration::from_secs(2);
/// Longer than the time between two signs of life of a stream.
const SILENT: Duration = Duration::from_secs(30);
const LISTED: &str = "/machines";

/// What the other process is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    address: SocketAddr,
    roots: Vec<Vec<u8>>,
    /// A session each.
    sessions: Vec<String>,
    /// The place in the log from which on each page wants to hear.
    seen: u64,
    seconds: u64,
}

/// What the other process tells at the end.
#[derive(Serialize, Deserialize)]
struct Looked {
    /// How long each page took, in microseconds.
    took_us: Vec<u64>,
}

/// Measures all of it.
pub(crate) async fn bench<S: Kept>(bench: &Bench) -> Result<Vec<Row>> {
    let room = usize::try_from(open_files()?.saturating_sub(SPARE)).unwrap_or(usize::MAX);
    let home = bench.home::<S>().await?;
    let world = World::<S>::open(&home, &bench.metrics).await?;
    let machines = enrolled(&world, bench.channels.min(room)).await?;
    let count = machines.len();
    let mut holder = hold_elsewhere(&world, machines).await?;
    let seconds = bench.hold.as_secs().max(1);
    let alone = while_they_come(&world, seconds).await?;
    let before = resident()?;
    let sessions = sessions(&world).await?;
    let lookers = look_elsewhere(&world, sessions, seconds).await?;
    let together = while_they_come(&world, seconds).await?;
    let each = resident()?.saturating_sub(before) as f64 / PAGES as f64;
    let looked = told(lookers).await?;
    drop(holder.stdin.take());
    holder.wait()?;
    world.close().await;
    Ok(rows(count, seconds, &looked, (alone, together), each))
}

fn rows(count: usize, seconds: u64, looked: &Looked, (alone, together): (f64, f64), each: f64) -> Vec<Row> {
    let beside = format!("{PAGES} open pages, {count} machines online, 2 come a second");
    let row = |what: String, figure, unit| Row {
        id: ID,
        what,
        figure,
        unit,
        reference: None,
        target: Target::Beside,
        latency_ms: None,
        cpu_us: None,
    };
    let mut took: Vec<_> = looked.took_us.iter().copied().map(Duration::from_micros).collect();
    took.sort_unstable();
    let within = |share| quantile(&took, share).as_secs_f64() * 1e3;
    let pages = row(format!("pages, {beside}"), took.len() as f64 / seconds as f64, "/s");
    vec![
        Row { latency_ms: Some((within(0.5), within(0.99))), ..pages },
        Row {
            reference: Some(("nobody looks", alone)),
            ..row(format!("the server's part of a processor, {beside}"), together, "%")
        },
        row(format!("memory a page, {beside}"), each / 1024.0, "KiB"),
    ]
}

/// Machines come for so long. What this process takes of one processor meanwhile, in percent.
async fn while_they_come<S: Kept>(world: &World<S>, seconds: u64) -> Result<f64> {
    let (token, newcomers) = (world.token().await?, make(usize::try_from(seconds * 2)?)?);
    let (begun, before) = (now(), busy());
    for machine in newcomers {
        machine.enroll(world, &token).await?;
        sleep(COMES).await;
    }
    Ok(busy().since(before).each(begun.elapsed().as_secs_f64()).all / 1e4)
}

async fn sessions<S: Kept>(world: &World<S>) -> Result<Vec<String>> {
    let Caller::Operator(admin) = &world.admin.caller else { anyhow::bail!("an operator") };
    let anonymous = Origin { caller: Caller::Anonymous, source: None };
    let mut sessions = Vec::new();
    for _ in 0..PAGES {
        let link = world.app.login_link(admin.operator).await?;
        let login = link.split_once('#').context("the secret is in the fragment")?.1.to_owned();
        sessions.push(world.app.login(&Login { login }, &anonymous).await?.0);
    }
    Ok(sessions)
}

/// Has another process open a page for each session.
async fn look_elsewhere<S: Kept>(world: &World<S>, sessions: Vec<String>, seconds: u64) -> Result<Child> {
    let roots = world.app.authority().roots_der().into_iter().map(|root| root.to_vec()).collect::<Vec<_>>();
    let seen = world.app.around(&world.admin).await?.seen;
    let orders = Orders { address: world.place.address, roots, sessions, seen, seconds };
    elsewhere::start("look", &orders, "open").await
}

async fn told(mut lookers: Child) -> Result<Looked> {
    let line = tokio::task::spawn_blocking(move || {
        let line = elsewhere::line(&mut lookers)?;
        lookers.wait()?;
        anyhow::Ok(line)
    });
    Ok(serde_json::from_str(&line.await??)?)
}

/// The other process: opens every page it is told of, says so, reads each anew when something changes, and tells how long that took.
#[expect(clippy::print_stdout, reason = "it is how the two processes talk")]
pub(crate) async fn look() -> Result<()> {
    open_files()?;
    let orders: Orders = elsewhere::orders()?;
    let roots: Arc<[CertificateDer<'static>]> = orders.roots.into_iter().map(CertificateDer::from).collect();
    let place = Place { address: orders.address, tls: crate::tls::trusting(&roots)? };
    let mut pages = Vec::new();
    for session in orders.sessions {
        pages.push(Open::new(&place, &session, orders.seen).await?);
    }
    println!("open");
    let mut looking = JoinSet::new();
    for page in pages {
        looking.spawn(page.look(Duration::from_secs(orders.seconds)));
    }
    let mut took_us = Vec::new();
    while let Some(looked) = looking.join_next().await {
        took_us.extend(looked??);
    }
    println!("{}", serde_json::to_string(&Looked { took_us })?);
    Ok(())
}

/// A page that is open: its stream, and a connection to read it anew.
struct Open {
    stream: Client,
    reads: Client,
    request: Vec<u8>,
}

impl Open {
    async fn new(place: &Place, session: &str, seen: u64) -> Result<Self> {
        let mut stream = place.connect().await?;
        stream.send(&asked(&format!("/events?after={seen}"), session)).await?;
        stream.head().await?;
        ensure!(stream.buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&stream.buffer));
        Ok(Self { stream, reads: place.connect().await?, request: asked(LISTED, session) })
    }

    async fn look(mut self, limit: Duration) -> Result<Vec<u64>> {
        let (begun, mut took) = (now(), Vec::new());
        while begun.elapsed() < limit {
            self.changed().await?;
            let asked = now();
            let status = self.reads.call(&self.request).await?;
            ensure!(status == 200, "a page answered {status}");
            took.push(u64::try_from(asked.elapsed().as_micros())?);
            sleep(ASKS.saturating_sub(asked.elapsed())).await;
        }
        Ok(took)
    }

    /// Waits until the page is told that machines have changed.
    async fn changed(&mut self) -> Result<()> {
        self.stream.buffer.clear();
        while !self.stream.buffer.windows(15).any(|line| line == b"event: machines") {
            timeout(SILENT, self.stream.more()).await.context("nothing was told")??;
        }
        Ok(())
    }
}

fn asked(path: &str, session: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\ncookie: __Host-muster-session={session}\r\nsec-fetch-site: same-origin\r\n\r\n"
    )
    .into_bytes()
}
