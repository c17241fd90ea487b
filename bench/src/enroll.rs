//! P1, P2, P3: enrolling with a bearer key, with a certificate, and with a certificate over a handshake of its own;
//! beside the bare loop, the naive server and the bare cryptography.

use std::sync::Arc;

use anyhow::Result;
use muster_issuer::{Authority, MachineTemplate, csr};
use muster_model::{CredentialId, MachineId, SignedDuration, TenantId, Timestamp};
use muster_store_sqlite::SqliteStore;

use crate::host::Cpu;
use crate::http::post;
use crate::kept::Kept;
use crate::load::{Feed, Load, Measured, alone, run};
use crate::machines::{ENROLL, Machine, keyless, make};
use crate::prototype::{self, sqlite};
use crate::report::{Row, Target};
use crate::watch::median;
use crate::world::World;
use crate::{Bench, naive, tls};

pub(crate) const BEARER: &str = "enroll with a token, a bearer key";
pub(crate) const CERTIFICATE: &str = "enroll with a token and a CSR, a certificate";
const FRESH: &str = "the same, each with a handshake of its own";

/// What each round measured of one path.
#[derive(Default)]
pub(crate) struct Rounds(Vec<Measured>);

impl Rounds {
    pub(crate) fn add(&mut self, measured: Measured) {
        self.0.push(measured);
    }

    pub(crate) fn rate(&self) -> f64 {
        median(self.0.iter().map(|measured| measured.rate).collect())
    }

    /// Half of the answers came within, in milliseconds.
    pub(crate) fn half_ms(&self) -> f64 {
        median(self.0.iter().map(|measured| measured.latency_ms.0).collect())
    }

    pub(crate) fn latency_ms(&self) -> Option<(f64, f64)> {
        Some((self.half_ms(), median(self.0.iter().map(|measured| measured.latency_ms.1).collect())))
    }

    pub(crate) fn cpu_us(&self) -> Option<Cpu> {
        let middle = |of: fn(Cpu) -> f64| median(self.0.iter().map(|measured| of(measured.cpu_us)).collect());
        Some(Cpu { all: middle(|cpu| cpu.all), database: middle(|cpu| cpu.database) })
    }

    /// A line of the report.
    pub(crate) fn row(
        &self,
        id: &'static str,
        what: &str,
        reference: (&'static str, f64),
        target: Target,
    ) -> Row {
        let (what, reference) = (what.to_owned(), Some(reference));
        let (figure, latency_ms, cpu_us) = (self.rate(), self.latency_ms(), self.cpu_us());
        Row { id, what, figure, unit: "/s", reference, target, latency_ms, cpu_us }
    }
}

#[derive(Default)]
struct Figures {
    bearer: Rounds,
    bare_bearer: Rounds,
    certificate: Rounds,
    bare_certificate: Rounds,
    fresh: Rounds,
    issue: Vec<f64>,
    handshake: Vec<f64>,
}

/// Requests for both kinds of credential, enough for all rounds.
pub(crate) struct Feeds {
    pub(crate) bearer: Arc<Feed>,
    pub(crate) certificate: Arc<Feed>,
    pub(crate) bare_bearer: Arc<Feed>,
    pub(crate) bare_certificate: Arc<Feed>,
}

impl Feeds {
    pub(crate) fn new(machines: &[Machine], token: &str) -> Self {
        let posts = |bodies: Vec<String>| bodies.iter().map(|body| post(ENROLL, body)).collect::<Vec<_>>();
        let asks = || posts(machines.iter().map(|machine| machine.asks(token)).collect());
        let keyless = || posts(keyless(2 * machines.len(), token));
        Self {
            bearer: Feed::once(keyless(), 201),
            certificate: Feed::once(asks(), 201),
            bare_bearer: Feed::again(keyless(), 200),
            bare_certificate: Feed::again(asks(), 200),
        }
    }
}

/// Measures all of it.
pub(crate) async fn bench(bench: &Bench) -> Result<Vec<Row>> {
    let dir = bench.directory()?;
    let world = World::<SqliteStore>::open(&dir, &bench.metrics).await?;
    let token = world.token().await?;
    let machines = make(bench.supply(5_000))?;
    let feeds = Feeds::new(&machines, &token);
    let (queue, writer) = sqlite::start(dir.path())?;
    let bare = world.beside(prototype::routes(&world.app, queue, &token)).await?;
    let mut figures = Figures::default();
    let (load, fresh) = (bench.load(), Load { fresh: true, ..bench.load() });
    for _ in 0..bench.rounds {
        figures.bearer.add(run(&world.place, &feeds.bearer, load).await?);
        figures.bare_bearer.add(run(&bare.place, &feeds.bare_bearer, load).await?);
        figures.certificate.add(run(&world.place, &feeds.certificate, load).await?);
        figures.bare_certificate.add(run(&bare.place, &feeds.bare_certificate, load).await?);
        figures.issue.push(issue_alone(bench, &world, &machines)?);
        figures.fresh.add(run(&world.place, &feeds.certificate, fresh).await?);
        figures.handshake.push(handshake_alone(bench, &world, &machines)?);
    }
    let naive = world.beside(naive::routes(dir.path(), &token)?).await?;
    let naive = run(&naive.place, &feeds.bare_bearer, load).await?;
    drop(bare);
    world.close().await;
    drop(writer);
    Ok(figures.rows(naive))
}

/// Reading and checking a CSR and signing the certificate, on every processor and nothing else.
pub(crate) fn issue_alone<S: Kept>(bench: &Bench, world: &World<S>, machines: &[Machine]) -> Result<f64> {
    let (authority, now) = (world.app.authority(), world.app.now());
    alone(bench.time, |n| issue(&authority, now, n, &machines[n % machines.len()]))
}

fn issue(authority: &Authority, now: Timestamp, n: usize, machine: &Machine) -> Result<()> {
    let key = csr::read(&machine.csr)?;
    let template = MachineTemplate {
        serial: CredentialId::from_bytes((n as u128 + 1).to_be_bytes()),
        tenant: TenantId::from_bytes([1; 16]),
        machine: MachineId::from_bytes([1; 16]),
        not_before: now,
        not_after: now + SignedDuration::from_hours(24),
    };
    authority.issue(&key, &template)?;
    Ok(())
}

/// Both ends of a handshake, and the same as above.
fn handshake_alone(bench: &Bench, world: &World, machines: &[Machine]) -> Result<f64> {
    let (authority, now) = (world.app.authority(), world.app.now());
    let (client, server) = (&world.place.tls, tls::server(&authority, now)?);
    alone(bench.time, |n| {
        tls::handshake(client, &server)?;
        issue(&authority, now, n, &machines[n % machines.len()])
    })
}

impl Figures {
    fn rows(self, naive: Measured) -> Vec<Row> {
        let slow = ("naive server", naive.rate);
        let naive_rounds = Rounds(vec![naive]);
        let (issue, handshake) = (median(self.issue), median(self.handshake));
        let bare = |rounds: &Rounds| ("bare loop", rounds.rate());
        vec![
            self.bearer.row("P1", BEARER, slow, Target::Times(200.0)),
            self.bearer.row("P1", BEARER, bare(&self.bare_bearer), Target::Share(0.6)),
            self.certificate.row("P2", CERTIFICATE, slow, Target::Times(100.0)),
            self.certificate.row("P2", CERTIFICATE, bare(&self.bare_certificate), Target::Share(0.65)),
            self.certificate.row("P2", CERTIFICATE, ("CSR + issue alone", issue), Target::Share(0.6)),
            self.fresh.row("P3", FRESH, ("handshake + issue alone", handshake), Target::Share(0.6)),
            self.bare_bearer.row("", "the bare loop itself, a bearer key", slow, Target::Beside),
            self.bare_certificate.row("", "the bare loop itself, a certificate", slow, Target::Beside),
            naive_rounds.row("", "the naive server itself", slow, Target::Beside),
        ]
    }
}
