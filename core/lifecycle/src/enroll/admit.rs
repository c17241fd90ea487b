//! The branches of the decision that let somebody in.

use muster_model::{Claimant, Grant, GrantKind, HoldReason, Machine, Object, Refusal, Uses};

use super::{Asked, Known, Outcome, Standing};
use crate::credential;
use crate::identity::{self, Newcomer};
use crate::machine::at_liberty;
use crate::plan::{Change, CredentialChange, GrantChange, Plan};

/// Rows 1, 6 and 10: nobody here has this key or this hardware.
pub(super) fn arrive(asked: &Asked<'_>) -> Result<Plan<Outcome>, Refusal> {
    if let Some(answer) = asked.told_before() {
        return answer;
    }
    if asked.is_full() && asked.way.pending.is_none() {
        return asked.hold(HoldReason::Quota, None);
    }
    if asked.way.needs_approval() {
        return asked.hold(HoldReason::Approval, None);
    }
    let newcomer = Newcomer {
        context: &asked.fresh.context,
        machine: asked.fresh.machine,
        claimant: &asked.request.claimant,
        site: &asked.way.site,
        grant: asked.way.grant.as_ref(),
        hardware_id: asked.request.claimant.hardware_id.clone(),
        accounts: &asked.fresh.accounts,
    };
    let (machine, mut changes) = newcomer.into_machine(asked.way.pending.clone())?;
    changes.extend(spend(asked));
    Ok(enrolled(asked, machine, changes, "machine.enroll", "admitted"))
}

/// Row 2: the same machine again. Nothing is spent; its credential is the one it has while that is young. The key before the
/// present one gets its own, which changes nothing of what it may do.
pub(super) fn again(asked: &Asked<'_>, known: Known) -> Result<Plan<Outcome>, Refusal> {
    let Known { machine, mut credentials, key, .. } = known;
    let (now, terms) = (asked.now(), &asked.fresh.terms);
    let key = key.map(|record| record.key.fingerprint());
    // What another key of the machine has is for that one.
    credentials.retain(|credential| key.is_none_or(|key| credential.certifies(key)));
    let young = match key {
        Some(key) if machine.key != Some(key) => credential::young_for(&credentials, key, now, terms),
        _ => credential::young(&credentials, &machine, now, terms),
    };
    if let Some(credential) = young {
        let outcome =
            Outcome::Enrolled { machine: Box::new(machine), credential: Box::new(credential), again: true };
        return Ok(Plan::unchanged(outcome));
    }
    let older = credential::end_older(&credentials, now);
    let plan = enrolled(asked, machine, older, "credential.reserve", "same_machine");
    Ok(plan.map(|outcome| match outcome {
        Outcome::Enrolled { machine, credential, .. } => {
            Outcome::Enrolled { machine, credential, again: true }
        }
        held @ Outcome::Held(_) => held,
    }))
}

/// Row 4a: the machine's present key vouches for the new one. The grant that it shows opens the door, one for once is spent by
/// it, and the one that the machine came in by stays noted: nothing of how it was let in is washed off.
pub(super) fn rekey(asked: &Asked<'_>, known: Known) -> Result<Plan<Outcome>, Refusal> {
    at_liberty(&known.machine)?;
    let now = asked.now();
    let state = known.machine.state.clone().enrolled(now)?;
    let mut lineage = known.machine.lineage;
    lineage.grant = lineage.grant.or(known.machine.grant).filter(|came_by| Some(*came_by) != asked.grant());
    let known = Known { machine: Machine { lineage, ..known.machine }, ..known };
    let (machine, mut changes) =
        identity::take_over(known, state, &asked.request.claimant, asked.grant(), now);
    let is_for_once = |grant: &Grant| matches!(grant.uses, Uses::Once(_));
    changes.extend(asked.way.grant.as_ref().filter(|grant| is_for_once(grant)).and_then(|_| spend(asked)));
    Ok(enrolled(asked, machine, changes, "machine.rekey", "signed_by_previous_key"))
}

/// Row 4c: a machine without a key shows what it was issued, and has a key of its own from now on. Hardware that another
/// machine has stays with that one.
pub(super) fn upgrade(
    asked: &Asked<'_>,
    known: Known,
    hardware: Option<&Known>,
) -> Result<Plan<Outcome>, Refusal> {
    at_liberty(&known.machine)?;
    let now = asked.now();
    let state = known.machine.state.clone().enrolled(now)?;
    let claimant = &asked.request.claimant;
    let hardware_id = claimant.hardware_id.clone().filter(|_| hardware.is_none());
    let claimant = Claimant { hardware_id, ..claimant.clone() };
    let (machine, changes) = identity::take_over(known, state, &claimant, None, now);
    Ok(enrolled(asked, machine, changes, "machine.upgrade", "bearer_credential"))
}

/// Row 4b: known hardware comes back under another key, by policy. With a key of its own it is on probation until
/// somebody confirms; a client without keys has no better proof to wait for.
pub(super) fn rejoin(asked: &Asked<'_>, known: Known) -> Result<Plan<Outcome>, Refusal> {
    let now = asked.now();
    let lineage = identity::lineage(asked.request.claimant.source, &asked.fresh.context);
    let known = Known { machine: Machine { lineage, ..known.machine }, ..known };
    let state = known.machine.state.clone();
    let state = if asked.key().is_some() { state.on_probation(now)? } else { state.enrolled(now)? };
    let (machine, mut changes) =
        identity::take_over(known, state, &asked.request.claimant, asked.grant(), now);
    changes.extend(spend(asked));
    Ok(enrolled(asked, machine, changes, "machine.rejoin", asked.way.site.reimage.as_str()))
}

/// Row 7, where an operator permitted it: the hardware of a tombstone comes back as it, one generation on, and the permit is
/// spent by that. Hardware is a claim, so what the machine may do is what this grant stamps, and nothing of before.
pub(super) fn readmit(asked: &Asked<'_>, known: Known) -> Result<Plan<Outcome>, Refusal> {
    if asked.is_full() {
        return asked.hold(HoldReason::Quota, None);
    }
    let now = asked.now();
    let lineage = identity::lineage(asked.request.claimant.source, &asked.fresh.context);
    let stamped = asked.way.grant.as_ref().map(|grant| (grant.role.clone(), grant.labels.clone()));
    let (role, labels) = stamped.unwrap_or_default();
    let state = known.machine.state.clone().readmitted(now)?;
    let known = Known { machine: Machine { lineage, role, labels, ..known.machine }, ..known };
    let (machine, mut changes) =
        identity::take_over(known, state, &asked.request.claimant, asked.grant(), now);
    changes.extend(spend(asked));
    Ok(enrolled(asked, machine, changes, "machine.return", "readmitted"))
}

/// Draws on the grant, where drawing is counted and this caller was not counted before.
pub(super) fn spend(asked: &Asked<'_>) -> Option<Change> {
    let grant = asked.way.grant.as_ref()?;
    if asked.way.standing != Standing::Anew {
        return None;
    }
    let uses = grant.drawn(asked.key(), asked.now())?;
    Some(GrantChange::Draw { grant: grant.id, uses }.into())
}

pub(super) fn enrolled(
    asked: &Asked<'_>,
    machine: Machine,
    mut changes: Vec<Change>,
    action: &'static str,
    reason: &'static str,
) -> Plan<Outcome> {
    let fresh = asked.fresh;
    let form = asked.request.credential.clone();
    let credential = credential::reserve(fresh.credential, &machine, form, fresh.context.now, &fresh.terms);
    changes.push(CredentialChange::Reserve(credential.clone()).into());
    let mut entry = fresh.context.entry(action, Object::Machine(machine.id), reason);
    entry.detail = asked.described();
    entry.detail.push(("credential", credential.id.to_string()));
    let outcome =
        Outcome::Enrolled { machine: Box::new(machine), credential: Box::new(credential), again: false };
    Plan::new(outcome, changes, entry)
}

impl Asked<'_> {
    /// Whether the site has no seat left.
    fn is_full(&self) -> bool {
        self.way.site.seats.is_some_and(|seats| self.site_use.machines >= u64::from(seats))
    }

    /// What an audit entry says of the claimant.
    pub(super) fn described(&self) -> Vec<(&'static str, String)> {
        let claimant = &self.request.claimant;
        let mut detail =
            vec![("method", claimant.method.to_string()), ("site", self.way.site.code.to_string())];
        detail.extend(self.way.grant.as_ref().map(|grant| ("grant", grant.id.to_string())));
        if let Some(GrantKind::SiteKey { version, fingerprint }) =
            self.way.grant.as_ref().map(|grant| grant.kind)
        {
            let generation = muster_model::EnrollmentKey { version, fingerprint };
            detail.push(("generation", generation.to_string()));
        }
        detail.extend(claimant.hostname.as_ref().map(|name| ("hostname", name.to_string())));
        detail.extend(claimant.hardware_id.as_ref().map(|id| ("hardware_id", id.to_string())));
        detail.extend(self.key().map(|key| ("key", key.to_string())));
        detail
    }
}
