//! Acts on machines by operators, and a machine's own leave.
//!
//! Acting on a machine that stands so already changes nothing, so that a repeated request gets the same answer.

use std::collections::BTreeMap;

use muster_model::{
    Account, Attributes, Credential, CredentialId, CredentialKind, EndReason, Grant, GrantState, HardwareId,
    Hold, HoldState, Hostname, KeyFingerprint, KeyRecord, KeyStanding, Labels, Lineage, Machine, MachineId,
    MachineKind, MachineName, MachineState, Object, Pending, PublicKey, ReasonText, Refusal, RetireCause,
    Role, Site, SoftwareAgent, SuspendCause, Suspended, Timestamp,
};

use crate::account::{self, ends_passphrases};
use crate::credential::end_all;
use crate::grant::{self, NewGrant};
use crate::identity;
use crate::plan::{AgentChange, Change, Context, GrantChange, HoldChange, KeyChange, MachineChange, Plan};

/// What was read for an act on a machine.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The machine.
    pub machine: Option<Machine>,
    /// Its keys that are not superseded.
    pub keys: Vec<KeyRecord>,
    /// Its credentials that are not ended.
    pub credentials: Vec<Credential>,
    /// Grants that were made for it while it was pending.
    pub grants: Vec<Grant>,
    /// The software agent that it is.
    pub agent: Option<SoftwareAgent>,
    /// Its accounts in other systems.
    pub accounts: Vec<Account>,
    /// What its keys asked for, as far as a person has still to decide.
    pub holds: Vec<Hold>,
}

/// A machine to be made ahead of the real one, with the invite that only it can use.
#[derive(Debug, Clone)]
pub struct NewMachine {
    /// Its identifier.
    pub id: MachineId,
    /// What operators call it.
    pub name: MachineName,
    /// What sort of thing it will be.
    pub kind: MachineKind,
    /// The hardware it will have.
    pub hardware_id: Option<HardwareId>,
    /// A role to stamp on it.
    pub role: Option<Role>,
    /// Labels to stamp on it.
    pub labels: Labels,
    /// The grant behind its invite.
    pub grant: NewGrant,
}

/// Makes a pending machine and its one-time grant.
///
/// # Errors
/// [`Refusal::NotFound`] where the site is unknown, [`Refusal::NameTaken`] where a live machine has the hardware.
pub fn create(
    new: NewMachine,
    site: Option<Site>,
    by_hardware: Option<&Machine>,
    context: &Context,
) -> Result<Plan<Machine>, Refusal> {
    let site = site.ok_or(Refusal::NotFound { what: "site" })?;
    if by_hardware.is_some_and(|machine| !matches!(machine.state, MachineState::Retired(_))) {
        return Err(Refusal::NameTaken { what: "machine with that hardware id" });
    }
    let machine = Machine {
        id: new.id,
        tenant: context.tenant,
        site: site.id,
        name: new.name,
        hostname: None,
        kind: new.kind,
        hardware_id: new.hardware_id,
        key: None,
        generation: 1,
        role: new.role,
        labels: new.labels,
        attributes: Default::default(),
        grant: None,
        state: MachineState::Pending(Pending { since: context.now }),
        created_at: context.now,
        enrolled_at: None,
        key_since: None,
        alarm: None,
        lineage: Default::default(),
    };
    let grant = grant::made(new.grant, &site, context);
    let mut entry = context.entry("machine.create", Object::Machine(machine.id), "pending");
    entry.detail = vec![("name", machine.name.to_string()), ("grant", grant.id.to_string())];
    let changes = vec![MachineChange::Create(machine.clone()).into(), GrantChange::Create(grant).into()];
    Ok(Plan::new(machine, changes, entry))
}

/// Makes another invite for a machine that is still to come, or that comes back and has no key of its own. Every earlier
/// one ends: two would let in two.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::WrongState`] for a machine that has a key or was retired.
pub fn invite(
    facts: Facts,
    site: Option<Site>,
    new: NewGrant,
    context: &Context,
) -> Result<Plan<(Machine, Grant)>, Refusal> {
    let Facts { machine, grants, agent, .. } = facts;
    let machine = found(machine)?;
    let cannot = |state| Err(Refusal::WrongState { verb: "invite", state });
    // A software agent comes back by its nick.
    if agent.is_some() {
        return cannot("software_agent");
    }
    match &machine.state {
        MachineState::Retired(_) => return cannot("retired"),
        MachineState::Active(_) | MachineState::Suspended(_) if machine.key.is_some() => {
            return cannot("keyed");
        }
        MachineState::Pending(_) | MachineState::Active(_) | MachineState::Suspended(_) => {}
    }
    let site = site.ok_or(Refusal::NotFound { what: "site" })?;
    let grant = grant::made(new, &site, context);
    let mut changes = end_grants(&grants, context.now);
    changes.push(GrantChange::Create(grant.clone()).into());
    let mut entry = context.entry("machine.invite", Object::Machine(machine.id), machine.state.as_str());
    entry.detail = vec![("name", machine.name.to_string()), ("grant", grant.id.to_string())];
    Ok(Plan::new((machine, grant), changes, entry))
}

fn end_grants(grants: &[Grant], at: Timestamp) -> Vec<Change> {
    let live = grants.iter().filter(|grant| grant.state == GrantState::Live);
    live.map(|grant| GrantChange::End { grant: grant.id, state: GrantState::Revoked(at) }.into()).collect()
}

/// Replaces the labels of a machine.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::WrongState`] for one that was retired.
pub fn relabel(facts: Facts, labels: Labels, context: &Context) -> Result<Plan<Machine>, Refusal> {
    let machine = found(facts.machine)?;
    if matches!(machine.state, MachineState::Retired(_)) {
        return Err(Refusal::WrongState { verb: "relabel", state: "retired" });
    }
    if machine.labels == labels {
        return Ok(Plan::unchanged(machine));
    }
    let mut entry = context.entry("machine.relabel", Object::Machine(machine.id), machine.state.as_str());
    entry.detail = labels.iter().map(|(key, value)| ("label", format!("{key}={value}"))).collect();
    let machine = Machine { labels, ..machine };
    Ok(Plan::new(machine.clone(), vec![MachineChange::Update(machine).into()], entry))
}

/// Whether a machine that showed who it is still counts: it may have ended, or changed its key, a moment later.
///
/// # Errors
/// [`Refusal::UnknownMachine`], [`Refusal::Revoked`], [`Refusal::Superseded`], [`Refusal::Reaped`].
pub fn still_counts(machine: Option<&Machine>, key: Option<KeyFingerprint>) -> Result<&Machine, Refusal> {
    let machine = machine.ok_or(Refusal::UnknownMachine)?;
    match &machine.state {
        MachineState::Suspended(Suspended { cause: SuspendCause::Revoked(_), .. })
        | MachineState::Pending(_)
        | MachineState::Retired(_) => Err(over(&machine.state)),
        // Its secret went with its first key.
        MachineState::Active(_) | MachineState::Suspended(_) if machine.key != key && key.is_none() => {
            Err(Refusal::Revoked)
        }
        MachineState::Active(_) | MachineState::Suspended(_) if machine.key != key => {
            Err(Refusal::Superseded)
        }
        MachineState::Active(_) | MachineState::Suspended(_) => Ok(machine),
    }
}

/// While a person is to look which of two is the machine, none of them moves its keys.
pub(crate) fn at_liberty(machine: &Machine) -> Result<(), Refusal> {
    if machine.keys_rest() { Err(Refusal::MachineSuspended) } else { Ok(()) }
}

/// What is said to a machine that ended a moment ago. Who is told that it was revoked ends itself: not where the end can be
/// undone.
pub(crate) fn over(state: &MachineState) -> Refusal {
    if state.undone_until().is_some() { Refusal::Reaped } else { Refusal::Revoked }
}

/// The same, for one that may have ended long ago.
pub fn over_by(state: &MachineState, now: Timestamp) -> Refusal {
    match state.undone_until() {
        Some(until) if now <= until => Refusal::Reaped,
        _ => Refusal::Revoked,
    }
}

/// Pauses a machine. It stays known and keeps its channel, so that it can be told to go on.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::WrongState`] unless it is active.
pub fn suspend(
    facts: Facts,
    reason: Option<ReasonText>,
    context: &Context,
) -> Result<Plan<Machine>, Refusal> {
    let Facts { machine, accounts, .. } = facts;
    let machine = found(machine)?;
    if matches!(&machine.state, MachineState::Suspended(Suspended { cause: SuspendCause::Operator(_), .. })) {
        return Ok(Plan::unchanged(machine));
    }
    let state = machine.state.clone().suspended(context.now, reason.clone())?;
    Ok(moved(Machine { state, ..machine }, "machine.suspend", reason, Ends::none(&accounts), context))
}

/// Ends a pause, or confirms a machine on probation.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::WrongState`] unless it is suspended with a key that still counts.
pub fn resume(facts: Facts, reason: Option<ReasonText>, context: &Context) -> Result<Plan<Machine>, Refusal> {
    let Facts { machine, accounts, .. } = facts;
    let machine = found(machine)?;
    match &machine.state {
        MachineState::Active(_) => Ok(Plan::unchanged(machine)),
        // Its key is dead: only a new key, approved by a person, brings it back.
        MachineState::Suspended(Suspended { cause: SuspendCause::Revoked(_), .. }) => {
            Err(Refusal::WrongState { verb: "resume", state: "revoked" })
        }
        MachineState::Suspended(_) | MachineState::Pending(_) | MachineState::Retired(_) => {
            let on_probation = matches!(
                &machine.state,
                MachineState::Suspended(Suspended { cause: SuspendCause::Probation, .. })
            );
            let state = machine.state.clone().resumed(context.now)?;
            // Whoever confirms it has let it in.
            let vouched = identity::lineage(machine.lineage.source, context);
            let vouched = Lineage { grant: machine.lineage.grant, ..vouched };
            let lineage = if on_probation { vouched } else { machine.lineage };
            Ok(moved(
                Machine { state, lineage, ..machine },
                "machine.resume",
                reason,
                Ends::none(&accounts),
                context,
            ))
        }
    }
}

/// Ends a machine: its credentials, its key, and the invite it was made with. The record stays, as a tombstone.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn retire(facts: Facts, cause: RetireCause, context: &Context) -> Result<Plan<Machine>, Refusal> {
    let Facts { machine, keys, credentials, grants, agent, accounts, holds } = facts;
    let machine = found(machine)?;
    // What ended for its silence is sealed by its state alone: it ends for good where somebody says so.
    if matches!(machine.state, MachineState::Retired(_)) && machine.state.undone_until().is_none() {
        return Ok(Plan::unchanged(machine));
    }
    let (action, reason) = match &cause {
        RetireCause::Operator(reason) => ("machine.retire", reason.clone()),
        RetireCause::Left => ("machine.leave", None),
        // What it held is sealed by its state alone: this can be undone.
        RetireCause::Silent => return Err(Refusal::WrongState { verb: "retire", state: "silent" }),
    };
    let state = machine.state.clone().retired(context.now, cause)?;
    let mut ends = end_all(&credentials, EndReason::Retired, context.now);
    ends.extend(revoke_keys(&keys));
    ends.extend(end_grants(&grants, context.now));
    ends.extend(refuse_holds(&holds, &keys, context));
    // Who was revoked does not come back by ending and registering again.
    let was_revoked =
        matches!(&machine.state, MachineState::Suspended(Suspended { cause: SuspendCause::Revoked(_), .. }));
    let freed = agent.filter(|agent| !was_revoked && agent.freed_at.is_none());
    ends.extend(
        freed.map(|agent| AgentChange::Update(SoftwareAgent { freed_at: Some(context.now), ..agent }).into()),
    );
    let ends = Ends { changes: ends, accounts: &accounts };
    Ok(moved(Machine { state, ..machine }, action, reason, ends, context))
}

/// Writes what a machine says of itself, where that is something new. What it does not mention stays as it was.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::WrongState`] for a machine that is pending or retired.
pub fn describe(
    facts: Facts,
    hostname: Option<Hostname>,
    attributes: &Attributes,
    context: &Context,
) -> Result<Plan<Machine>, Refusal> {
    let machine = found(facts.machine)?;
    if let MachineState::Pending(_) | MachineState::Retired(_) = machine.state {
        return Err(Refusal::WrongState { verb: "describe", state: machine.state.as_str() });
    }
    let together: BTreeMap<&str, &str> = machine.attributes.iter().chain(attributes.iter()).collect();
    // Where both together are too many, what it says now counts.
    let attributes = Attributes::new(together).unwrap_or_else(|_too_many| attributes.clone());
    let hostname = hostname.or_else(|| machine.hostname.clone());
    if attributes == machine.attributes && hostname == machine.hostname {
        return Ok(Plan::unchanged(machine));
    }
    let machine = Machine { attributes, hostname, ..machine };
    let mut entry = context.entry("machine.describe", Object::Machine(machine.id), "changed");
    entry.detail = vec![("name", machine.name.to_string())];
    entry.detail.extend(machine.hostname.as_ref().map(|name| ("hostname", name.to_string())));
    Ok(Plan::new(machine.clone(), vec![MachineChange::Update(machine).into()], entry))
}

/// What a revocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The machine as it stands from now on.
    pub machine: Machine,
    /// The credentials that ended.
    pub credentials: Vec<CredentialId>,
}

/// Ends one credential, or all of a machine.
///
/// A certificate takes its key with it, however that stands: whoever holds the key could ask for the next one. A machine
/// whose present key was revoked is paused until a person lets it in again under another key, and all its keys end.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::WrongState`] for a machine that is pending or retired.
pub fn revoke(
    facts: Facts,
    only: Option<CredentialId>,
    reason: Option<ReasonText>,
    context: &Context,
) -> Result<Plan<Revoked>, Refusal> {
    let Facts { machine, keys, credentials, grants, accounts, holds, .. } = facts;
    let machine = found(machine)?;
    let ending = selected(&machine, &credentials, only)?;
    let is_certified = |key: KeyFingerprint| ending.iter().any(|credential| credential.certifies(key));
    let key_ends = machine.key.is_some_and(|key| only.is_none() || is_certified(key));
    let ids: Vec<CredentialId> = ending.iter().map(|credential| credential.id).collect();
    let already =
        matches!(&machine.state, MachineState::Suspended(Suspended { cause: SuspendCause::Revoked(_), .. }));
    if ids.is_empty() && already {
        return Ok(Plan::unchanged(Revoked { machine, credentials: ids }));
    }
    let paused = only.is_none() || key_ends;
    let state = match paused && !already {
        true => machine.state.clone().revoked(context.now, reason.clone())?,
        false => machine.state.clone(),
    };
    let mut changes = end_all(&ending, EndReason::Revoked, context.now);
    // A key on its way or out of it goes with its certificates, and leaves the present one at work.
    let keys: Vec<KeyRecord> = keys
        .into_iter()
        .filter(|record| key_ends || only.is_some() && is_certified(record.key.fingerprint()))
        .collect();
    changes.extend(revoke_keys(&keys));
    changes.extend(refuse_holds(&holds, &keys, context));
    if paused {
        // An invite from before would bring it back without anybody's word.
        changes.extend(end_grants(&grants, context.now));
    }
    // What does not pause the machine leaves its accounts as they are; so does what was paused by a revocation before.
    let accounts: &[Account] = if paused && !already { &accounts } else { &[] };
    let ends = Ends { changes, accounts };
    let plan = moved(Machine { state, ..machine }, "machine.revoke", reason, ends, context);
    Ok(plan.map(|machine| Revoked { machine, credentials: ids }))
}

/// The credentials that end: all, or the one and those that share its key.
fn selected(
    machine: &Machine,
    open: &[Credential],
    only: Option<CredentialId>,
) -> Result<Vec<Credential>, Refusal> {
    let Some(id) = only else { return Ok(open.to_vec()) };
    let one = open.iter().find(|credential| credential.id == id && credential.machine == machine.id);
    let one = one.ok_or(Refusal::NotFound { what: "credential" })?;
    let shares_key = |other: &&Credential| match one.kind {
        CredentialKind::Certificate { key } => other.certifies(key),
        CredentialKind::Bearer { .. } => other.id == one.id,
        // A token that stays would get the next one.
        CredentialKind::Refresh { .. } => matches!(other.kind, CredentialKind::Refresh { .. }),
    };
    Ok(open.iter().filter(shares_key).cloned().collect())
}

/// What these keys asked for and nobody decided: the answer is known.
fn refuse_holds(holds: &[Hold], keys: &[KeyRecord], context: &Context) -> Vec<Change> {
    let is_its = |hold: &&Hold| {
        let key = hold.claimant.key.as_ref().map(PublicKey::fingerprint);
        hold.is_open(context.now) && keys.iter().any(|known| Some(known.key.fingerprint()) == key)
    };
    let reason: Option<ReasonText> = "its key was revoked".parse().ok();
    let state = HoldState::Rejected { at: context.now, by: context.actor, reason };
    let refused = |hold: &Hold| HoldChange::Decide { hold: hold.id, state: state.clone() }.into();
    holds.iter().filter(is_its).map(refused).collect()
}

fn revoke_keys(keys: &[KeyRecord]) -> impl Iterator<Item = Change> {
    let counting = keys.iter().filter(|key| key.standing.counts());
    counting
        .map(|key| KeyChange::Standing { key: key.key.fingerprint(), standing: KeyStanding::Revoked }.into())
}

pub(crate) fn found(machine: Option<Machine>) -> Result<Machine, Refusal> {
    machine.ok_or(Refusal::NotFound { what: "machine" })
}

/// What ends when a machine moves to another state, and the accounts that follow it.
pub(crate) struct Ends<'a> {
    pub(crate) changes: Vec<Change>,
    pub(crate) accounts: &'a [Account],
}

impl<'a> Ends<'a> {
    pub(crate) fn none(accounts: &'a [Account]) -> Self {
        Self { changes: Vec::new(), accounts }
    }
}

/// The plan of a machine that moves to another state, with whatever ends by it.
pub(crate) fn moved(
    machine: Machine,
    action: &'static str,
    said: Option<ReasonText>,
    ends: Ends<'_>,
    context: &Context,
) -> Plan<Machine> {
    let Ends { mut changes, accounts } = ends;
    let mut entry = context.entry(action, Object::Machine(machine.id), machine.state.as_str());
    let ended = changes.iter().filter(|change| matches!(change, Change::Credential(_))).count();
    entry.detail = vec![("name", machine.name.to_string()), ("credentials_ended", ended.to_string())];
    let ended = |of: fn(&Change) -> bool| changes.iter().filter(|change| of(change)).count();
    let invites = ended(|change| matches!(change, Change::Grant(_)));
    let holds = ended(|change| matches!(change, Change::Hold(_)));
    entry.detail.extend((invites > 0).then(|| ("invites_ended", invites.to_string())));
    entry.detail.extend((holds > 0).then(|| ("holds_refused", holds.to_string())));
    entry.detail.extend(said.map(|said| ("said", said.to_string())));
    let follow = account::follow(accounts, &machine.state, ends_passphrases(&machine.state), context.now);
    entry.detail.extend((!follow.is_empty()).then(|| ("accounts_changed", follow.len().to_string())));
    changes.extend(follow);
    changes.push(MachineChange::Update(machine.clone()).into());
    Plan::new(machine, changes, entry)
}

/// Several programs show the key of one machine, in turn. Nothing of the machine changes: which of them it is, nobody can tell.
pub fn contended(machine: MachineId, times: u32, context: &Context) -> Plan<()> {
    let mut entry = context.entry("machine.contended", Object::Machine(machine), "alarm");
    entry.detail = vec![("times", times.to_string())];
    Plan::new((), Vec::new(), entry)
}

#[cfg(test)]
mod tests;
