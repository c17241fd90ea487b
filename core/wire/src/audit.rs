//! Audit entries, as people and scripts read them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// Its identifier.
    pub id: String,
    /// Its place in the log.
    pub seq: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who: an operator's or machine's identifier, `anonymous` or `system`.
    pub actor: String,
    /// What, as `noun.verb`.
    pub action: String,
    /// To what: an identifier, or `deployment`.
    pub object: String,
    /// Why, or with which outcome: a stable code.
    pub reason: String,
    /// From where.
    pub source: Option<String>,
    /// What else a reader wants to know.
    pub detail: BTreeMap<String, String>,
}

/// What the audit log may be asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Where the page before ended (newest first).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only entries after this place in the log, oldest first: for following it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// At most this many entries, 1 to 1000; 100 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only acts on this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Only acts of this actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Only acts of this sort: `machine.revoke`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only what happened at this time or later, by the clock of the server that wrote it.
    #[param(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Only what happened before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// One entry, and what happened about it: each list the newest first, with the entry in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditContext {
    /// The entry.
    pub entry: AuditEntry,
    /// What was done to the same object before and after.
    pub object: Vec<AuditEntry>,
    /// What the same actor did before and after.
    pub actor: Vec<AuditEntry>,
    /// What happened before and after, whoever did it.
    pub around: Vec<AuditEntry>,
}
