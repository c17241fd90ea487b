//! Operators: who there is, what each may do, and that somebody always may change it.
//!
//! Invariants: names are told apart as people tell them apart; one admin stays enabled; what an operator who is disabled
//! had ends in the same plan; a session is not carried over a change of what it may do.

use muster_model::text::DisplayName;
use muster_model::{AccessKind, AccessToken, Object, Operator, OperatorId, OperatorRole, Refusal};

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
    pub ended: Vec<AccessToken>,
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
    live: &[AccessToken],
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
    let ending = live.iter().filter(|token| is_moved && token.kind != AccessKind::Api).cloned().collect();
    let mut entry = context.entry("operator.edit", Object::Operator(id), after.role.as_str());
    entry.detail = vec![("name", after.name.to_string())];
    if after.name != before.name {
        entry.detail.push(("name_before", before.name.to_string()));
    }
    if is_moved {
        entry.detail.push(("role_before", before.role.as_str().to_owned()));
    }
    Ok(changed(after, ending, entry, context))
}

/// Ends whatever an operator may do, with all its tokens, sessions and login links.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::LastAdmin`].
pub fn disable(
    id: OperatorId,
    operators: &[Operator],
    live: &[AccessToken],
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
    Ok(changed(after, live.to_vec(), entry, context))
}

/// Lets an operator who was disabled do again what its role may. Nothing that it had before comes back.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn enable(
    id: OperatorId,
    operators: &[Operator],
    live: &[AccessToken],
    context: &Context,
) -> Result<Plan<Changed>, Refusal> {
    let before = known(id, operators)?;
    if before.is_enabled() {
        return Ok(unchanged(before.clone()));
    }
    let after = Operator { disabled_at: None, ..before.clone() };
    let mut entry = context.entry("operator.enable", Object::Operator(id), after.role.as_str());
    entry.detail = vec![("name", after.name.to_string())];
    Ok(changed(after, live.to_vec(), entry, context))
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
    Plan::unchanged(Changed { operator, ended: Vec::new() })
}

fn changed(
    operator: Operator,
    ended: Vec<AccessToken>,
    mut entry: muster_model::Entry,
    context: &Context,
) -> Plan<Changed> {
    let end = |token: &AccessToken| Change::from(AccessChange::EndToken { token: token.id, at: context.now });
    let mut changes = vec![AccessChange::UpdateOperator(operator.clone()).into()];
    changes.extend(ended.iter().map(end));
    if !ended.is_empty() {
        entry.detail.push(("ended", ended.len().to_string()));
    }
    Plan::new(Changed { operator, ended }, changes, entry)
}

#[cfg(test)]
mod tests;
