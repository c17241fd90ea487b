//! Machines that nobody hears of: when their silence counts, and which of them are paused or ended for it.
//!
//! Silence is what was watched, not what the clock says. Time in which no server watched, or in which the clock jumped, is
//! nobody's silence. A machine is paused for it first, and ended only after as much silence again as is configured. What it
//! holds is sealed by its state and not ended, so that all of it is there again when it comes back (`acts`).
//!
//! Invariant: no run takes more than its share of a fleet, and none takes anybody while so many are due at once that the
//! fault is more likely ours.

mod acts;

use muster_model::{
    Machine, MachineId, MachineState, Presence, SignedDuration, SuspendCause, Suspended, Timestamp,
};

pub use acts::{go, heard, reap, restore, stop};

/// Between two looks at the fleet no more than this may pass, or nobody watched meanwhile.
pub const BLINK: SignedDuration = SignedDuration::from_mins(15);
/// So long whoever watches has watched before it takes anybody: after a start, when another one watched before, and when the
/// clock jumped. Machines come back to a server within a third of it.
pub const SETTLING: SignedDuration = SignedDuration::from_mins(30);
/// From one run to the next.
pub const EVERY: SignedDuration = SignedDuration::from_hours(1);
/// What a run takes in any case, of however small a fleet.
const AT_LEAST: u64 = 10;
/// For so long those who were paused count as due still: a fault that creeps is a fault.
pub const CREEPING: SignedDuration = SignedDuration::from_hours(24);

/// A stretch of time in which the fleet was watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watched {
    /// From then on.
    pub began: Timestamp,
    /// Until then.
    pub until: Timestamp,
}

/// How long silence may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Patience {
    /// Until a machine is paused; `None`: for ever.
    pub pause_after: Option<SignedDuration>,
    /// From then on until it is ended; `None`: for ever.
    pub retire_after: Option<SignedDuration>,
}

/// What is known of a machine's being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traces {
    /// Its presence row.
    pub presence: Presence,
    /// When its newest credential was issued: a machine that calls without a channel is heard of by that.
    pub issued: Option<Timestamp>,
}

/// What is to become of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Due {
    /// It is to be paused.
    Pause,
    /// It is to be ended.
    Retire,
}

impl Due {
    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Retire => "retire",
        }
    }
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

/// The reaper takes nobody of a tenant, since so many were due at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Since when.
    pub since: Timestamp,
    /// How many were due then.
    pub due: u64,
    /// Out of so many.
    pub fleet: u64,
}

/// The stretch that a look at this moment belongs to: one that went on until just now, or a new one. A clock that was put
/// back begins a new one, also where that time was watched before.
pub fn watched(stretches: &[Watched], now: Timestamp) -> Watched {
    let goes_on = |stretch: &&Watched| stretch.until <= now && now.duration_since(stretch.until) <= BLINK;
    match stretches.iter().filter(goes_on).max_by_key(|stretch| stretch.until) {
        Some(last) => Watched { until: now, ..*last },
        None => Watched { began: now, until: now },
    }
}

/// Whether somebody who has watched for this stretch, without a break, may take anybody.
pub fn is_settled(own: Watched) -> bool {
    own.until.duration_since(own.began) >= SETTLING
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

/// When a machine was last heard of, as far as anybody knows.
pub fn last_heard(machine: &Machine, traces: Traces) -> Timestamp {
    let entered = machine.enrolled_at.into_iter().chain(machine.lineage.at);
    let known = entered.chain(traces.presence.last_seen).chain(traces.issued);
    // Whom an operator resumed or restored has its patience anew.
    let since = matches!(machine.state, MachineState::Active(_)).then(|| machine.state.since());
    known.chain(since).max().unwrap_or(machine.created_at)
}

/// What silence is leading to, since when it counts towards that, and how long it may last.
fn towards(
    machine: &Machine,
    traces: Traces,
    patience: Patience,
) -> Option<(Due, Timestamp, SignedDuration)> {
    let heard = last_heard(machine, traces);
    match &machine.state {
        MachineState::Active(_) => Some((Due::Pause, heard, patience.pause_after?)),
        MachineState::Suspended(Suspended { since, cause: SuspendCause::Silent }) => {
            // Whoever pauses nobody ends nobody: what is paused waits until the reaper is at work again.
            patience.pause_after?;
            Some((Due::Retire, heard.max(*since), patience.retire_after?))
        }
        MachineState::Pending(_) | MachineState::Suspended(_) | MachineState::Retired(_) => None,
    }
}

/// What is to become of a machine, and when it was last heard of. Whoever is online is not silent; whom an operator paused is
/// the operator's.
pub fn due(
    machine: &Machine,
    traces: Traces,
    patience: Patience,
    (stretches, now): (&[Watched], Timestamp),
) -> Option<(Due, Timestamp)> {
    let (what, since, patience) = towards(machine, traces, patience).filter(|_| !traces.presence.online)?;
    (silence(stretches, since, now) >= patience).then(|| (what, last_heard(machine, traces)))
}

/// When a machine is due for what silence leads to, if nobody hears of it and somebody watches until then. Never in the past:
/// one that is due already may have to wait for its turn.
pub fn due_at(
    machine: &Machine,
    traces: Traces,
    patience: Patience,
    (stretches, now): (&[Watched], Timestamp),
) -> Option<Timestamp> {
    let (_, since, patience) = towards(machine, traces, patience).filter(|_| !traces.presence.online)?;
    let left = patience.checked_sub(silence(stretches, since, now))?;
    now.checked_add(left.max(SignedDuration::ZERO)).ok()
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
    Run::Take(due.into_iter().take(share(fleet)).map(|(id, what, _)| (id, what)).collect())
}

/// So many of a fleet a run takes at most.
pub fn share(fleet: u64) -> usize {
    usize::try_from((fleet / 100).max(AT_LEAST)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
