//! The way back for the hardware of a machine that was retired: an operator permits it, once and for a while.
//!
//! The permit stands in the tombstone and is spent by the enrollment that uses it, in the same transaction. A dead key stays
//! dead: whoever comes back comes under another one.

use muster_model::{Machine, Object, ReasonText, Refusal, Timestamp};

use crate::machine::found;
use crate::plan::{Context, MachineChange, Plan};

/// Permits that the hardware of a tombstone comes back as it until then. A permit that lasts as long already is the same.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::WrongState`] unless it is retired, for one whose hardware nobody knows, and where
/// another machine has that hardware since.
pub fn permit(
    machine: Option<Machine>,
    of_its_hardware: Option<&Machine>,
    until: Timestamp,
    said: Option<ReasonText>,
    context: &Context,
) -> Result<Plan<Machine>, Refusal> {
    let machine = found(machine)?;
    let state = machine.state.clone().readmissible(until)?;
    let cannot = |state| Err(Refusal::WrongState { verb: "readmit", state });
    if machine.hardware_id.is_none() {
        return cannot("without_hardware");
    }
    if of_its_hardware.is_some_and(|other| other.id != machine.id) {
        return cannot("replaced");
    }
    if machine.state.may_return(until) || machine.state == state {
        return Ok(Plan::unchanged(machine));
    }
    let mut entry = context.entry("machine.readmit", Object::Machine(machine.id), "permitted");
    entry.detail = vec![("name", machine.name.to_string()), ("until", until.to_string())];
    entry.detail.extend(said.map(|said| ("said", said.to_string())));
    let machine = Machine { state, ..machine };
    Ok(Plan::new(machine.clone(), vec![MachineChange::Update(machine).into()], entry))
}

#[cfg(test)]
mod tests;
