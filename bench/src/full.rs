//! P9 and P11: starting on a full directory, and enrolling into one.

use anyhow::{Result, ensure};

use crate::Bench;
use crate::enroll::Rounds;
use crate::fill::fill;
use crate::fleet::{Fleet, Wave};
use crate::http::{get, post};
use crate::kept::Kept;
use crate::load::{Feed, run};
use crate::machines::{ENROLL, keyless, make};
use crate::report::{Row, Target};
use crate::watch::{median, now};
use crate::world::World;

const MOST_AT_START: u64 = 100_000;

/// P9: from opening the directory to the first answer that the server is ready.
pub(crate) async fn start<S: Kept>(bench: &Bench) -> Result<Vec<Row>> {
    let home = bench.home::<S>().await?;
    let world = World::<S>::open(&home, &bench.metrics).await?;
    populate(&world, MOST_AT_START).await?;
    world.close().await;
    let mut took = Vec::new();
    for _ in 0..bench.rounds {
        let begun = now();
        let world = World::<S>::open(&home, &bench.metrics).await?;
        let mut client = world.place.connect().await?;
        ensure!(client.call(&get("/readyz", None)).await? == 200, "the server is not ready");
        took.push(begun.elapsed().as_secs_f64());
        drop(client);
        world.close().await;
    }
    Ok(vec![Row {
        id: "P9",
        what: format!("start with {MOST_AT_START} machines, to the first answer"),
        figure: median(took),
        unit: "s",
        reference: None,
        target: Target::AtMost(1.0),
        latency_ms: None,
        cpu_us: None,
    }])
}

/// P11: the same load before and after so many machines came.
pub(crate) async fn enroll<S: Kept>(bench: &Bench) -> Result<Vec<Row>> {
    let home = bench.home::<S>().await?;
    let world = World::<S>::open(&home, &bench.metrics).await?;
    let token = world.token().await?;
    let count = bench.machines.unwrap_or(100_000);
    let posts = |bodies: Vec<String>| Feed::once(bodies.iter().map(|body| post(ENROLL, body)).collect(), 201);
    let machines = make(bench.supply(10_000))?;
    let certificate = posts(machines.iter().map(|machine| machine.asks(&token)).collect());
    let bearer = posts(keyless(4 * machines.len(), &token));
    drop(machines);
    let mut figures: [[Rounds; 2]; 2] = Default::default();
    for (before, after) in [(false, 0), (true, count)] {
        populate(&world, after).await?;
        for _ in 0..bench.rounds {
            figures[usize::from(before)][0].add(run(&world.place, &bearer, bench.load()).await?);
            figures[usize::from(before)][1].add(run(&world.place, &certificate, bench.load()).await?);
        }
    }
    world.close().await;
    let [empty, full] = &figures;
    let row = |kind: usize, what: &str| {
        let what = format!("enroll, {what}, at {count} machines");
        full[kind].row("P11", &what, ("at none", empty[kind].rate()), Target::Share(0.7))
    };
    Ok(vec![row(0, "a bearer key"), row(1, "a certificate")])
}

/// So many machines on the one site.
pub(crate) async fn populate<S: Kept>(world: &World<S>, count: u64) -> Result<()> {
    let fleet = Fleet { tenant: world.tenant, sites: vec![world.site], now: world.app.now() };
    fill(world.app.store(), &fleet, Wave { first: 0, end: count, rare: "rare" }).await
}
