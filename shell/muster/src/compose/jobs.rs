//! What a server does by itself, every few seconds.

use std::time::Duration;

use muster_app::{App, Error, Round, StoreError};
use muster_issuer::ServerName;
use muster_model::Timestamp;
use muster_server::metrics::Metrics;
use muster_server::serve::{Draining, SharedTls};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::ca_copy::CaCopy;
use super::own_certificate::Kept;
use super::seen::Seen;
use super::store::AnyStore;
use super::tls;

const EVERY: Duration = Duration::from_secs(5);
/// Counted refusals are written once in so many ticks: a flood is a line a minute.
const REFUSALS: u32 = 12;
/// What the fleet did is noted in this one of them, and soon after the start.
const PULSE: u32 = 1;
/// The others give up a server that did not say for ten seconds that it is alive.
const ALIVE: Duration = Duration::from_secs(3);
/// The database is looked at so often, and what others did is heeded so often where nobody says that there is something.
const LOOK: Duration = Duration::from_secs(2);
/// How far the database was seen is written once in so many looks.
const KEEP: u32 = 3;
/// Between two hints that are followed: a busy deployment gives them all the time.
const CALM: Duration = Duration::from_millis(100);
/// Some of the machines that are to change their keys are told so often.
const URGE: Duration = Duration::from_secs(1);
const PRUNE: Duration = Duration::from_secs(600);
/// The operator's own certificate is looked at so often.
const OWN: Duration = Duration::from_secs(60);
/// The fleet is looked at so often. What happens between two looks further apart than three of these was not watched.
const REAP: Duration = Duration::from_secs(240);
/// What is wanted in other systems is looked for so often.
const PROVISION: Duration = Duration::from_secs(1);

/// What the jobs work on.
pub(crate) struct Jobs {
    pub(crate) app: App<AnyStore>,
    pub(crate) metrics: Metrics,
    pub(crate) tls: SharedTls,
    pub(crate) names: Vec<ServerName<'static>>,
    pub(crate) renew_at: Timestamp,
}

/// What the job that follows the change of the authority works on.
pub(crate) struct Following {
    pub(crate) app: App<AnyStore>,
    pub(crate) copy: CaCopy,
}

impl Jobs {
    /// Works until the server stops, and once more then: what was counted is not lost.
    pub(crate) async fn work(mut self, mut draining: Draining) {
        let mut ticks = every(EVERY);
        let mut steps = self.app.ca_steps();
        let mut tick = 0u32;
        loop {
            tokio::select! {
                _ = draining.started() => break,
                Ok(()) = steps.changed() => {
                    self.renew_at = self.app.now();
                    tls::renew_when_due(&self.app, &self.names, &self.tls, &mut self.renew_at);
                }
                _ = ticks.tick() => {
                    tick = tick.wrapping_add(1);
                    if tick.is_multiple_of(REFUSALS) {
                        self.app.flush_refusals().await;
                    }
                    if tick % REFUSALS == PULSE {
                        note_pulse(&self.app).await;
                    }
                    self.app.flush_presence().await;
                    self.metrics.upkeep();
                    tls::renew_when_due(&self.app, &self.names, &self.tls, &mut self.renew_at);
                }
            }
        }
        self.app.flush_refusals().await;
        self.app.flush_presence().await;
        told("cannot note what happened", self.app.flush_pulse().await);
    }
}

async fn note_pulse(app: &App<AnyStore>) {
    match app.note_pulse().await {
        Ok(()) => {}
        Err(Error::Store(error)) => told("cannot note what happened", Err(error)),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot note what happened");
        }
    }
}

/// Says that this server is alive, until it stops.
pub(crate) async fn keep_alive(app: App<AnyStore>, mut draining: Draining) {
    let mut ticks = every(ALIVE);
    loop {
        tokio::select! {
            _ = draining.started() => break,
            _ = ticks.tick() => told("cannot say that this server is alive", app.keep_alive().await),
        }
    }
}

/// Looks at the database, and keeps in a file how far it was seen. Gives back what was seen for a last look.
pub(crate) async fn watch(app: App<AnyStore>, mut seen: Seen, mut draining: Draining) -> Seen {
    let mut ticks = every(LOOK);
    let mut tick = 0u32;
    loop {
        tokio::select! {
            _ = draining.started() => break,
            _ = ticks.tick() => {
                told("cannot look at the database", seen.look(&app).await);
                told("cannot note that the database was put back", app.doubt().await);
                // The file is synced each time, so it is not written at each look.
                if tick.is_multiple_of(KEEP) {
                    seen.keep().await;
                }
                tick = tick.wrapping_add(1);
            }
        }
    }
    seen
}

/// Passes on what other servers decided, as soon as there may be something and every two seconds anyway.
pub(crate) async fn heed(app: App<AnyStore>, mut draining: Draining) {
    let (mut ticks, mut calm) = (every(LOOK), every(CALM));
    loop {
        tokio::select! {
            _ = draining.started() => break,
            _ = ticks.tick() => {}
            () = app.stirred() => {}
        }
        told("cannot hear what other servers did", app.heed().await);
        calm.tick().await;
    }
}

/// Follows the change of the authority, keeps a copy of how far it is, and tells machines to change their keys after a
/// taint.
pub(crate) async fn follow_ca(mut following: Following, mut draining: Draining) {
    let (mut ticks, mut urging) = (every(LOOK), every(URGE));
    let mut steps = following.app.ca_steps();
    loop {
        tokio::select! {
            _ = draining.started() => break,
            Ok(()) = steps.changed() => {}
            // What cannot be used is told once, where it is found.
            _ = ticks.tick() => match following.app.follow_ca().await {
                Ok(()) | Err(Error::Authority(_)) => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot follow the change of the authority"
                ),
            },
            _ = urging.tick() => {
                told("cannot tell machines to change their keys", following.app.urge().await.map(drop));
                continue;
            }
        }
        following.copy.keep(&following.app).await;
    }
}

/// Deletes what is old enough.
pub(crate) async fn prune(app: App<AnyStore>, mut draining: Draining) {
    let mut ticks = every(PRUNE);
    loop {
        tokio::select! {
            _ = draining.started() => break,
            _ = ticks.tick() => match app.prune().await {
                Ok(0) | Err(StoreError::Fenced { .. }) => {}
                Ok(rows) => tracing::debug!(rows, "deleted what was old enough"),
                Err(error) => told("cannot delete what is old enough", Err(error)),
            },
        }
    }
}

/// Picks up the operator's own certificate when its files change.
pub(crate) async fn keep_own(app: App<AnyStore>, mut kept: Kept, mut draining: Draining) {
    let mut ticks = every(OWN);
    loop {
        tokio::select! {
            _ = draining.started() => break,
            _ = ticks.tick() => {}
        }
        // Files may lie on a disk that is slow to answer.
        let now = app.now();
        let looked = tokio::task::spawn_blocking(move || {
            kept.look(now);
            kept
        });
        match looked.await {
            Ok(again) => kept = again,
            Err(error) => {
                tracing::error!(%error, "the operator's own certificate is not looked at any more");
                break;
            }
        }
    }
}

/// Watches the fleet, and takes those who are silent for too long.
pub(crate) async fn reap(app: App<AnyStore>, mut draining: Draining) {
    let mut ticks = every(REAP);
    loop {
        tokio::select! {
            _ = draining.started() => break,
            _ = ticks.tick() => match app.reap().await {
                Ok(_) | Err(Error::Stale | Error::Restored | Error::Store(StoreError::Fenced { .. })) => {}
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot watch the fleet");
                }
            },
        }
    }
}

/// Carries out what is wanted in other systems. What it is doing when the server stops is given up: an order is the same
/// twice.
pub(crate) async fn provision(app: App<AnyStore>, mut draining: Draining) {
    let mut ticks = every(PROVISION);
    loop {
        tokio::select! {
            _ = draining.started() => break,
            _ = ticks.tick() => tokio::select! {
                _ = draining.started() => break,
                done = app.provision() => match done {
                    Ok(round) if round == Round::default() => {}
                    Ok(round) => tracing::debug!(?round, "brought other systems up to date"),
                    Err(Error::Store(error)) => told("cannot work on accounts", Err(error)),
                    Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "cannot work on accounts"),
                },
            },
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// A job that fails is tried again at its next time; what it means for whoever asks, the use cases tell.
pub(crate) fn told(what: &'static str, done: Result<(), StoreError>) {
    if let Err(error) = done {
        tracing::warn!(error = &error as &dyn std::error::Error, "{what}");
    }
}
