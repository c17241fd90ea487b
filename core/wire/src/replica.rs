//! The servers of a deployment, and going on from a database that was put back to an older day.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One server of the deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Replica {
    /// Its identifier, drawn at its start.
    pub id: String,
    /// The version it runs.
    pub version: String,
    /// Since when it runs.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it last said that it is alive.
    #[schema(value_type = String, format = DateTime)]
    pub alive_at: Timestamp,
    /// Whether that is recent enough for its machines to count as online.
    pub alive: bool,
    /// Machines that hold their channel there.
    pub channels: u64,
    /// Whether it is the one that answers.
    pub this: bool,
}

/// An older database was accepted: what it has forgotten stays forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RestoreAccepted {
    /// The stretch of history that begins here.
    pub incarnation: String,
    /// The place of the newest audit entry that was seen before.
    pub seen: u64,
    /// The place of the newest audit entry that there was when it was put back.
    pub found: u64,
}
