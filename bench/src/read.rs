//! P6 and P12: a read that a bearer key is shown for, and enrollments that are refused, beside handlers that do
//! nothing behind the same sockets and the same TLS.

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::routing::{get as on_get, post as on_post};
use muster_model::{Secret, SecretKind};

use crate::Bench;
use crate::enroll::Rounds;
use crate::host::resident;
use crate::http::{get, post};
use crate::kept::Kept;
use crate::load::{Feed, run};
use crate::machines::{ENROLL, keyless};
use crate::report::{Row, Target};
use crate::world::World;

const SELF: &str = "/v1/machines/self";
/// How many tokens, and machines that read, are taken in turn.
const MANY: usize = 1_000;

/// P6.
pub(crate) async fn read<S: Kept>(bench: &Bench) -> Result<Vec<Row>> {
    let home = bench.home::<S>().await?;
    let world = World::<S>::open(&home, &bench.metrics).await?;
    let keys = bearer_keys(&world).await?;
    let reads: Vec<_> = keys.iter().map(|key| get(SELF, Some(key))).collect();
    let empty = world.beside(Router::new().route(SELF, on_get(|| async {}))).await?;
    let (feed, beside) = (Feed::again(reads.clone(), 200), Feed::again(reads, 200));
    let health = Feed::again(vec![get("/healthz", None)], 200);
    let (mut figure, mut reference, mut around) = (Rounds::default(), Rounds::default(), Rounds::default());
    for _ in 0..bench.rounds {
        figure.add(run(&world.place, &feed, bench.load()).await?);
        reference.add(run(&empty.place, &beside, bench.load()).await?);
        around.add(run(&world.place, &health, bench.load()).await?);
    }
    world.close().await;
    let what = "a machine reads itself, by its bearer key";
    let around_it = "/healthz: what is around every handler";
    let empty = ("empty handler", reference.rate());
    Ok(vec![
        figure.row("P6", what, empty, Target::Share(0.6)),
        around.row("", around_it, empty, Target::Beside),
        reference.row("", "the empty handler itself", empty, Target::Beside),
    ])
}

async fn bearer_keys<S: Kept>(world: &World<S>) -> Result<Vec<String>> {
    let token = world.token().await?;
    let mut client = world.place.connect().await?;
    let mut keys = Vec::with_capacity(MANY);
    for body in keyless(MANY, &token) {
        ensure!(client.call(&post(ENROLL, &body)).await? == 201, "a machine was not let in");
        let answer: serde_json::Value = serde_json::from_slice(client.body())?;
        keys.push(answer["credential"]["bearer"].as_str().context("no bearer key in the answer")?.to_owned());
    }
    Ok(keys)
}

/// P12.
pub(crate) async fn refused<S: Kept>(bench: &Bench) -> Result<Vec<Row>> {
    let home = bench.home::<S>().await?;
    let world = World::<S>::open(&home, &bench.metrics).await?;
    let wrong: Vec<_> =
        (0..MANY).flat_map(|_| keyless(1, &unknown_token())).map(|body| post(ENROLL, &body)).collect();
    let empty = world.beside(Router::new().route(ENROLL, on_post(|_: Bytes| async {}))).await?;
    let (feed, beside) = (Feed::again(wrong.clone(), 401), Feed::again(wrong, 200));
    let (mut figure, mut reference) = (Rounds::default(), Rounds::default());
    // The first round fills what is filled once: caches, buffers, the pages of the allocator.
    run(&world.place, &feed, bench.load()).await?;
    let before = resident()?;
    for _ in 0..bench.rounds {
        figure.add(run(&world.place, &feed, bench.load()).await?);
        reference.add(run(&empty.place, &beside, bench.load()).await?);
    }
    let grown = resident()?.saturating_sub(before);
    world.close().await;
    let what = "enrollments with an unknown token, refused";
    Ok(vec![
        figure.row("P12", what, ("empty handler", reference.rate()), Target::Share(0.6)),
        Row {
            id: "P12",
            what: "memory grown by all those refusals".to_owned(),
            figure: grown as f64 / f64::from(1 << 20),
            unit: "MiB",
            reference: None,
            target: Target::AtMost(4.0),
            latency_ms: None,
            cpu_us: None,
        },
    ])
}

/// A well-formed token that nobody gave out.
fn unknown_token() -> String {
    let (mut id, mut bytes) = ([0; 10], [0; 32]);
    aws_lc_rs::rand::fill(&mut id).expect("the operating system's generator always answers");
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system's generator always answers");
    Secret::new(SecretKind::Enroll, id, bytes).reveal()
}
