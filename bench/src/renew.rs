//! P7: machines renew over connections that stand, by mutual TLS. A machine that asks twice within a tenth of its
//! certificate's life gets the same one again, so each connection asks once, and once more half a day later.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use muster_model::SignedDuration;
use rustls_pki_types::CertificateDer;
use tokio::task::JoinSet;

use crate::Bench;
use crate::enroll::{Rounds, issue_alone};
use crate::http::{Client, Place, post};
use crate::kept::Kept;
use crate::load::{Measured, Stretch};
use crate::machines::{Enrolled, enrolled, make};
use crate::report::{Row, Target};
use crate::watch::{median, now};
use crate::world::World;

const RENEW: &str = "/v1/machines/self/renew";
/// More would take so long to connect that the first ones are closed as idle.
const AT_MOST: usize = 2_000;
const HALF_A_DAY: SignedDuration = SignedDuration::from_hours(13);

/// Measures it.
pub(crate) async fn bench<S: Kept>(bench: &Bench) -> Result<Vec<Row>> {
    let home = bench.home::<S>().await?;
    let world = World::<S>::open(&home, &bench.metrics).await?;
    let machines = make(1_000)?;
    let roots: Arc<[CertificateDer<'static>]> =
        world.app.authority().roots_der().into_iter().cloned().collect();
    let (mut figure, mut reference) = (Rounds::default(), Vec::new());
    for _ in 0..bench.rounds {
        let came = enrolled(&world, bench.channels.min(AT_MOST)).await?;
        let clients = connect(&world.place, came, &roots, bench.connections).await?;
        let (clients, first) = renew_all(clients, bench.connections).await?;
        world.clock.ahead(HALF_A_DAY);
        let (_, second) = renew_all(clients, bench.connections).await?;
        // The next round's certificates must be good by the clock that TLS looks at.
        world.clock.ahead(-HALF_A_DAY);
        figure.add(first);
        figure.add(second);
        reference.push(issue_alone(bench, &world, &machines)?);
    }
    world.close().await;
    let what = "renew over mutual TLS that stands";
    Ok(vec![figure.row("P7", what, ("CSR + issue alone", median(reference)), Target::Share(0.7))])
}

/// Connects all of them, so many at once.
pub(crate) async fn connect(
    place: &Place,
    machines: Vec<Enrolled>,
    roots: &Arc<[CertificateDer<'static>]>,
    at_once: usize,
) -> Result<Vec<Client>> {
    let mut machines = machines.into_iter();
    let mut coming = JoinSet::new();
    let mut clients = Vec::new();
    loop {
        while coming.len() < at_once
            && let Some(machine) = machines.next()
        {
            let (place, roots) = (place.clone(), Arc::clone(roots));
            coming.spawn(async move { place.with(machine.tls(&roots)?).connect().await });
        }
        match coming.join_next().await {
            Some(client) => clients.push(client??),
            None => return Ok(clients),
        }
    }
}

/// Each connection renews once; so many are under way at once.
async fn renew_all(clients: Vec<Client>, at_once: usize) -> Result<(Vec<Client>, Measured)> {
    let share = clients.len().div_ceil(at_once);
    let mut clients = clients.into_iter();
    let stretch = Stretch::begin();
    let mut callers = JoinSet::new();
    loop {
        let some: Vec<Client> = clients.by_ref().take(share).collect();
        if some.is_empty() {
            break;
        }
        callers.spawn(renew_some(some));
    }
    let (mut kept, mut took) = (Vec::new(), Vec::new());
    while let Some(ended) = callers.join_next().await {
        let (some, times) = ended??;
        kept.extend(some);
        took.extend(times);
    }
    ensure!(!took.is_empty(), "there is no connection");
    Ok((kept, Measured::of(took, stretch)))
}

async fn renew_some(mut clients: Vec<Client>) -> Result<(Vec<Client>, Vec<Duration>)> {
    let request = post(RENEW, "");
    let mut took = Vec::with_capacity(clients.len());
    for client in &mut clients {
        let begun = now();
        let status = client.call(&request).await?;
        if status != 200 {
            bail!("renewing was answered {status}: {}", String::from_utf8_lossy(client.body()));
        }
        took.push(begun.elapsed());
    }
    Ok((clients, took))
}
