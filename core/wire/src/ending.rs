//! Ending many machines at once, and letting the hardware of an ended one come back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_model::{Cidr, GrantId, Labels, MachineId, ReasonText, SiteCode};
use serde::{Deserialize, Serialize};

use crate::{FieldErrors, Fields};

/// Machines that may be named one by one in one request.
const MAX_NAMED: usize = 500;
/// Machines that one request ends at most.
const LIMITS: std::ops::RangeInclusive<u32> = 1..=500;
const LIMIT: u32 = 200;
/// A day, in seconds, and the bounds of a permit to come back.
const DAY: u32 = 86_400;
const PERMITS: std::ops::RangeInclusive<u32> = 60..=30 * DAY;

/// Which machines to end, and how. All of what is named must fit; naming nothing means nobody.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndMachines {
    /// `suspend`, `revoke` or `retire`.
    pub verb: String,
    /// These machines, at most 500.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<String>,
    /// Of the site of this code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Who came in by this grant. To revoke or to retire ends the grant too, and turns away who waits by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// Whom this operator let in: its identifier or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Let in at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Let in before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// Who asked to be let in from this network: `10.0.0.0/8`. Who waits from there is turned away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// With all of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Why, for the audit log and for the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only tell what would end.
    #[serde(default)]
    pub dry_run: bool,
    /// End nothing unless so many machines are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<u64>,
    /// Go on after this machine: the `next` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many machines in this request, 1 to 500; 200 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// [`EndMachines`] as values of the model, but for what is to be looked up.
#[derive(Debug, Clone)]
pub struct EndMachinesFields {
    /// These machines.
    pub machines: Vec<MachineId>,
    /// The code of a site.
    pub site: Option<SiteCode>,
    /// A grant.
    pub grant: Option<GrantId>,
    /// The identifier or name of an operator.
    pub approved_by: Option<String>,
    /// Let in at this time or later.
    pub since: Option<Timestamp>,
    /// Let in before this time.
    pub until: Option<Timestamp>,
    /// A network.
    pub network: Option<Cidr>,
    /// Labels.
    pub labels: Labels,
    /// Why.
    pub reason: Option<ReasonText>,
    /// Only tell.
    pub dry_run: bool,
    /// So many machines.
    pub expect: Option<u64>,
    /// Go on after this one.
    pub after: Option<MachineId>,
    /// At most so many.
    pub limit: u32,
}

impl TryFrom<EndMachines> for EndMachinesFields {
    type Error = FieldErrors;

    fn try_from(request: EndMachines) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let named = request.machines.iter().enumerate();
        let machines = named.filter_map(|(at, id)| fields.parse(&format!("machines.{at}"), id)).collect();
        if request.machines.len() > MAX_NAMED {
            fields.wrong("machines", format!("are more than {MAX_NAMED}: name what they have in common"));
        }
        let limit = request.limit.unwrap_or(LIMIT);
        if !LIMITS.contains(&limit) {
            fields.wrong("limit", "is not between 1 and 500");
        }
        let fields_of = Self {
            machines,
            site: fields.parse_opt("site", request.site.as_deref()),
            grant: fields.parse_opt("grant", request.grant.as_deref()),
            approved_by: request.approved_by,
            since: request.since,
            until: request.until,
            network: fields.parse_opt("network", request.network.as_deref()),
            labels: fields.take_map("labels", Labels::new(&request.labels)).unwrap_or_default(),
            reason: fields.parse_opt("reason", request.reason.as_deref()),
            dry_run: request.dry_run,
            expect: request.expect,
            after: fields.parse_opt("after", request.after.as_deref()),
            limit,
        };
        fields.finish(Some(fields_of))
    }
}

/// What ended, or would end, in this part of the machines that are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndedMachines {
    /// `suspend`, `revoke` or `retire`.
    pub verb: String,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// The machines, in the order of their identifiers.
    pub machines: Vec<EndedMachine>,
    /// How much ended, by kind.
    pub counts: EndedCounts,
    /// Machines that fit but for their network: nobody noted where they came from. They were left alone.
    pub unknown_network: u64,
    /// Ask again with this as `after`: there is more. `null` at the end.
    pub next: Option<String>,
}

/// A machine that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndedMachine {
    /// Its identifier.
    pub id: String,
    /// What operators call it.
    pub name: String,
}

/// How much ended, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndedCounts {
    /// Machines that changed their state.
    pub machines: u64,
    /// Certificates.
    pub certificates: u64,
    /// Bearer keys.
    pub bearer_keys: u64,
    /// Refresh tokens, with the sessions beside them.
    pub sessions: u64,
    /// Accounts in other systems.
    pub accounts: u64,
    /// Grants: the one that was named, and invites of single machines.
    pub grants: u64,
    /// Enrollments that waited for a person.
    pub holds: u64,
    /// Channels that were open. A machine that is paused keeps its channel, to be told when it may go on.
    pub channels: u64,
}

impl EndedCounts {
    /// Adds what another part says.
    pub fn add(&mut self, other: &Self) {
        self.machines += other.machines;
        self.certificates += other.certificates;
        self.bearer_keys += other.bearer_keys;
        self.sessions += other.sessions;
        self.accounts += other.accounts;
        self.grants += other.grants;
        self.holds += other.holds;
        self.channels += other.channels;
    }
}

/// Permits that the hardware of a retired machine comes back as it, once. The body may be left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Readmit {
    /// For how long, in seconds: one minute to 30 days; one day where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl TryFrom<Readmit> for (u32, Option<ReasonText>) {
    type Error = FieldErrors;

    fn try_from(request: Readmit) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let reason = fields.parse_opt("reason", request.reason.as_deref());
        let expires_in = request.expires_in.unwrap_or(DAY);
        if !PERMITS.contains(&expires_in) {
            fields.wrong("expires_in", "is not between one minute and 30 days");
        }
        fields.finish(Some((expires_in, reason)))
    }
}
