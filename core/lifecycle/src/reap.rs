//! Machines that nobody hears of: when their silence counts, which of them are paused or ended for it, and the way back.
//!
//! Silence is what was watched, not what the clock says. Time in which no server watched, or in which the clock jumped, is
//! nobody's silence. A machine is paused for it first, and ended only after as much silence again as is configured. What it
//! holds is sealed by its state and not ended, so that all of it is there again when a reaping is undone.
//!
//! Invariant: no run takes more than its share of a fleet, and none begins while so many are due at once that the fault is
//! more likely ours.

use muster_model::{
    Machine, MachineId, MachineState, Object, Presence, Refusal, RetireCause, Retired, SignedDuration,
    SuspendCause, Suspended, Timestamp,
};

use crate::machine::{Ends, Facts, found, moved};
use crate::plan::{Context, Plan};

/// Between two looks at the fleet no more than this may pass, or nobody watched meanwhile.
pub const BLINK: SignedDuration = SignedDuration::from_mins(15);
/// How long a reaping can be undone.
pub const UNDONE_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);
/// What a run takes in any case, of however small a fleet.
const AT_LEAST: u64 = 10;
/// For so long those who were paused count as due still: a fault that creeps is a fault.
const CREEPING: SignedDuration = SignedDuration::from_hours(24);

/// A stretch of time in which the fleet was watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// From then on.
    pub began: Timestamp,
    /// Until then.
    pub until: Timestamp,
}

/// How long silence may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until a machine is paused.
    pub silence: SignedDuration,
    /// From then on until it is ended; `None`: never.
    pub retire_after: Option<SignedDuration>,
}

/// What is to become of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Due {
    /// It is to be paused.
    Pause,
    /// It is to be ended.
    Retire,
}

/// What a run may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// These, and no others.
    Take(Vec<(MachineId, Due)>),
    /// Nobody: so many are due that the fault is more likely ours.
    Alarm {
        /// How many are due, with those who were paused lately.
        due: u64,
        /// Out of so many.
        fleet: u64,
    },
}

/// The stretch that a look at this moment belongs to: the one before, where it went on until just now, or a new one.
pub fn watched(last: Option<Watched>, now: Timestamp) -> Watched {
    match last {
        Some(last) if last.until <= now && now.duration_since(last.until) <= BLINK => {
            Watched { until: now, ..last }
        }
        _ => Watched { began: now, until: now },
    }
}

/// How long was watched since a moment. Stretches may overlap, where a clock was put back: no time counts twice.
pub fn silence(stretches: &[Watched], since: Timestamp, now: Timestamp) -> SignedDuration {
    let mut clipped: Vec<(Timestamp, Timestamp)> = stretches
        .iter()
        .map(|stretch| (stretch.began.max(since), stretch.until.min(now)))
        .filter(|(began, until)| began < until)
        .collect();
    clipped.sort_unstable();
    let (mut sum, mut counted) = (SignedDuration::ZERO, since);
    for (began, until) in clipped {
        let began = began.max(counted);
        if began < until {
            sum += until.duration_since(began);
            counted = until;
        }
    }
    sum
}

/// When a machine was last heard of, as far as anybody knows. A machine that calls without a channel is heard of by what it
/// was issued.
pub fn last_heard(
    machine: &Machine,
    presence: Presence,
    newest_credential: Option<Timestamp>,
) -> Option<Timestamp> {
    let entered = machine.enrolled_at.into_iter().chain(machine.lineage.at);
    let known = entered.chain(presence.last_seen).chain(newest_credential);
    // Whom an operator resumed or restored has its patience anew.
    let since = matches!(machine.state, MachineState::Active(_)).then(|| machine.state.since());
    known.chain(since).max()
}

/// What is to become of a machine that was last heard of then. Whoever is online is not silent; whom an operator paused is the
/// operator's.
pub fn due(
    machine: &Machine,
    presence: Presence,
    heard: Option<Timestamp>,
    patience: Patience,
    (stretches, now): (&[Watched], Timestamp),
) -> Option<Due> {
    let heard = heard.filter(|_| !presence.online)?;
    match &machine.state {
        MachineState::Active(_) => (silence(stretches, heard, now) >= patience.silence).then_some(Due::Pause),
        MachineState::Suspended(Suspended { since, cause: SuspendCause::Silent }) => {
            let since = heard.max(*since);
            let patience = patience.retire_after?;
            (silence(stretches, since, now) >= patience).then_some(Due::Retire)
        }
        MachineState::Pending(_) | MachineState::Suspended(_) | MachineState::Retired(_) => None,
    }
}

/// Whether a machine was paused for its silence so lately that it counts as due still.
pub fn is_creeping(machine: &Machine, now: Timestamp) -> bool {
    match &machine.state {
        MachineState::Suspended(Suspended { since, cause: SuspendCause::Silent }) => {
            now.duration_since(*since) < CREEPING
        }
        _ => false,
    }
}

/// What a run takes of those who are due, those first who were silent longest: at most ten machines or one in a hundred,
/// whichever is more. Where more than one in twenty is due at once, or all of them, nobody.
///
/// `lately` are those who were paused within a day; `fleet` are all that are active or paused.
pub fn run(mut due: Vec<(MachineId, Due, Timestamp)>, lately: u64, fleet: u64) -> Run {
    let at_once = due.len() as u64 + lately;
    let is_everybody = at_once >= fleet && !due.is_empty();
    if is_everybody || at_once > (fleet / 20).max(1) {
        return Run::Alarm { due: at_once, fleet };
    }
    due.sort_by_key(|(id, _, heard)| (*heard, *id));
    let most = usize::try_from((fleet / 100).max(AT_LEAST)).unwrap_or(usize::MAX);
    Run::Take(due.into_iter().take(most).map(|(id, what, _)| (id, what)).collect())
}

/// Pauses or ends a machine for its silence, where it is due still.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn reap(facts: Facts, what: Due, is_due: bool, context: &Context) -> Result<Plan<Option<Due>>, Refusal> {
    let Facts { machine, accounts, .. } = facts;
    let machine = found(machine)?;
    if !is_due {
        return Ok(Plan::unchanged(None));
    }
    let (action, state) = match what {
        Due::Pause => ("machine.suspend", machine.state.clone().silenced(context.now)?),
        Due::Retire => ("machine.retire", machine.state.clone().retired(context.now, RetireCause::Silent)?),
    };
    let plan = moved(Machine { state, ..machine }, action, None, Ends::none(&accounts), context);
    Ok(plan.saying("cause", "silent".to_owned()).map(|_| Some(what)))
}

/// Undoes a reaping: the machine goes on with all that it held.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::WrongState`] for one that was not reaped, or more than thirty days ago, or whose hardware
/// another machine has since.
pub fn restore(
    facts: Facts,
    of_its_hardware: Option<&Machine>,
    said: Option<muster_model::ReasonText>,
    context: &Context,
) -> Result<Plan<Machine>, Refusal> {
    let Facts { machine, accounts, .. } = facts;
    let machine = found(machine)?;
    let cannot = |state| Err(Refusal::WrongState { verb: "restore", state });
    match &machine.state {
        MachineState::Active(_) => return Ok(Plan::unchanged(machine)),
        MachineState::Retired(Retired { since, cause: RetireCause::Silent, .. })
            if context.now.duration_since(*since) > UNDONE_FOR =>
        {
            return cannot("too_old");
        }
        _ if of_its_hardware.is_some_and(|other| other.id != machine.id) => return cannot("replaced"),
        _ => {}
    }
    let state = machine.state.clone().restored(context.now)?;
    let machine = Machine { state, ..machine };
    Ok(moved(machine, "machine.restore", said, Ends::none(&accounts), context))
}

/// Tells that a run took nobody, because too many were due at once.
pub fn alarm(due: u64, fleet: u64, context: &Context) -> Plan<()> {
    let mut entry = context.entry("reaper.stop", Object::Deployment, "alarm");
    entry.detail = vec![("due", due.to_string()), ("fleet", fleet.to_string())];
    Plan::new((), Vec::new(), entry)
}

#[cfg(test)]
mod tests;
