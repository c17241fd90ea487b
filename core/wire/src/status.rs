//! The deployment at a glance.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The deployment at a glance.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Status {
    /// Version of the server.
    pub version: String,
    /// Where machines reach it.
    pub url: String,
    /// The trust domain of its SPIFFE ids.
    pub trust_domain: String,
    /// The pin of its active root.
    pub ca_pin: String,
    /// The server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub server_time: Timestamp,
    /// Since when it runs.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// What the server may do: `normal`; `stale`, while it cannot read the store; `restored`, while the database is older
    /// than what was seen of it.
    #[serde(default)]
    pub mode: String,
    /// Servers of the deployment that are alive.
    #[serde(default)]
    pub replicas: u64,
    /// Machines by state, and how many of them are online.
    pub machines: MachineCounts,
    /// Holds that wait for a person.
    pub holds_open: u64,
    /// When the issuing CA ends.
    #[schema(value_type = String, format = DateTime)]
    pub ca_expires: Timestamp,
    /// Where its data are; only told over the local socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<String>,
    /// What an operator should look at.
    pub warnings: Vec<String>,
}

/// Machines by state, and how many of them are online.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MachineCounts {
    /// Made ahead.
    pub pending: u64,
    /// At work.
    pub active: u64,
    /// Paused.
    pub suspended: u64,
    /// Ended.
    pub retired: u64,
    /// Holding a channel now, at whichever server.
    pub online: u64,
}

/// Version of the server.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Version {
    /// Version of the program.
    pub version: String,
    /// Versions of the protocol it speaks.
    pub protocols: Vec<String>,
}
