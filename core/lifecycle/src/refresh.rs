//! Refresh tokens: each has one successor, and gives away that somebody copied it.
//!
//! The tokens of one generation of a machine are a family. The successor of a token follows from it, so that a lost answer
//! can be given again. Until the successor is used, by a refresh or by what was issued beside it, its predecessor gets the
//! same one; from then on whoever shows the predecessor has a copy, and the family ends.
//!
//! Invariant: at most two tokens of a family are open, and of two one was used and got the other. A family never begins
//! again: its machine comes back by an invite of an operator, one generation on.

use muster_model::{
    Credential, CredentialId, CredentialKind, CredentialState, EndReason, Entry, Machine, MachineState,
    Minted, Object, Refusal, SecretHash, SuspendCause, Suspended, Timestamp,
};

use crate::credential::{end_all, reserve};
use crate::plan::{Change, Context, CredentialChange, Plan};
use crate::terms::Terms;

/// What was read of a token that is shown, or by which something was issued.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Its record.
    pub token: Option<Credential>,
    /// Its machine.
    pub machine: Option<Machine>,
    /// The credentials of the machine that are not ended, the newest first.
    pub open: Vec<Credential>,
}

/// A token that is shown, and what would follow from it.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The hash of what is shown.
    pub hash: SecretHash,
    /// Its successor: a refresh token that was derived from it.
    pub successor: CredentialKind,
    /// The successor's identifier, should there be none yet.
    pub id: CredentialId,
}

/// What became of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// This token is the machine's from now on, or was already.
    Refreshed {
        /// The machine.
        machine: Box<Machine>,
        /// The successor.
        token: Box<Credential>,
    },
    /// The successor was used by somebody: there are two of them, and the family has ended.
    Copied,
}

/// The next token for the one that is shown.
///
/// # Errors
/// [`Refusal::NotAuthenticated`] for one that nobody was given, and what [`counts`] refuses.
pub fn refresh(
    facts: Facts,
    shown: &Presented,
    context: &Context,
    terms: &Terms,
) -> Result<Plan<Outcome>, Refusal> {
    let token = facts.token.as_ref().filter(|token| is_the_one(token, &shown.hash));
    let token = token.ok_or(Refusal::NotAuthenticated { cause: "secret_wrong" })?;
    if was_followed(token, facts.machine.as_ref()) {
        return copied(&facts, token, context);
    }
    let machine = counts(Some(token), facts.machine.as_ref(), context.now)?;
    if let Some(successor) = family(&facts.open).find(|other| other.kind == shown.successor) {
        let entry = entry_of(("credential.refresh", "again"), machine, successor, context);
        return Ok(Plan::new(refreshed(machine, successor), Vec::new(), entry));
    }
    let successor = reserve(shown.id, machine, shown.successor.clone(), context.now, terms);
    let mut changes = used(token, &facts.open, context.now);
    changes.push(CredentialChange::Reserve(successor.clone()).into());
    let entry = entry_of(("credential.refresh", "rotated"), machine, &successor, context);
    Ok(Plan::new(refreshed(machine, &successor), changes, entry))
}

/// A token is used for the first time, by what was issued beside it: its holder has it, so the one before it ends. Once
/// it was used, nothing is written.
///
/// # Errors
/// What [`counts`] refuses.
pub fn first_use(facts: &Facts, context: &Context) -> Result<Plan<()>, Refusal> {
    let machine = counts(facts.token.as_ref(), facts.machine.as_ref(), context.now)?;
    let Some(token) = facts.token.as_ref().filter(|token| is_unused(token)) else {
        return Ok(Plan::unchanged(()));
    };
    let entry = entry_of(("credential.use", "first_use"), machine, token, context);
    Ok(Plan::new((), used(token, &facts.open, context.now), entry))
}

/// Somebody shows a token elsewhere than to refresh it. One whose successor is in use is a copy there too: the family ends.
///
/// # Errors
/// [`Refusal::Revoked`] where the family has ended already.
pub fn shown_elsewhere(facts: &Facts, shown: &SecretHash, context: &Context) -> Result<Plan<()>, Refusal> {
    let token = facts.token.as_ref().filter(|token| is_the_one(token, shown));
    match token.filter(|token| was_followed(token, facts.machine.as_ref())) {
        Some(token) => Ok(copied(facts, token, context)?.map(|_| ())),
        None => Ok(Plan::unchanged(())),
    }
}

/// Whether a token, or what was issued beside it, counts.
///
/// # Errors
/// [`Refusal::NotFound`] where its machine was retired: the one answer by which a client ends itself.
/// [`Refusal::Reaped`], [`Refusal::MachineSuspended`], [`Refusal::Revoked`]; [`Refusal::CredentialExpired`] for one past its life, or whose
/// successor was used.
pub fn counts<'m>(
    token: Option<&Credential>,
    machine: Option<&'m Machine>,
    now: Timestamp,
) -> Result<&'m Machine, Refusal> {
    let machine = machine.ok_or(Refusal::UnknownMachine)?;
    match &machine.state {
        state if state.undone_until().is_some_and(|until| now <= until) => return Err(Refusal::Reaped),
        MachineState::Retired(_) => return Err(Refusal::NotFound { what: "machine" }),
        MachineState::Pending(_)
        | MachineState::Suspended(Suspended { cause: SuspendCause::Revoked(_), .. }) => {
            return Err(Refusal::Revoked);
        }
        MachineState::Active(_) | MachineState::Suspended(_) => {}
    }
    let token = token.filter(|token| token.machine == machine.id);
    let token = token.ok_or(Refusal::NotAuthenticated { cause: "credential_unknown" })?;
    match (&token.kind, &token.state) {
        (CredentialKind::Refresh { .. }, CredentialState::Issued(_)) => {}
        (CredentialKind::Refresh { .. }, CredentialState::Ended { reason: EndReason::Renewed, .. }) => {
            return Err(Refusal::CredentialExpired);
        }
        _ => return Err(Refusal::Revoked),
    }
    if matches!(machine.state, MachineState::Suspended(_)) {
        return Err(Refusal::MachineSuspended);
    }
    if now >= token.not_after {
        return Err(Refusal::CredentialExpired);
    }
    Ok(machine)
}

/// Whether nobody has shown that they have it.
pub fn is_unused(token: &Credential) -> bool {
    matches!(token.state, CredentialState::Issued(Minted::Refresh { used_at: None }))
}

/// The open tokens of a family, the newest first.
pub(crate) fn family(open: &[Credential]) -> impl Iterator<Item = &Credential> {
    open.iter().filter(|other| matches!(other.kind, CredentialKind::Refresh { .. }) && other.is_open())
}

fn is_the_one(token: &Credential, shown: &SecretHash) -> bool {
    matches!(&token.kind, CredentialKind::Refresh { hash, .. } if hash == shown)
}

/// Whether somebody has used the successor of this token, in the machine's present generation: an older family ended as
/// a whole, and tells nothing of this one.
fn was_followed(token: &Credential, machine: Option<&Machine>) -> bool {
    let followed = matches!(token.state, CredentialState::Ended { reason: EndReason::Renewed, .. });
    followed && machine.is_some_and(|machine| machine.generation == token.generation)
}

/// Ends a family that two have tokens of. Who of them is the machine, nobody can tell.
fn copied(facts: &Facts, token: &Credential, context: &Context) -> Result<Plan<Outcome>, Refusal> {
    let open: Vec<Credential> = family(&facts.open).cloned().collect();
    if open.is_empty() {
        return Err(Refusal::Revoked);
    }
    let ends = end_all(&open, EndReason::Revoked, context.now);
    let mut entry = context.entry("credential.copied", Object::Machine(token.machine), "alarm");
    entry.detail = vec![("credential", token.id.to_string()), ("credentials_ended", ends.len().to_string())];
    Ok(Plan::new(Outcome::Copied, ends, entry))
}

/// A token is used: that is noted once, and the one that got it ends. Which of two that is shows by their use: clocks of
/// several servers put no order into their identifiers.
fn used(token: &Credential, open: &[Credential], now: Timestamp) -> Vec<Change> {
    if !is_unused(token) {
        return Vec::new();
    }
    let before: Vec<Credential> = family(open).filter(|other| other.id != token.id).cloned().collect();
    let mut changes = end_all(&before, EndReason::Renewed, now);
    let state = CredentialState::Issued(Minted::Refresh { used_at: Some(now) });
    changes.push(CredentialChange::State { credential: token.id, state }.into());
    changes
}

fn refreshed(machine: &Machine, token: &Credential) -> Outcome {
    Outcome::Refreshed { machine: Box::new(machine.clone()), token: Box::new(token.clone()) }
}

fn entry_of(
    (action, reason): (&'static str, &'static str),
    machine: &Machine,
    token: &Credential,
    context: &Context,
) -> Entry {
    let mut entry = context.entry(action, Object::Machine(machine.id), reason);
    entry.detail = vec![("credential", token.id.to_string()), ("not_after", token.not_after.to_string())];
    entry
}

#[cfg(test)]
mod tests;
