//! P5: channels over mutual TLS. How many beats a second, beside a bare echo server; how much memory one takes, with
//! the client in a process of its own; and that holding them writes nothing.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use muster_wire::channel::{MAX_FRAME, PATH, PING_EVERY};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Bench;
use crate::elsewhere;
use crate::enroll::Rounds;
use crate::host::{open_files, resident};
use crate::http::Place;
use crate::kept::{Kept, Written};
use crate::load::{Measured, Stretch};
use crate::machines::{Enrolled, enrolled};
use crate::report::{Row, Target};
use crate::watch::now;
use crate::websocket::{Beat, Socket};
use crate::world::World;

/// Descriptors for everything but channels.
pub(crate) const SPARE: u64 = 500;

/// What the other process is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    address: SocketAddr,
    roots: Vec<Vec<u8>>,
    machines: Vec<Enrolled>,
}

/// Measures all of it.
pub(crate) async fn bench<S: Kept>(bench: &Bench) -> Result<Vec<Row>> {
    let room = usize::try_from(open_files()?.saturating_sub(SPARE)).unwrap_or(usize::MAX);
    let home = bench.home::<S>().await?;
    let world = World::<S>::open(&home, &bench.metrics).await?;
    let machines = enrolled(&world, bench.channels.min(room)).await?;
    let mut rows = vec![beats(bench, &world, &machines).await?];
    rows.extend(held::<S>(bench, &home, &world, machines).await?);
    world.close().await;
    Ok(rows)
}

async fn beats<S: Kept>(bench: &Bench, world: &World<S>, machines: &[Enrolled]) -> Result<Row> {
    let roots = world.app.authority().roots_der().into_iter().cloned().collect::<Vec<_>>();
    let echo = world.beside(Router::new().route(PATH, any(echo))).await?;
    let (mut figure, mut reference) = (Rounds::default(), Rounds::default());
    for _ in 0..bench.rounds {
        let (mut channels, mut bare) = (Vec::new(), Vec::new());
        for machine in machines.iter().take(bench.connections) {
            channels.push(Socket::open(&world.place.with(machine.tls(&roots)?), PATH).await?);
            bare.push(Socket::open(&echo.place, PATH).await?);
        }
        figure.add(beat(channels, Beat::Ping, bench.time).await?);
        reference.add(beat(bare, Beat::Echo, bench.time).await?);
    }
    let reference = ("bare echo server", reference.rate());
    Ok(figure.row("P5", "beats over channels, mutual TLS", reference, Target::Share(0.6)))
}

/// Beats on all of them at once, for so long.
async fn beat(sockets: Vec<Socket>, beat: Beat, time: Duration) -> Result<Measured> {
    let stretch = Stretch::begin();
    let mut beating = JoinSet::new();
    for mut socket in sockets {
        beating.spawn(async move {
            let mut took = Vec::new();
            while stretch.elapsed() < time {
                let begun = now();
                socket.beat(beat).await?;
                took.push(begun.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut took = Vec::new();
    while let Some(ended) = beating.join_next().await {
        took.extend(ended??);
    }
    Ok(Measured::of(took, stretch))
}

/// The bare server: the framework's WebSocket with the buffers of a channel, and nothing else.
async fn echo(upgrade: WebSocketUpgrade) -> axum::response::Response {
    let upgrade = upgrade.read_buffer_size(1024).write_buffer_size(0).max_write_buffer_size(4 * MAX_FRAME);
    upgrade.on_upgrade(|mut socket: WebSocket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Binary(_)) && socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

/// Has another process hold all channels, and watches memory and writes meanwhile.
async fn held<S: Kept>(
    bench: &Bench,
    home: &S::Home,
    world: &World<S>,
    machines: Vec<Enrolled>,
) -> Result<Vec<Row>> {
    let count = machines.len();
    let before = resident()?;
    let mut holder = hold_elsewhere(world, machines).await?;
    ensure!(world.app.registry().online() == count as u64, "not every channel is held");
    let each = resident()?.saturating_sub(before) as f64 / count as f64;
    // The last comings are written a moment after they are known.
    sleep(Duration::from_secs(PING_EVERY) + S::COUNTED_WITHIN).await;
    let written = world.app.store().written(home).await?;
    sleep(bench.hold + S::COUNTED_WITHIN).await;
    let written = world.app.store().written(home).await?.since(&written);
    ensure!(world.app.registry().online() == count as u64, "a channel was lost while it was held");
    drop(holder.stdin.take());
    holder.wait()?;
    Ok(told::<S>(count, bench.hold + S::COUNTED_WITHIN, each, written))
}

fn told<S: Kept>(count: usize, hold: Duration, each: f64, written: Written) -> Vec<Row> {
    let row = |what: String, figure, unit, target| Row {
        id: "P5",
        what,
        figure,
        unit,
        reference: None,
        target,
        latency_ms: None,
        cpu_us: None,
    };
    let while_held = format!("in {} s of {count} held", hold.as_secs());
    let memory = format!("memory a channel, of {count} held");
    let mut rows = vec![
        row(memory, each / 1024.0, "KiB", Target::AtMost(24.0)),
        row(
            format!("writes about machines {while_held}"),
            written.of_machines as f64,
            S::WRITES,
            Target::AtMost(0.0),
        ),
    ];
    let beside = written.beside.into_iter();
    rows.extend(beside.map(|(what, n)| row(format!("{what} {while_held}"), n as f64, "", Target::Beside)));
    rows
}

/// Has another process hold them all.
pub(crate) async fn hold_elsewhere<S: Kept>(world: &World<S>, machines: Vec<Enrolled>) -> Result<Child> {
    let roots = world.app.authority().roots_der().into_iter().map(|root| root.to_vec()).collect::<Vec<_>>();
    let orders = Orders { address: world.place.address, roots, machines };
    elsewhere::start("hold", &orders, "held").await
}

/// The other process: connects every machine it is told of, says so, and holds until its standard input ends.
#[expect(clippy::print_stdout, reason = "it is how the two processes talk")]
pub(crate) async fn hold() -> Result<()> {
    open_files()?;
    let Orders { address, roots, machines } = elsewhere::orders()?;
    let roots: Arc<[CertificateDer<'static>]> = roots.into_iter().map(CertificateDer::from).collect();
    let mut opening = JoinSet::new();
    let mut holding = JoinSet::new();
    let mut machines = machines.into_iter();
    loop {
        while opening.len() < 32
            && let Some(machine) = machines.next()
        {
            let place = Place { address, tls: machine.tls(&roots)? };
            opening.spawn(async move { Socket::open(&place, PATH).await });
        }
        match opening.join_next().await {
            Some(socket) => drop(holding.spawn(socket??.hold())),
            None => break,
        }
    }
    println!("held");
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new()));
    ended.await??;
    holding.shutdown().await;
    Ok(())
}
