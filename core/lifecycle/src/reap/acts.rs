//! What is done to those who are silent, and the ways back: the machine is heard of again, or an operator restores it.

use muster_model::{
    Machine, MachineState, Object, ReasonText, Refusal, RetireCause, Retired, SuspendCause, Suspended,
};

use super::{Due, Patience, Stop, Traces, Watched, due};
use crate::machine::{Ends, Facts, found, moved};
use crate::plan::{Context, Plan, TenantChange};

/// Pauses or ends a machine for its silence, where it is due still. Nothing that it holds ends by this.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn reap(
    facts: Facts,
    traces: Traces,
    patience: Patience,
    stretches: &[Watched],
    context: &Context,
) -> Result<Plan<Option<Due>>, Refusal> {
    let Facts { machine, accounts, .. } = facts;
    let machine = found(machine)?;
    let Some((what, heard)) = due(&machine, traces, patience, (stretches, context.now)) else {
        return Ok(Plan::unchanged(None));
    };
    let (action, state) = match what {
        Due::Pause => ("machine.suspend", machine.state.clone().silenced(context.now)?),
        Due::Retire => ("machine.retire", machine.state.clone().retired(context.now, RetireCause::Silent)?),
    };
    let plan = moved(Machine { state, ..machine }, action, None, Ends::none(&accounts), context);
    let plan = plan.saying("cause", "silent".to_owned()).saying("last_heard", heard.to_string());
    Ok(plan.map(|_| Some(what)))
}

/// Ends a pause for silence: the machine showed a credential that counts. One that is paused for anything else stays so.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn heard(facts: Facts, context: &Context) -> Result<Plan<Machine>, Refusal> {
    let Facts { machine, accounts, .. } = facts;
    let machine = found(machine)?;
    if !machine.state.is_silenced() {
        return Ok(Plan::unchanged(machine));
    }
    let state = machine.state.clone().heard(context.now)?;
    let machine = Machine { state, ..machine };
    let plan = moved(machine, "machine.resume", None, Ends::none(&accounts), context);
    Ok(plan.saying("cause", "heard".to_owned()))
}

/// Undoes a reaping: the machine goes on with all that it held.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::WrongState`] for one that was not reaped, or more than thirty days ago, or whose hardware
/// or nick another machine has since.
pub fn restore(
    facts: Facts,
    of_its_hardware: Option<&Machine>,
    said: Option<ReasonText>,
    context: &Context,
) -> Result<Plan<Machine>, Refusal> {
    let Facts { machine, accounts, agent, .. } = facts;
    let machine = found(machine)?;
    let cannot = |state| Err(Refusal::WrongState { verb: "restore", state });
    let is_replaced = of_its_hardware.is_some_and(|other| other.id != machine.id)
        || agent.is_some_and(|agent| agent.freed_at.is_some());
    match &machine.state {
        MachineState::Active(_) => return Ok(Plan::unchanged(machine)),
        state if state.undone_until().is_some_and(|until| until < context.now) => return cannot("too_old"),
        MachineState::Suspended(Suspended { cause: SuspendCause::Silent, .. })
        | MachineState::Retired(Retired { cause: RetireCause::Silent, .. })
            if is_replaced =>
        {
            return cannot("replaced");
        }
        MachineState::Pending(_) | MachineState::Suspended(_) | MachineState::Retired(_) => {}
    }
    let state = machine.state.clone().restored(context.now)?;
    let machine = Machine { state, ..machine };
    Ok(moved(machine, "machine.restore", said, Ends::none(&accounts), context))
}

/// Tells that the reaper takes nobody, because too many are due at once. It is told once, until it goes on.
pub fn stop(present: Option<Stop>, due: u64, fleet: u64, context: &Context) -> Plan<bool> {
    if present.is_some() {
        return Plan::unchanged(false);
    }
    let mut entry = context.entry("reaper.stop", Object::Tenant(context.tenant), "alarm");
    entry.detail = vec![("due", due.to_string()), ("fleet", fleet.to_string())];
    let stop = Stop { since: context.now, due, fleet };
    Plan::new(true, vec![TenantChange::Reaper(Some(stop)).into()], entry)
}

/// Tells that the reaper goes on, where it had stopped.
pub fn go(present: Option<Stop>, context: &Context) -> Plan<bool> {
    let Some(Stop { since, .. }) = present else { return Plan::unchanged(false) };
    let mut entry = context.entry("reaper.go", Object::Tenant(context.tenant), "calm");
    entry.detail = vec![("stopped_at", since.to_string())];
    Plan::new(true, vec![TenantChange::Reaper(None).into()], entry)
}
