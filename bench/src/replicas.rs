//! P4: enrolling on PostgreSQL, with one replica and with three, beside the naive server and the loop that one would
//! write by hand for that database.

use anyhow::Result;
use muster_store_postgres::PostgresStore;

use crate::enroll::{BEARER, CERTIFICATE, Feeds, Rounds};
use crate::full::populate;
use crate::http::Place;
use crate::kept::postgres::Private;
use crate::kept::{Home as _, Kept as _};
use crate::load::{Feed, Measured, run, spread};
use crate::machines::make;
use crate::prototype::postgres::{Pool, prepare};
use crate::report::{Row, Target};
use crate::world::{Beside, World};
use crate::{Bench, naive, prototype};

const ID: &str = "P4";
/// Machines that are there already.
const FIRST: u64 = 1_000;
/// Connections of the loop: the best of these is what Muster is compared with.
const POOLS: [usize; 3] = [8, 16, 32];
const LOOPS: [[&str; 3]; 2] = [
    ["loop on 8 connections", "loop on 16 connections", "loop on 32 connections"],
    [
        "loop on 8 connections, a certificate",
        "loop on 16 connections, a certificate",
        "loop on 32 connections, a certificate",
    ],
];

/// The two kinds of credential, in the order of everything here.
#[derive(Default)]
struct Figures {
    one: [Rounds; 2],
    three: [Rounds; 2],
    loops: [[Rounds; POOLS.len()]; 2],
}

/// Measures all of it.
pub(crate) async fn bench(bench: &Bench) -> Result<Vec<Row>> {
    let home = bench.home::<PostgresStore>().await?;
    let world = World::<PostgresStore>::open(&home, &bench.metrics).await?;
    // PostgreSQL knows no table before it was filled a little.
    populate(&world, FIRST).await?;
    PostgresStore::settle_down(&home).await?;
    let token = world.token().await?;
    let feeds = Feeds::new(&make(bench.supply(5_000))?, &token);
    let loops = loops(&home, &world, &token).await?;
    let mut figures = Figures::default();
    for _ in 0..bench.rounds {
        let kinds = [(&feeds.bearer, &feeds.bare_bearer), (&feeds.certificate, &feeds.bare_certificate)];
        for (kind, (feed, bare)) in kinds.into_iter().enumerate() {
            figures.one[kind].add(run(&world.place, feed, bench.load()).await?);
            for (at, beside) in loops.iter().enumerate() {
                figures.loops[kind][at].add(run(&beside.place, bare, bench.load()).await?);
            }
        }
        let [bearer, certificate] = on_three(bench, &home, &world, &feeds).await?;
        figures.three[0].add(bearer);
        figures.three[1].add(certificate);
    }
    let naive = world.beside(naive::routes(home.dir(), &token)?).await?;
    let naive = run(&naive.place, &feeds.bare_bearer, bench.load()).await?;
    drop(loops);
    world.close().await;
    Ok(figures.rows(naive.rate))
}

/// The same loop on so many connections, each behind a port of its own.
async fn loops(home: &Private, world: &World<PostgresStore>, token: &str) -> Result<Vec<Beside>> {
    let config = home.config()?;
    prepare(&config).await?;
    let mut loops = Vec::new();
    for connections in POOLS {
        let pool = Pool::open(&config, connections).await?;
        loops.push(world.beside(prototype::routes(&world.app, pool, token)).await?);
    }
    Ok(loops)
}

/// Two more servers come, take their share of the callers, and go.
async fn on_three(
    bench: &Bench,
    home: &Private,
    first: &World<PostgresStore>,
    feeds: &Feeds,
) -> Result<[Measured; 2]> {
    let second = World::<PostgresStore>::open(home, &bench.metrics).await?;
    let third = World::<PostgresStore>::open(home, &bench.metrics).await?;
    let places: [Place; 3] = [first.place.clone(), second.place.clone(), third.place.clone()];
    let on_all = async |feed: &std::sync::Arc<Feed>| spread(&places, feed, bench.load()).await;
    let measured = [on_all(&feeds.bearer).await?, on_all(&feeds.certificate).await?];
    second.close().await;
    third.close().await;
    Ok(measured)
}

impl Figures {
    fn rows(&self, naive: f64) -> Vec<Row> {
        let mut rows = Vec::new();
        for (kind, what) in [BEARER, CERTIFICATE].into_iter().enumerate() {
            let (one, three) = (&self.one[kind], &self.three[kind]);
            let bare = best(LOOPS[kind].into_iter().zip(self.loops[kind].iter().map(Rounds::rate)));
            let on = |replicas: &str| format!("{what}, {replicas}");
            rows.push(one.row(ID, &on("one replica"), bare, Target::Share(0.6)));
            rows.push(one.row(ID, &on("one replica"), ("naive server", naive), Target::Beside));
            rows.push(three.row(ID, &on("three replicas"), ("one replica", one.rate()), Target::Share(1.0)));
        }
        for (names, loops) in LOOPS.into_iter().zip(&self.loops) {
            let loops = names.into_iter().zip(loops);
            rows.extend(
                loops.map(|(name, rounds)| rounds.row("", name, ("naive server", naive), Target::Beside)),
            );
        }
        rows
    }
}

/// The fastest of several.
fn best(rates: impl Iterator<Item = (&'static str, f64)>) -> (&'static str, f64) {
    rates.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("nothing", 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn muster_is_compared_with_the_best_loop() {
        assert_eq!(best([("a", 1.0), ("b", 3.0), ("c", 2.0)].into_iter()), ("b", 3.0));
    }
}
