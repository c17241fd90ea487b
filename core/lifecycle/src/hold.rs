//! A person decides a hold; the one who waits collects the decision.
//!
//! The first decision wins: deciding the same again changes nothing, deciding otherwise is refused.

use muster_model::{
    Claimant, Credential, CredentialId, CredentialKind, Grant, HardwareId, Hold, HoldReason, HoldState,
    Machine, MachineId, MachineState, Object, PublicKey, ReasonText, Refusal, Site,
};

use crate::account::{self, Wish};
use crate::credential;
use crate::enroll::{Known, Outcome, key_still_counts};
use crate::identity::{self, Newcomer};
use crate::plan::{Change, Context, CredentialChange, HoldChange, MachineChange, Plan};
use crate::terms::Terms;

/// What a person decides about who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The same machine: it gets the new key, its older credentials end.
    Same,
    /// Another machine: both keep running.
    New,
}

/// What was read for a decision about a hold.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The hold.
    pub hold: Option<Hold>,
    /// Its site.
    pub site: Option<Site>,
    /// The grant it presented.
    pub grant: Option<Grant>,
    /// The pending machine that this grant was made for.
    pub pending: Option<Machine>,
    /// The machine that the claimant's key belongs to.
    pub by_key: Option<Known>,
    /// The machine it claims to be, or that stands in its way.
    pub existing: Option<Known>,
    /// The live machine of its hardware.
    pub by_hardware: Option<Machine>,
}

impl Choice {
    /// The name in refusals and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::New => "new",
        }
    }
}

/// The choices that fit a hold. A key belongs to one machine for ever: a claimant whose key is known can only be that
/// machine. `may_return` where an operator permitted that the retired machine in question comes back.
pub fn choices(hold: &Hold, key_is_known: bool, may_return: bool) -> &'static [Choice] {
    match (hold.reason, hold.existing.is_some()) {
        _ if key_is_known => &[Choice::Same],
        (HoldReason::KeyMismatch | HoldReason::SiteMismatch, true) => &[Choice::Same, Choice::New],
        (HoldReason::WasRemoved, true) if may_return => &[Choice::Same, Choice::New],
        // A retired machine is never revived by approving a newcomer alone; re-admitting it is an act of its own.
        (HoldReason::Approval | HoldReason::Quota | HoldReason::WasRemoved, _)
        | (HoldReason::KeyMismatch | HoldReason::SiteMismatch, false) => &[Choice::New],
    }
}

/// Lets the claimant in.
///
/// # Errors
/// [`Refusal::ChoiceNeeded`] where several choices fit and none was made, [`Refusal::ChoiceUnavailable`],
/// [`Refusal::WrongState`] for a hold that was decided otherwise or expired or whose key is dead,
/// [`Refusal::NotFound`].
pub fn approve(
    facts: Facts,
    choice: Option<Choice>,
    machine: MachineId,
    accounts: &[Wish],
    context: &Context,
) -> Result<Plan<Hold>, Refusal> {
    let Facts { hold, site, grant, pending, by_key, existing, by_hardware } = facts;
    let hold = hold.ok_or(Refusal::NotFound { what: "hold" })?;
    if let HoldState::Approved { machine, .. } = hold.state
        && fits_earlier(choice, &hold, machine)
    {
        return Ok(Plan::unchanged(hold));
    }
    still_open(&hold, "approve", context)?;
    // A dead key stays dead, whoever holds it: approving it would wake its machine and still let nobody in.
    key_still_counts(by_key.as_ref(), context.now)
        .or(Err(Refusal::WrongState { verb: "approve", state: "revoked" }))?;
    let hardware_id = hold.claimant.hardware_id.clone().filter(|_| by_hardware.is_none());
    let may_return = existing.as_ref().is_some_and(|known| known.machine.state.may_return(context.now));
    let choice = chosen(&hold, choice, (by_key.is_some(), may_return))?;
    let (machine, changes) = match (choice, by_key.or(existing)) {
        (Choice::Same, Some(known)) if is_proved_enough(&hold, &known) => {
            become_same(&hold, hardware_id, known, context)?
        }
        (Choice::Same, _) => return Err(Refusal::ChoiceUnavailable { choice: choice.as_str() }),
        (Choice::New, _) => {
            let site = site.ok_or(Refusal::NotFound { what: "site" })?;
            let claimant = &hold.claimant;
            Newcomer { context, machine, claimant, site: &site, grant: grant.as_ref(), hardware_id, accounts }
                .into_machine(pending.filter(|pending| matches!(pending.state, MachineState::Pending(_))))?
        }
    };
    Ok(approved(hold, &machine, choice, changes, context))
}

fn approved(
    hold: Hold,
    machine: &Machine,
    choice: Choice,
    mut changes: Vec<Change>,
    context: &Context,
) -> Plan<Hold> {
    // Whoever has no key is known by this moment when it collects: no two enrollments of a machine have the same.
    let enrolled = machine.enrolled_at.filter(|_| machine.key.is_none());
    let at = enrolled.unwrap_or(context.now);
    let state = HoldState::Approved { machine: machine.id, at, by: context.actor };
    changes.push(HoldChange::Decide { hold: hold.id, state: state.clone() }.into());
    let mut entry = context.entry("hold.approve", Object::Hold(hold.id), choice.as_str());
    entry.detail = vec![("machine", machine.id.to_string()), ("generation", machine.generation.to_string())];
    Plan::new(Hold { state, ..hold }, changes, entry)
}

/// Whether approving again says what was decided before.
fn fits_earlier(choice: Option<Choice>, hold: &Hold, machine: MachineId) -> bool {
    let earlier = if hold.existing == Some(machine) { Choice::Same } else { Choice::New };
    choice.is_none_or(|choice| choice == earlier)
}

fn chosen(
    hold: &Hold,
    choice: Option<Choice>,
    (key_is_known, may_return): (bool, bool),
) -> Result<Choice, Refusal> {
    match (choice, choices(hold, key_is_known, may_return)) {
        (Some(choice), fitting) if fitting.contains(&choice) => Ok(choice),
        (Some(choice), _) => Err(Refusal::ChoiceUnavailable { choice: choice.as_str() }),
        (None, [only]) => Ok(*only),
        (None, _) => Err(Refusal::ChoiceNeeded),
    }
}

/// A machine that has a key is never taken by a claimant that has none, not even by mistake of a person.
fn is_proved_enough(hold: &Hold, known: &Known) -> bool {
    known.machine.key.is_none() || hold.claimant.key.is_some()
}

/// The claimant is the machine it claims to be: a new generation, or the same key moved to another site. Hardware that
/// another machine has by now stays with that one.
fn become_same(
    hold: &Hold,
    hardware_id: Option<HardwareId>,
    known: Known,
    context: &Context,
) -> Result<(Machine, Vec<Change>), Refusal> {
    let state = known.machine.state.clone();
    // A permit to come back is spent by this.
    let state = match hold.reason {
        HoldReason::WasRemoved => state.readmitted(context.now)?,
        _ => state.vouched_for(context.now)?,
    };
    let site = if hold.reason == HoldReason::SiteMismatch { hold.site } else { known.machine.site };
    let key = hold.claimant.key.as_ref().map(PublicKey::fingerprint);
    let lineage = identity::lineage(hold.claimant.source, context);
    let moved = Known { machine: Machine { site, lineage, ..known.machine }, ..known };
    if key.is_some() && key == moved.machine.key {
        let machine = Machine { state, ..moved.machine };
        let mut changes = account::follow(&moved.accounts, &machine.state, false, context.now);
        changes.push(MachineChange::Update(machine.clone()).into());
        return Ok((machine, changes));
    }
    let claimant = Claimant { hardware_id, ..hold.claimant.clone() };
    Ok(identity::take_over(moved, state, &claimant, hold.grant, context.now))
}

/// Turns the claimant away. It is told so, and stops asking.
///
/// # Errors
/// [`Refusal::WrongState`] for a hold that was approved or expired, [`Refusal::NotFound`].
pub fn reject(
    hold: Option<Hold>,
    reason: Option<ReasonText>,
    context: &Context,
) -> Result<Plan<Hold>, Refusal> {
    let hold = hold.ok_or(Refusal::NotFound { what: "hold" })?;
    if matches!(hold.state, HoldState::Rejected { .. }) {
        return Ok(Plan::unchanged(hold));
    }
    still_open(&hold, "reject", context)?;
    let state = HoldState::Rejected { at: context.now, by: context.actor, reason: reason.clone() };
    let change = HoldChange::Decide { hold: hold.id, state: state.clone() };
    let mut entry = context.entry("hold.reject", Object::Hold(hold.id), "rejected");
    entry.detail.extend(reason.map(|reason| ("said", reason.to_string())));
    Ok(Plan::new(Hold { state, ..hold }, vec![change.into()], entry))
}

fn still_open(hold: &Hold, verb: &'static str, context: &Context) -> Result<(), Refusal> {
    if hold.is_open(context.now) {
        return Ok(());
    }
    let state = if hold.is_expired(context.now) { "expired" } else { hold.state.as_str() };
    Err(Refusal::WrongState { verb, state })
}

/// What was read when somebody who waits asks again.
#[derive(Debug, Clone, Default)]
pub struct CollectFacts {
    /// The hold it names.
    pub hold: Option<Hold>,
    /// The machine that its key belongs to now.
    pub by_key: Option<Known>,
}

/// The one who waits asks again, having proved the key of the hold.
///
/// # Errors
/// [`Refusal::Rejected`], [`Refusal::NotFound`] once the hold has expired, [`Refusal::Revoked`] where the machine
/// ended meanwhile.
pub fn collect(
    facts: CollectFacts,
    id: CredentialId,
    context: &Context,
    terms: &Terms,
) -> Result<Plan<Outcome>, Refusal> {
    let hold = facts.hold.ok_or(Refusal::NotFound { what: "hold" })?;
    match &hold.state {
        HoldState::Open if hold.is_expired(context.now) => Err(Refusal::NotFound { what: "hold" }),
        HoldState::Open => Ok(Plan::unchanged(Outcome::Held(Box::new(hold)))),
        HoldState::Rejected { reason, .. } => {
            Err(Refusal::Rejected { reason: reason.as_ref().map(ToString::to_string) })
        }
        HoldState::Approved { .. } => {
            key_still_counts(facts.by_key.as_ref(), context.now)?;
            let known = facts.by_key.ok_or(Refusal::UnknownMachine)?;
            collected(known, &hold, id, context, terms)
        }
    }
}

fn collected(
    known: Known,
    hold: &Hold,
    id: CredentialId,
    context: &Context,
    terms: &Terms,
) -> Result<Plan<Outcome>, Refusal> {
    let Known { machine, credentials, .. } = known;
    let enrolled = |credential: Credential, machine: Machine, again| Outcome::Enrolled {
        machine: Box::new(machine),
        credential: Box::new(credential),
        again,
    };
    if let Some(credential) = credential::young(&credentials, &machine, context.now, terms) {
        return Ok(Plan::unchanged(enrolled(credential, machine, true)));
    }
    let key = machine.key.ok_or(Refusal::UnknownMachine)?;
    let credential =
        credential::reserve(id, &machine, CredentialKind::Certificate { key }, context.now, terms);
    let mut entry = context.entry("credential.reserve", Object::Machine(machine.id), "hold_collected");
    entry.detail = vec![("hold", hold.id.to_string()), ("credential", credential.id.to_string())];
    let mut changes = credential::end_older(&credentials, context.now);
    changes.push(CredentialChange::Reserve(credential.clone()).into());
    Ok(Plan::new(enrolled(credential, machine, false), changes, entry))
}

mod keyless;
#[cfg(test)]
mod keyless_tests;
#[cfg(test)]
mod tests;

pub use keyless::{KeylessFacts, Shown, collect_keyless};
