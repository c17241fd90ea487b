//! How the reaper stands, and who is due.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How the reaper stands: it pauses machines of which nothing is heard for long, and ends them later, where it is told to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reaper {
    /// `at_work`; `settling`: the server that watches has begun to half an hour ago at most, and takes nobody yet; `off`; `stopped`: so many are due at once that the fault is more likely ours, and nobody is taken.
    pub standing: String,
    /// Seconds of silence after which a machine is paused; `null`: never.
    pub pause_after: Option<u64>,
    /// Seconds of silence after that, when it is ended; `null`: never.
    pub retire_after: Option<u64>,
    /// When the fleet was last looked at. Only time in which somebody watches is silence.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub watched_until: Option<Timestamp>,
    /// Seconds in which somebody watched, as far back as that is kept.
    pub watched_for: u64,
    /// Since when nobody is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub stopped_at: Option<Timestamp>,
    /// Machines that are active or suspended.
    pub fleet: u64,
    /// So many of them a run takes at most.
    pub share: u64,
    /// Machines that were paused for their silence within a day: they count as due still.
    pub paused_lately: u64,
    /// Machines that are paused for their silence.
    pub paused: u64,
    /// Machines that are due now.
    pub due: u64,
    /// These, those first who were silent longest, at most 500.
    pub machines: Vec<Silent>,
}

/// A machine that is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Silent {
    /// Its identifier.
    pub id: String,
    /// What operators call it.
    pub name: String,
    /// `pause` or `retire`.
    pub what: String,
    /// When it was last heard of.
    #[schema(value_type = String, format = DateTime)]
    pub last_heard: Timestamp,
    /// Whether the next run takes it, if nothing is heard of it until then.
    pub taken: bool,
}
