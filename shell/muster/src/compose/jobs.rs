//! What a server does by itself, every few seconds.

use std::time::Duration;

use muster_app::App;
use muster_issuer::ServerName;
use muster_model::Timestamp;
use muster_server::metrics::Metrics;
use muster_server::serve::{Draining, SharedTls};
use muster_store_sqlite::SqliteStore;
use tokio::time::{MissedTickBehavior, interval};

use super::tls;

const EVERY: Duration = Duration::from_secs(5);
/// Counted refusals are written once in so many ticks: a flood is a line a minute.
const REFUSALS: u32 = 12;

/// What the jobs work on.
pub(crate) struct Jobs {
    pub(crate) app: App<SqliteStore>,
    pub(crate) metrics: Metrics,
    pub(crate) tls: SharedTls,
    pub(crate) names: Vec<ServerName<'static>>,
    pub(crate) renew_at: Timestamp,
}

impl Jobs {
    /// Works until the server stops, and once more then: counted refusals are not lost.
    pub(crate) async fn work(mut self, mut draining: Draining) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tick = 0u32;
        loop {
            tokio::select! {
                _ = draining.started() => break,
                _ = ticks.tick() => {
                    tick = tick.wrapping_add(1);
                    if tick.is_multiple_of(REFUSALS) {
                        self.app.flush_refusals().await;
                    }
                    self.app.flush_presence().await;
                    self.metrics.upkeep();
                    tls::renew_when_due(&self.app, &self.names, &self.tls, &mut self.renew_at);
                }
            }
        }
        self.app.flush_refusals().await;
        self.app.flush_presence().await;
    }
}
