//! What the fleet did over time, what of it ends when, and what runs on it.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::status::MachineCounts;

/// What the fleet did over time, what of it ends when, and what runs on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Overview {
    /// The beginning of the earliest stretch.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// The end of the last stretch, which is not over yet.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// Seconds that a stretch lasts: 300, or as many as it takes for 300 stretches at most.
    pub step: u64,
    /// Machines by state, and how many of them are online, now.
    pub machines: MachineCounts,
    /// What happened in all of it.
    pub totals: Happened,
    /// The stretches, the earliest first. Those of which no server noted anything are left out.
    pub pulses: Vec<PulsePoint>,
    /// What ends from now on within 13 weeks, by day of UTC; days on which nothing does are left out.
    pub expiring: Vec<ExpiringDay>,
    /// When the issuing certificate authority ends.
    #[schema(value_type = String, format = DateTime)]
    pub ca_expires: Timestamp,
    /// The version of this server.
    pub server_version: String,
    /// The versions that most active machines say they run, the most frequent first, at most 20.
    pub versions: Vec<VersionCount>,
    /// Active machines that say they run another one.
    pub other_versions: u64,
}

/// What happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Happened {
    /// Machines that were let in, newly or anew.
    pub enrolled: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Machines that were ended.
    pub ended: u64,
}

/// A stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PulsePoint {
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The fewest machines that held a channel, at whichever server; `null` where no server looked.
    pub online_least: Option<u64>,
    /// The most.
    pub online_most: Option<u64>,
    /// The most machines that were active or suspended.
    pub machines: Option<u64>,
    /// What happened in it.
    #[serde(flatten)]
    pub happened: Happened,
}

/// A day on which something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExpiringDay {
    /// The day, in UTC.
    #[schema(value_type = String, format = Date)]
    pub day: Date,
    /// Certificates of machines. Those that are renewed in time do not come so far.
    pub certificates: u64,
    /// Bearer keys and refresh tokens of machines.
    pub bearer_keys: u64,
    /// Grants that may be drawn on still.
    pub grants: u64,
    /// API tokens of operators.
    pub api_tokens: u64,
}

/// A version, and who runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VersionCount {
    /// As machines say it; `null` for those that say none.
    pub version: Option<String>,
    /// Active machines.
    pub machines: u64,
}

/// How far back to look.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct OverviewQuery {
    /// Hours, 1 to 2208; 24 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<u32>,
}

impl ExpiringDay {
    /// A day on which nothing ends.
    pub fn none(day: Date) -> Self {
        Self { day, certificates: 0, bearer_keys: 0, grants: 0, api_tokens: 0 }
    }

    /// How much ends.
    pub fn sum(&self) -> u64 {
        self.certificates + self.bearer_keys + self.grants + self.api_tokens
    }
}
