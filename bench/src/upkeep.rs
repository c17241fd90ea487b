//! What a server does by itself every few seconds, as the binary has it do. Each on its own: none waits for another.

use std::time::Duration;

use muster_app::{App, Mark, Store, StoreError};
use muster_server::metrics::Metrics;
use muster_server::serve::Draining;
use tokio::task::JoinSet;
use tokio::time::interval;

const FLUSH: Duration = Duration::from_secs(5);
const ALIVE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_secs(2);
/// Between two hints that are followed.
const CALM: Duration = Duration::from_millis(100);

/// Starts all of it.
pub(crate) fn start<S: Store>(
    tasks: &mut JoinSet<()>,
    app: &App<S>,
    mark: Mark,
    metrics: &Metrics,
    draining: &Draining,
) {
    tasks.spawn(flush(app.clone(), metrics.clone(), draining.clone()));
    tasks.spawn(keep_alive(app.clone(), draining.clone()));
    tasks.spawn(look(app.clone(), mark, draining.clone()));
    tasks.spawn(heed(app.clone(), draining.clone()));
}

async fn flush<S: Store>(app: App<S>, metrics: Metrics, mut draining: Draining) {
    let mut ticks = interval(FLUSH);
    loop {
        tokio::select! {
            () = draining.started() => break,
            _ = ticks.tick() => {
                app.flush_refusals().await;
                app.flush_presence().await;
                metrics.upkeep();
            }
        }
    }
    app.flush_refusals().await;
    app.flush_presence().await;
}

async fn keep_alive<S: Store>(app: App<S>, mut draining: Draining) {
    let mut ticks = interval(ALIVE);
    loop {
        tokio::select! {
            () = draining.started() => return,
            _ = ticks.tick() => told("keep alive", app.keep_alive().await),
        }
    }
}

async fn look<S: Store>(app: App<S>, mut mark: Mark, mut draining: Draining) {
    let mut ticks = interval(LOOK);
    loop {
        tokio::select! {
            () = draining.started() => return,
            _ = ticks.tick() => {
                let looked = app.look(Some(&mark)).await;
                told("look", looked.map(|seen| mark = seen));
            }
        }
    }
}

async fn heed<S: Store>(app: App<S>, mut draining: Draining) {
    let (mut ticks, mut calm) = (interval(LOOK), interval(CALM));
    loop {
        tokio::select! {
            () = draining.started() => return,
            _ = ticks.tick() => {}
            () = app.stirred() => {}
        }
        told("heed", app.heed().await);
        calm.tick().await;
    }
}

fn told(what: &'static str, done: Result<(), StoreError>) {
    if let Err(error) = done {
        tracing::warn!(error = &error as &dyn std::error::Error, "{what}");
    }
}
