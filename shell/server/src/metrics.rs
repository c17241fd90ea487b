//! Metrics in the text form of Prometheus. No value of a client is ever a label.

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

/// Seconds, from half a millisecond to ten seconds.
const BUCKETS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

/// Renders the metrics of this process.
#[derive(Clone)]
pub struct Metrics {
    handle: Option<PrometheusHandle>,
}

impl Metrics {
    /// Starts recording. At most once a process.
    ///
    /// # Errors
    /// Where something else records already.
    pub fn record() -> Result<Self, BuildError> {
        let handle = PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?;
        describe();
        Ok(Self { handle: Some(handle) })
    }

    /// Records nothing: for tests and tools.
    pub fn none() -> Self {
        Self { handle: None }
    }

    /// The metrics as Prometheus reads them.
    pub fn render(&self) -> String {
        self.handle.as_ref().map(PrometheusHandle::render).unwrap_or_default()
    }

    /// Answers `/metrics`, for a listener that stands where only operators reach it.
    pub fn router(&self) -> Router {
        let metrics = self.clone();
        Router::new().route("/metrics", get(move || async move { metrics.render() }))
    }

    /// Folds what was recorded since the last time; called every few seconds, so that memory stays bounded.
    pub fn upkeep(&self) {
        if let Some(handle) = &self.handle {
            handle.run_upkeep();
        }
    }
}

fn describe() {
    metrics::describe_counter!("muster_requests_total", "HTTP requests by route and status class.");
    metrics::describe_histogram!(
        "muster_request_seconds",
        metrics::Unit::Seconds,
        "Time to answer a request."
    );
    metrics::describe_counter!("muster_refusals_total", "Decided refusals by code.");
    metrics::describe_counter!(
        "muster_provision_total",
        "Orders to other systems by provisioner and what became of them."
    );
    metrics::describe_counter!("muster_connections_total", "Connections by transport and how they ended.");
    metrics::describe_gauge!("muster_connections_open", "Connections open now, by transport.");
    metrics::describe_counter!(
        "muster_forks_total",
        "Times it showed that two hold the key of one machine, by what showed it."
    );
    metrics::describe_counter!(
        "muster_reaper_broken_total",
        "Machines and tenants that the reaper passed over because a row of them cannot be read."
    );
    metrics::describe_counter!(
        "muster_reaper_total",
        "Machines that were paused or retired because nothing was heard of them."
    );
    metrics::describe_gauge!(
        "muster_reaper_due",
        "Machines that were due for that at the last run of this server."
    );
    metrics::describe_gauge!(
        "muster_reaper_stopped",
        "Tenants of whom this server took nobody at its last run, because too many were due at once."
    );
    metrics::describe_gauge!("muster_machines_online", "Machines that hold a channel now.");
}
