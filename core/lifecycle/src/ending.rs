//! Ending many machines at once, by what they have in common: which ones, and what ends with each.
//!
//! The same function tells beforehand and does it: a dry run is a plan that nobody applies, counted by its changes.

use muster_model::{
    Actor, Cidr, CredentialId, CredentialKind, Grant, GrantId, GrantState, Hold, Labels, Machine, MachineId,
    MachineState, OperatorId, ReasonText, Refusal, RetireCause, SiteId, Timestamp, Wanted,
};

use crate::machine::{self, Facts};
use crate::plan::{AccountChange, Change, Context, CredentialChange, GrantChange, HoldChange, Plan};
use crate::{grant, hold};

/// How to end machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Pause them: they keep what they have and may do nothing.
    Suspend,
    /// End everything that they hold; only a person lets them in again, under other keys.
    Revoke,
    /// End them.
    Retire,
}

/// What machines have in common: all of what is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// These.
    pub machines: Vec<MachineId>,
    /// Of this site.
    pub site: Option<SiteId>,
    /// Who came in by this grant.
    pub grant: Option<GrantId>,
    /// Whom this operator let in.
    pub approved_by: Option<OperatorId>,
    /// Let in at this time or later.
    pub since: Option<Timestamp>,
    /// Let in before this time.
    pub until: Option<Timestamp>,
    /// Who asked from there to be let in.
    pub network: Option<Cidr>,
    /// With all of these labels.
    pub labels: Labels,
}

/// Whether a machine is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meant {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// All else fits, and nobody noted where it came from.
    Unknown,
}

/// What ends, or would end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Machines that change their state.
    pub machines: u64,
    /// Certificates.
    pub certificates: u64,
    /// Bearer keys.
    pub bearer_keys: u64,
    /// Refresh tokens, and the sessions beside them.
    pub sessions: u64,
    /// Accounts in other systems that are locked.
    pub accounts: u64,
    /// Grants: the one that is named, and invites of single machines.
    pub grants: u64,
    /// Enrollments that wait for a person, and are refused.
    pub holds: u64,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 3] = [Self::Suspend, Self::Revoke, Self::Retire];

    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Revoke => "revoke",
            Self::Retire => "retire",
        }
    }

    /// Whether it does anything to a machine in this state. What stands so already is left alone, so that a run that was
    /// broken off goes on where it was. Who was paused or ended for its silence alone has all that it held, and can come back.
    pub fn applies(self, state: &MachineState) -> bool {
        match (self, state) {
            (Self::Suspend | Self::Revoke, MachineState::Pending(_))
            | (Self::Suspend, MachineState::Retired(_)) => false,
            (Self::Suspend, MachineState::Suspended(_)) => state.is_silenced(),
            (Self::Revoke | Self::Retire, MachineState::Retired(_)) => state.undone_until().is_some(),
            (Self::Revoke, MachineState::Suspended(suspended)) => {
                !matches!(suspended.cause, muster_model::SuspendCause::Revoked(_))
            }
            (_, MachineState::Active(_)) | (Self::Retire, _) => true,
        }
    }

    /// Whether it ends the grant that is named, and what waits for a person by it. A pause does not.
    pub fn ends_lineage(self) -> bool {
        matches!(self, Self::Revoke | Self::Retire)
    }
}

impl std::str::FromStr for Verb {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|verb| verb.as_str() == text)
            .ok_or("is not one of suspend, revoke, retire")
    }
}

impl Selector {
    /// Whether it names nothing: that means nobody, and never everybody.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a machine is meant.
    pub fn takes(&self, machine: &Machine) -> Meant {
        let entered = machine.lineage.at.or(machine.enrolled_at);
        let approved = |by: &OperatorId| machine.lineage.approved_by == Some(Actor::Operator(*by));
        let has = |(key, value): (&str, &str)| machine.labels.iter().any(|label| label == (key, value));
        let fits = (self.machines.is_empty() || self.machines.contains(&machine.id))
            && self.site.is_none_or(|site| site == machine.site)
            && self.grant.is_none_or(|grant| [machine.grant, machine.lineage.grant].contains(&Some(grant)))
            && self.approved_by.as_ref().is_none_or(approved)
            && self.since.is_none_or(|since| entered.is_some_and(|at| since <= at))
            && self.until.is_none_or(|until| entered.is_some_and(|at| at < until))
            && self.labels.iter().all(has);
        match (fits, self.network, machine.lineage.source) {
            (false, ..) => Meant::No,
            (true, None, _) => Meant::Yes,
            (true, Some(_), None) => Meant::Unknown,
            (true, Some(network), Some(source)) if network.contains(source) => Meant::Yes,
            (true, Some(_), Some(_)) => Meant::No,
        }
    }

    /// Whether an enrollment that waits for a person is of this lineage: by its grant or from its network, and nothing else
    /// that is named speaks against it. Whoever waits was approved by nobody, and has no labels.
    pub fn takes_hold(&self, hold: &Hold, now: Timestamp) -> bool {
        let is_lineage = self.grant.is_some() || self.network.is_some();
        let comes_from = |network: Cidr| hold.claimant.source.is_some_and(|source| network.contains(source));
        is_lineage
            && hold.is_open(now)
            && self.machines.is_empty()
            && self.approved_by.is_none()
            && self.labels.iter().next().is_none()
            && self.site.is_none_or(|site| site == hold.site)
            && self.grant.is_none_or(|grant| hold.grant == Some(grant))
            && self.network.is_none_or(comes_from)
            && self.since.is_none_or(|since| since <= hold.created_at)
            && self.until.is_none_or(|until| hold.created_at < until)
    }

    /// What machines were chosen by, as the log tells it; nothing where they were named one by one.
    pub fn lineage(&self) -> Option<String> {
        let named = [
            ("site", self.site.map(|site| site.to_string())),
            ("grant", self.grant.map(|grant| grant.to_string())),
            ("approved_by", self.approved_by.map(|by| by.to_string())),
            ("since", self.since.map(|at| at.to_string())),
            ("until", self.until.map(|at| at.to_string())),
            ("network", self.network.map(|network| network.to_string())),
        ];
        let named =
            named.into_iter().filter_map(|(name, value)| value.map(|value| format!("{name} {value}")));
        let labels = self.labels.iter().map(|(key, value)| format!("label {key}={value}"));
        let said = named.chain(labels).collect::<Vec<_>>().join(", ");
        (!said.is_empty()).then_some(said)
    }
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            machines: self.machines + other.machines,
            certificates: self.certificates + other.certificates,
            bearer_keys: self.bearer_keys + other.bearer_keys,
            sessions: self.sessions + other.sessions,
            accounts: self.accounts + other.accounts,
            grants: self.grants + other.grants,
            holds: self.holds + other.holds,
        }
    }

    fn of(changes: &[Change], kinds: &[(CredentialId, Kind)], moved: bool) -> Self {
        let mut counts = Self { machines: u64::from(moved), ..Self::default() };
        for change in changes {
            match change {
                Change::Credential(CredentialChange::State { credential, .. }) => {
                    match kinds.iter().find(|(id, _)| id == credential).map(|(_, kind)| *kind) {
                        Some(Kind::Certificate) => counts.certificates += 1,
                        Some(Kind::Bearer) => counts.bearer_keys += 1,
                        Some(Kind::Refresh) => counts.sessions += 1,
                        None => {}
                    }
                }
                Change::Account(AccountChange::Update(account)) if account.wanted == Wanted::Locked => {
                    counts.accounts += 1;
                }
                Change::Grant(GrantChange::End { .. }) => counts.grants += 1,
                Change::Hold(HoldChange::Decide { .. }) => counts.holds += 1,
                _ => {}
            }
        }
        counts
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Certificate,
    Bearer,
    Refresh,
}

impl Kind {
    fn of(kind: &CredentialKind) -> Self {
        match kind {
            CredentialKind::Certificate { .. } => Self::Certificate,
            CredentialKind::Bearer { .. } => Self::Bearer,
            CredentialKind::Refresh { .. } => Self::Refresh,
        }
    }
}

/// Ends one of the machines that were chosen. One that is not meant any more, or stands so already, is left alone.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn end(
    verb: Verb,
    selector: &Selector,
    facts: Facts,
    reason: Option<ReasonText>,
    context: &Context,
) -> Result<Plan<Counts>, Refusal> {
    let machine = facts.machine.as_ref().ok_or(Refusal::NotFound { what: "machine" })?;
    if selector.takes(machine) != Meant::Yes || !verb.applies(&machine.state) {
        return Ok(Plan::unchanged(Counts::default()));
    }
    let kinds: Vec<_> = facts.credentials.iter().map(|one| (one.id, Kind::of(&one.kind))).collect();
    // What ended already is not paused by a revocation: it ends for good.
    let is_over = matches!(machine.state, MachineState::Retired(_));
    let plan = match verb {
        Verb::Suspend => machine::suspend(facts, reason, context)?.map(drop),
        Verb::Revoke if !is_over => machine::revoke(facts, None, reason, context)?.map(drop),
        Verb::Revoke | Verb::Retire => {
            machine::retire(facts, RetireCause::Operator(reason), context)?.map(drop)
        }
    };
    let counts = Counts::of(plan.changes(), &kinds, !plan.is_unchanged());
    Ok(with_lineage(plan, selector).map(|()| counts))
}

/// Ends the grant of a lineage: nobody comes in by it any more.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn end_grant(
    selector: &Selector,
    grant: Option<Grant>,
    reason: Option<ReasonText>,
    context: &Context,
) -> Result<Plan<Counts>, Refusal> {
    if grant.as_ref().is_some_and(|grant| matches!(grant.state, GrantState::Revoked(_))) {
        return Ok(Plan::unchanged(Counts::default()));
    }
    let plan = grant::revoke(grant, reason, context)?.map(drop);
    let counts = Counts::of(plan.changes(), &[], false);
    Ok(with_lineage(plan, selector).map(|()| counts))
}

/// Turns away one who waits for a person and is of the lineage; one who does not wait any more is left alone.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn refuse_hold(
    selector: &Selector,
    hold: Option<Hold>,
    reason: Option<ReasonText>,
    context: &Context,
) -> Result<Plan<Counts>, Refusal> {
    if hold.as_ref().is_some_and(|hold| !selector.takes_hold(hold, context.now)) {
        return Ok(Plan::unchanged(Counts::default()));
    }
    let plan = hold::reject(hold, reason, context)?.map(drop);
    let counts = Counts::of(plan.changes(), &[], false);
    Ok(with_lineage(plan, selector).map(|()| counts))
}

fn with_lineage(plan: Plan<()>, selector: &Selector) -> Plan<()> {
    match selector.lineage() {
        Some(lineage) => plan.saying("lineage", lineage),
        None => plan,
    }
}

#[cfg(test)]
mod tests;
