//! Operators: who there is, what each may do, and that somebody always may change it.
//!
//! Invariants: names are told apart as people tell them apart; one admin stays enabled; what an operator who is disabled
//! had ends in the same plan; a session is not carried over a change of what it may do.

use muster_model::text::DisplayName;
use muster_model::{AccessKind, Object, Operator, OperatorId, OperatorRole, Refusal};

use crate::access;
use crate::plan::{AccessChange, Change, Context, Plan};

/// How many there may be.
const MOST: usize = 1000;

/// What is asked of an operator. What is not named stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edit {
    /// What people call it.
    pub name: Option<DisplayName>,
    /// What it may do.
    pub role: Option<OperatorRole>,
}

/// An operator as it stands now, and what ended with the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The operator.
    pub operator: Operator,
    /// Its tokens, sessions and login links that ended.
    pub ended: Live,
}

/// How many an operator has that are good for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Live {
    /// API tokens.
    pub tokens: u64,
    /// Login links.
    pub links: u64,
    /// Browser sessions.
    pub sessions: u64,
}

impl Live {
    /// How many of a kind.
    pub fn of(&mut self, kind: AccessKind) -> &mut u64 {
        match kind {
            AccessKind::Api => &mut self.tokens,
            AccessKind::Login => &mut self.links,
            AccessKind::Session => &mut self.sessions,
        }
    }

    /// Those of these kinds alone.
    fn only(mut self, kinds: &[AccessKind]) -> Self {
        AccessKind::ALL.into_iter().filter(|kind| !kinds.contains(kind)).for_each(|kind| *self.of(kind) = 0);
        self
    }

    fn all(self) -> u64 {
        self.tokens + self.links + self.sessions
    }
}

/// Makes an operator.
///
/// # Errors
/// [`Refusal::NameTaken`]; [`Refusal::WrongState`] where there are too many.
pub fn create(operator: Operator, others: &[Operator], context: &Context) -> Result<Plan<Operator>, Refusal> {
    name_is_free(&operator, others)?;
    if others.len() >= MOST {
        return Err(Refusal::WrongState { verb: "make another operator", state: "full" });
    }
    Ok(access::create_operator(operator, context))
}

/// Changes name and role. With the role, sessions and login links end; API tokens stay, and are worth no more than their
/// operator.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::NameTaken`], [`Refusal::LastAdmin`].
pub fn edit(
    id: OperatorId,
    wish: &Edit,
    operators: &[Operator],
    live: Live,
    context: &Context,
) -> Result<Plan<Changed>, Refusal> {
    let before = known(id, operators)?;
    let after = Operator {
        name: wish.name.clone().unwrap_or_else(|| before.name.clone()),
        role: wish.role.unwrap_or(before.role),
        ..before.clone()
    };
    if after == *before {
        return Ok(unchanged(after));
    }
    name_is_free(&after, operators)?;
    an_admin_stays(before, &after, operators)?;
    let is_moved = after.role != before.role;
    let ending: &'static [AccessKind] =
        if is_moved { &[AccessKind::Login, AccessKind::Session] } else { &[] };
    let mut entry = context.entry("operator.edit", Object::Operator(id), after.role.as_str());
    entry.detail = vec![("name", after.name.to_string())];
    if after.name != before.name {
        entry.detail.push(("name_before", before.name.to_string()));
    }
    if is_moved {
        entry.detail.push(("role_before", before.role.as_str().to_owned()));
    }
    Ok(changed(after, live.only(ending), ending, entry, context))
}

/// Ends whatever an operator may do, with all its tokens, sessions and login links.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::LastAdmin`].
pub fn disable(
    id: OperatorId,
    operators: &[Operator],
    live: Live,
    context: &Context,
) -> Result<Plan<Changed>, Refusal> {
    let before = known(id, operators)?;
    if !before.is_enabled() {
        return Ok(unchanged(before.clone()));
    }
    let after = Operator { disabled_at: Some(context.now), ..before.clone() };
    an_admin_stays(before, &after, operators)?;
    let mut entry = context.entry("operator.disable", Object::Operator(id), after.role.as_str());
    entry.detail = vec![("name", after.name.to_string())];
    Ok(changed(after, live, &AccessKind::ALL, entry, context))
}

/// Lets an operator who was disabled do again what its role may. Nothing that it had before comes back.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn enable(
    id: OperatorId,
    operators: &[Operator],
    live: Live,
    context: &Context,
) -> Result<Plan<Changed>, Refusal> {
    let before = known(id, operators)?;
    if before.is_enabled() {
        return Ok(unchanged(before.clone()));
    }
    let after = Operator { disabled_at: None, ..before.clone() };
    let mut entry = context.entry("operator.enable", Object::Operator(id), after.role.as_str());
    entry.detail = vec![("name", after.name.to_string())];
    Ok(changed(after, live, &AccessKind::ALL, entry, context))
}

/// Takes an operator's second factor away, for whoever lost it and all their codes. Its sessions and login links end.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn reset_second_factor(
    id: OperatorId,
    operators: &[Operator],
    live: Live,
    context: &Context,
) -> Result<Plan<Changed>, Refusal> {
    let before = known(id, operators)?;
    if before.second.is_none() {
        return Ok(unchanged(before.clone()));
    }
    let after = Operator { second: None, ..before.clone() };
    let mut entry = context.entry("operator.reset_second_factor", Object::Operator(id), after.role.as_str());
    entry.detail = vec![("name", after.name.to_string())];
    let ending = &[AccessKind::Login, AccessKind::Session];
    Ok(changed(after, live.only(ending), ending, entry, context))
}

fn known(id: OperatorId, operators: &[Operator]) -> Result<&Operator, Refusal> {
    operators.iter().find(|operator| operator.id == id).ok_or(Refusal::NotFound { what: "operator" })
}

fn name_is_free(operator: &Operator, others: &[Operator]) -> Result<(), Refusal> {
    let folded = operator.folded();
    match others.iter().any(|other| other.id != operator.id && other.folded() == folded) {
        true => Err(Refusal::NameTaken { what: "operator" }),
        false => Ok(()),
    }
}

/// Somebody must be left who may change who may do what.
fn an_admin_stays(before: &Operator, after: &Operator, operators: &[Operator]) -> Result<(), Refusal> {
    let administers = |one: &Operator| one.role == OperatorRole::Admin && one.is_enabled();
    let has_another = operators.iter().any(|other| other.id != after.id && administers(other));
    match administers(before) && !administers(after) && !has_another {
        true => Err(Refusal::LastAdmin),
        false => Ok(()),
    }
}

fn unchanged(operator: Operator) -> Plan<Changed> {
    Plan::unchanged(Changed { operator, ended: Live::default() })
}

fn changed(
    operator: Operator,
    ended: Live,
    kinds: &'static [AccessKind],
    mut entry: muster_model::Entry,
    context: &Context,
) -> Plan<Changed> {
    let mut changes: Vec<Change> = vec![AccessChange::UpdateOperator(operator.clone()).into()];
    if ended.all() > 0 {
        changes.push(AccessChange::EndAllOf { operator: operator.id, kinds, at: context.now }.into());
        entry.detail.push(("ended", ended.all().to_string()));
    }
    Plan::new(Changed { operator, ended }, changes, entry)
}

#[cfg(test)]
mod tests;
