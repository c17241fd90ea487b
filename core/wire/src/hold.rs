//! Holds, with the evidence a person decides on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_model::{Hold as Record, HoldState, PublicKey};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// An enrollment that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Hold {
    /// Its identifier.
    pub id: String,
    /// `approval`, `key_mismatch`, `site_mismatch`, `was_removed` or `quota`.
    pub reason: String,
    /// `open`, `expired`, `approved` or `rejected`.
    pub state: String,
    /// The code of the site it was asked of.
    pub site: String,
    /// Who asks.
    pub claimant: Claimant,
    /// The machine it claims to be, or that stands in its way.
    pub existing: Option<String>,
    /// The grant it presented.
    pub grant: Option<String>,
    /// How many requests there were in this name, this one included: of clients without a key who gave the same hardware
    /// and another secret.
    #[serde(default = "once")]
    pub asked: u32,
    /// When it was first asked.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Timestamp>,
    /// Who decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// What they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_reason: Option<String>,
    /// As which machine it was let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

/// Who asks. Hints for a person; only the key is proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Claimant {
    /// Fingerprint of the key it proved.
    pub key: Option<String>,
    /// Words derived from that key, for people to compare with what the machine shows.
    pub words: Vec<String>,
    /// The hardware signal it gave.
    pub hardware_id: Option<String>,
    /// What it calls itself.
    pub hostname: Option<String>,
    /// What sort of thing it says it is.
    pub kind: String,
    /// What else it says of itself.
    pub attributes: BTreeMap<String, String>,
    /// Where it asked from.
    pub source: Option<String>,
    /// The join method it used.
    pub method: String,
}

/// A hold with the other claimant, where there is one.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HoldDetail {
    /// The hold.
    #[serde(flatten)]
    pub hold: Hold,
    /// The machine it claims to be, or that stands in its way.
    pub existing_machine: Option<Machine>,
    /// Words derived from that machine's key.
    pub existing_words: Vec<String>,
    /// The choices that fit this hold: `same`, `new`.
    pub choices: Vec<Choice>,
}

/// What a person decides about who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The same machine: it gets the new key, its older credentials end.
    Same,
    /// Another machine: both keep running.
    New,
}

/// An approval.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// Who asks. May be left out where only one choice fits.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
}

fn once() -> u32 {
    1
}

impl Hold {
    /// Writes a hold. Expiry is computed from the clock, it is never stored.
    pub fn new(hold: &Record, site: &str, now: Timestamp) -> Self {
        let (decided_at, decided_by, decision_reason, machine) = match &hold.state {
            HoldState::Open => (None, None, None, None),
            HoldState::Approved { machine, at, by } => (Some(*at), Some(by), None, Some(machine)),
            HoldState::Rejected { at, by, reason } => (Some(*at), Some(by), reason.as_ref(), None),
        };
        Self {
            id: hold.id.to_string(),
            reason: hold.reason.as_str().to_owned(),
            state: if hold.is_expired(now) { "expired" } else { hold.state.as_str() }.to_owned(),
            site: site.to_owned(),
            claimant: Claimant::from(&hold.claimant),
            existing: hold.existing.map(|id| id.to_string()),
            grant: hold.grant.map(|id| id.to_string()),
            asked: hold.asked,
            created_at: hold.created_at,
            expires_at: hold.expires_at,
            decided_at,
            decided_by: decided_by.map(ToString::to_string),
            decision_reason: decision_reason.map(ToString::to_string),
            machine: machine.map(ToString::to_string),
        }
    }
}

impl From<&muster_model::Claimant> for Claimant {
    fn from(claimant: &muster_model::Claimant) -> Self {
        let key = claimant.key.as_ref().map(PublicKey::fingerprint);
        Self {
            key: key.map(|key| key.to_string()),
            words: crate::words(key),
            hardware_id: claimant.hardware_id.as_ref().map(ToString::to_string),
            hostname: claimant.hostname.as_ref().map(ToString::to_string),
            kind: claimant.kind.as_str().to_owned(),
            attributes: crate::pairs(claimant.attributes.iter()),
            source: claimant.source.map(|source| source.to_string()),
            method: claimant.method.to_string(),
        }
    }
}
