//! Orders to machines: what an operator has them do, whichever server holds their channel.
//!
//! An order to renew is heard by a machine that is online and forgotten else: it renews by itself in time. An order to
//! rotate is kept with the key that is to be replaced, until another one is in its place.

use muster_model::{KeyFingerprint, Machine, MachineState, Object, Refusal, SuspendCause, Suspended};

use crate::machine::Facts;
use crate::plan::{Change, Context, KeyChange, MachineChange, MachineOrder, Plan};

/// Tells a machine to ask for its next certificate now.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::WrongState`] for a machine that has no key to renew for.
pub fn renewal(facts: Facts, context: &Context) -> Result<Plan<Machine>, Refusal> {
    let (machine, _) = keyed(facts, "renew")?;
    Ok(told(machine, MachineOrder::Renew, Vec::new(), "ordered", context))
}

/// Tells a machine to make its next key now, or when it is here again.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::WrongState`] for a machine that has no key to replace.
pub fn rotation(facts: Facts, context: &Context) -> Result<Plan<Machine>, Refusal> {
    let keys = facts.keys.clone();
    let (machine, key) = keyed(facts, "rotate")?;
    let is_ordered = keys.iter().any(|record| record.key.fingerprint() == key && record.ordered_at.is_some());
    let (changes, reason) = match is_ordered {
        true => (Vec::new(), "again"),
        false => (vec![KeyChange::Order { key, at: context.now }.into()], "ordered"),
    };
    Ok(told(machine, MachineOrder::Rotate, changes, reason, context))
}

/// A machine with a key that works, and that key.
fn keyed(facts: Facts, verb: &'static str) -> Result<(Machine, KeyFingerprint), Refusal> {
    let machine = facts.machine.ok_or(Refusal::NotFound { what: "machine" })?;
    let state = match (&machine.state, machine.key) {
        (MachineState::Pending(_) | MachineState::Retired(_), _) => machine.state.as_str(),
        (MachineState::Suspended(Suspended { cause: SuspendCause::Revoked(_), .. }), _) => "revoked",
        (MachineState::Active(_) | MachineState::Suspended(_), None) => "keyless",
        (MachineState::Active(_) | MachineState::Suspended(_), Some(key)) => return Ok((machine, key)),
    };
    Err(Refusal::WrongState { verb, state })
}

fn told(
    machine: Machine,
    order: MachineOrder,
    mut changes: Vec<Change>,
    reason: &'static str,
    context: &Context,
) -> Plan<Machine> {
    changes.push(MachineChange::Order { machine: machine.id, order }.into());
    let action = match order {
        MachineOrder::Renew => "machine.renew",
        MachineOrder::Rotate => "machine.rotate",
    };
    let mut entry = context.entry(action, Object::Machine(machine.id), reason);
    entry.detail = vec![("name", machine.name.to_string())];
    Plan::new(machine, changes, entry)
}

#[cfg(test)]
mod tests;
