//! Alarms: what somebody should look at.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What was told of one thing, as often as it was, and nobody has looked at yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Alarm {
    /// What it is about: an identifier, or `deployment`.
    pub object: String,
    /// What people call that, where it is a machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What was told, as `noun.verb`: `machine.forked`, `machine.contended`, `credential.copied`, `refusals.storm` or `reaper.stop`.
    pub action: String,
    /// What showed it last, where there is more than one cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// How often it was told within the last seven days.
    pub times: u64,
    /// When it was told first.
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    /// When it was told last.
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
    /// What else was told with the last one.
    pub detail: BTreeMap<String, String>,
}

/// Somebody has looked at what was told of an object.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// What they have looked at: the identifier of a machine or a tenant, or `deployment`.
    pub object: String,
    /// The last one that they have seen (`last_at`). What is told afterwards stays open.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// What they say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
