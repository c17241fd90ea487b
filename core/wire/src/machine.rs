//! Machines, as the management API and the machine itself see them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_model::{HardwareId, Labels, MachineKind, MachineName, ReasonText, Role, SiteCode};
use serde::{Deserialize, Serialize};

use crate::{FieldErrors, Fields};

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Machine {
    /// Its identifier.
    pub id: String,
    /// What operators call it.
    pub name: String,
    /// `host`, `worker` or `software_agent`.
    pub kind: String,
    /// `pending`, `active`, `suspended` or `retired`.
    pub state: String,
    /// Since when it stands so.
    #[schema(value_type = String, format = DateTime)]
    pub state_since: Timestamp,
    /// What was said about it: an operator's reason, `probation`, `left`, `silent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
    /// Whether it holds a channel now.
    pub online: bool,
    /// The code of its site.
    pub site: String,
    /// What it calls itself.
    pub hostname: Option<String>,
    /// The hardware signal it enrolled with.
    pub hardware_id: Option<String>,
    /// When it was last heard of.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<Timestamp>,
    /// When its newest credential ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub credential_expires: Option<Timestamp>,
    /// Its generation.
    pub generation: u32,
    /// Fingerprint of its key.
    pub key: Option<String>,
    /// Role stamped by its grant.
    pub role: Option<String>,
    /// Labels stamped by its grant.
    pub labels: BTreeMap<String, String>,
    /// What it says of itself.
    pub attributes: BTreeMap<String, String>,
    /// The grant it came in by.
    pub grant: Option<String>,
    /// From where it asked to be let in, where that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered_from: Option<String>,
    /// The operator who let it in; `null` where its grant sufficed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Of a retired machine: until then its hardware may come back as it, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub readmit_until: Option<Timestamp>,
    /// The hold of somebody else who claims to be this machine.
    pub contested_by: Option<String>,
    /// When its record was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last enrolled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub enrolled_at: Option<Timestamp>,
}

/// A machine with its credentials and accounts.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MachineDetail {
    /// The machine.
    #[serde(flatten)]
    pub machine: Machine,
    /// Words derived from its key, for people to compare.
    pub words: Vec<String>,
    /// Its keys that are not superseded, those that count first, the newest first of each.
    #[serde(default)]
    pub keys: Vec<MachineKey>,
    /// How it stands with replacing its key; absent for a machine without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// What its silence leads to; absent for a machine that is heard of, or whose silence leads to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<Silence>,
    /// Its credentials, the newest first, at most 50.
    pub credentials: Vec<Credential>,
    /// Its accounts in other systems that are not removed, at most 64.
    #[serde(default)]
    pub accounts: Vec<crate::account::Account>,
}

/// A key of a machine, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MachineKey {
    /// Its fingerprint.
    pub key: String,
    /// `current`; `proposed`: certified, and not used yet; `previous`: good for a rotation and nothing else; `revoked`.
    pub standing: String,
    /// The generation of the machine that it belongs to.
    pub generation: u32,
}

/// How a machine stands with replacing its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rotation {
    /// When its present key came into use.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last: Option<Timestamp>,
    /// When the next one is due at the latest.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next: Option<Timestamp>,
    /// Whether that has passed.
    pub overdue: bool,
    /// When it was told last that the machine may have been copied. A next key does not end that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub forked_at: Option<Timestamp>,
    /// What showed it: `earlier_boot`, `counter`, `conflict`, `base_skipped`, `recovery`, `superseded_key`,
    /// `forgotten_key`, `many_boots` or `boot_missing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_by: Option<String>,
    /// When an operator asked for the next one, where it has not come yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ordered_at: Option<Timestamp>,
}

/// What the silence of a machine leads to. Times to come hold if nothing is heard of it, and if the fleet is watched all the
/// while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Silence {
    /// When it was last heard of.
    #[schema(value_type = String, format = DateTime)]
    pub last_heard: Timestamp,
    /// When it was paused for its silence, where it is. It goes on by itself when it is heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paused_at: Option<Timestamp>,
    /// When it is due to be paused for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub pauses_at: Option<Timestamp>,
    /// When it is due to be ended for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub retires_at: Option<Timestamp>,
    /// Of a machine that was ended for its silence: until then an operator can restore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub restorable_until: Option<Timestamp>,
}

/// A credential, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Credential {
    /// Its identifier.
    pub id: String,
    /// `certificate`, `bearer` or `refresh`.
    pub kind: String,
    /// `reserved`, `issued`, `expired` or `ended`.
    pub state: String,
    /// Why it ended, where it did: `renewed`, `superseded`, `revoked`, `retired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<String>,
    /// The generation of the machine it belongs to.
    pub generation: u32,
    /// Start of its life.
    #[schema(value_type = String, format = DateTime)]
    pub not_before: Timestamp,
    /// End of its life.
    #[schema(value_type = String, format = DateTime)]
    pub not_after: Timestamp,
}

/// A request to make a pending machine, ahead of the real one.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateMachine {
    /// What operators call it.
    pub name: String,
    /// The code of its site; the only site where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// `host`, `worker` or `software_agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The hardware it will have, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_id: Option<String>,
    /// A role to stamp on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Labels to stamp on it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How long its invite is good for, in seconds: one minute to 30 days; one day where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
}

/// [`CreateMachine`] as values of the model.
#[derive(Debug, Clone)]
pub struct CreateMachineFields {
    /// What operators call it.
    pub name: MachineName,
    /// The code of its site.
    pub site: Option<SiteCode>,
    /// What sort of thing it is.
    pub kind: MachineKind,
    /// The hardware it will have.
    pub hardware_id: Option<HardwareId>,
    /// A role to stamp on it.
    pub role: Option<Role>,
    /// Labels to stamp on it.
    pub labels: Labels,
    /// How long its invite is good for, in seconds.
    pub expires_in: u32,
}

impl TryFrom<CreateMachine> for CreateMachineFields {
    type Error = FieldErrors;

    fn try_from(request: CreateMachine) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let name = fields.parse("name", &request.name);
        let site = fields.parse_opt("site", request.site.as_deref());
        let kind = fields.parse_opt("kind", request.kind.as_deref()).unwrap_or(MachineKind::Host);
        let hardware_id = fields.parse_opt("hardware_id", request.hardware_id.as_deref());
        let role = fields.parse_opt("role", request.role.as_deref());
        let labels = fields.take_map("labels", Labels::new(&request.labels));
        let expires_in = crate::grant::lifetime(&mut fields, request.expires_in).unwrap_or(crate::grant::DAY);
        let value = name.zip(labels).map(|(name, labels)| Self {
            name,
            site,
            kind,
            hardware_id,
            role,
            labels,
            expires_in,
        });
        fields.finish(value)
    }
}

/// A pending machine and the invite that only it can use.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedMachine {
    /// The machine.
    pub machine: Machine,
    /// The invite, in the clear, this once.
    pub invite: String,
    /// When the invite ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// A reason for an act. The body may be left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reasoned {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What to revoke of a machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// One credential (a certificate takes its key with it); all of them where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only tell what would end.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was revoked, or would be.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Revoked {
    /// The machine, as it stands now.
    pub machine: Machine,
    /// The credentials that ended, or would end.
    pub credentials: Vec<String>,
    /// Whether nothing was done.
    pub dry_run: bool,
}

impl TryFrom<Reasoned> for Option<ReasonText> {
    type Error = FieldErrors;

    fn try_from(request: Reasoned) -> Result<Self, FieldErrors> {
        reason(request.reason.as_deref())
    }
}

/// Parses an optional reason under the path `reason`.
pub fn reason(text: Option<&str>) -> Result<Option<ReasonText>, FieldErrors> {
    let mut fields = Fields::new();
    let reason = fields.parse_opt("reason", text);
    fields.finish(Some(reason))
}
