//! An agent says that it goes by its engagement.

use muster_model::{EngagementVersion, Object, Refusal};

use super::{Engaged, Facts, Reach, living, told};
use crate::plan::{AgentChange, Context, Plan};

/// An agent says that it goes by this version of its engagement; `is_it` says whether it knows what is in it. Saying it again
/// changes nothing.
///
/// # Errors
/// [`Refusal::NotFound`] for one that is over; [`Refusal::WrongState`] for any other version than the one in force.
pub fn acknowledge(
    facts: Facts,
    version: u32,
    is_it: impl FnOnce(&EngagementVersion) -> bool,
    context: &Context,
) -> Result<Plan<Engaged>, Refusal> {
    let (mut known, _) = living(facts, &Reach::default())?;
    if known.version.version != version || !is_it(&known.version) {
        return Err(Refusal::WrongState { verb: "acknowledge", state: "not the version in force" });
    }
    if known.version.acknowledged_at.is_some() {
        return Ok(Plan::unchanged(known));
    }
    let (tenant, machine, at) = (context.tenant, known.machine.id, context.now);
    known.version.acknowledged_at = Some(at);
    let mut entry = context.entry("agent.acknowledge", Object::Machine(machine), "in_force");
    entry.detail = told(&known.agent);
    let change = AgentChange::Acknowledge { tenant, machine, version, at };
    Ok(Plan::new(known, vec![change.into()], entry))
}
