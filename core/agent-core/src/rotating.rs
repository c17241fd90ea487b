//! The next key of a known machine: made and certified, shown, noted, confirmed; and the way back by the other slot.
//!
//! The present key goes on until the next one has worked (I-15). A rotation and a renewal are never under way together.
//! Where the server ends the key that is shown, the key of the other slot is shown before the identity is given up.

use std::time::Duration;

use jiff::Timestamp;

use crate::agent::{ended, wake};
use crate::answer::{EndReason, Verdict};
use crate::event::{Effect, Hook, Timer};
use crate::pace::{Fresh, Life, MAX_NAP, MAX_RETRY_AFTER, backoff, rotation_point};
use crate::running::{self, set_clock, stand};
use crate::state::{Channel, Ending, Renewal, Rotation, Running, Standing, State, Step};

/// How long one of renewal and rotation waits before it looks whether the other is done.
pub(crate) const OTHER_FIRST: Duration = Duration::from_secs(5);
/// A server that does not rotate, or not as long as a pause lasts, is asked again after this many seconds.
pub(crate) const SELDOM: u32 = MAX_RETRY_AFTER.as_secs() as u32;

impl Running {
    /// Whether a request of a rotation is under way that must not meet a renewal.
    pub(crate) fn is_rotating(&self) -> bool {
        matches!(self.rotation, Rotation::Doing { step: Step::Ask | Step::Use, .. })
    }

    fn step(&self) -> Option<Step> {
        match self.rotation {
            Rotation::Planned { .. } => None,
            Rotation::Doing { step, .. } | Rotation::BackingOff { step, .. } => Some(step),
        }
    }
}

/// At the start: goes on with what was under way, else plans.
pub(crate) fn start(running: &mut Running, fresh: &Fresh) -> Vec<Effect> {
    match running.keys.open {
        None => plan(running, fresh),
        Some(step) => {
            running.rotation = Rotation::BackingOff { step, attempt: 0 };
            vec![wake(Timer::Rotate, backoff(0, fresh.jitter, None))]
        }
    }
}

fn plan(running: &mut Running, fresh: &Fresh) -> Vec<Effect> {
    let keys = running.keys;
    let at = keys.rotate_after.map(|after| rotation_point(keys.made_at, after, fresh));
    running.rotation = Rotation::Planned { at };
    at.map(|at| nap(at, fresh.now)).into_iter().collect()
}

fn nap(until: Timestamp, now: Timestamp) -> Effect {
    let left = until.duration_since(now).try_into().unwrap_or_default();
    wake(Timer::Rotate, MAX_NAP.min(left))
}

/// The timer fired.
pub(crate) fn due(running: &mut Running, fresh: &Fresh) -> Vec<Effect> {
    match running.rotation {
        Rotation::Planned { at: Some(at) } if fresh.now < at => vec![nap(at, fresh.now)],
        Rotation::Planned { at: Some(_) } => go(running, Step::Ask, 0),
        // The key of the other slot is shown: whether it works, its channel or its certificate will tell.
        Rotation::BackingOff { .. } if running.said.is_some() => Vec::new(),
        Rotation::BackingOff { step, attempt } => go(running, step, attempt),
        Rotation::Planned { at: None } | Rotation::Doing { .. } => Vec::new(),
    }
}

fn go(running: &mut Running, step: Step, attempt: u32) -> Vec<Effect> {
    if step <= Step::Use && matches!(running.renewal, Renewal::Asking { .. }) {
        running.rotation = Rotation::BackingOff { step, attempt };
        return vec![wake(Timer::Rotate, OTHER_FIRST)];
    }
    running.rotation = Rotation::Doing { step, attempt };
    vec![match step {
        Step::Ask => Effect::Rotate,
        Step::Use => Effect::TryNext,
        Step::Settle => Effect::Settle,
        Step::Confirm => Effect::Confirm,
    }]
}

fn back_off(running: &mut Running, step: Step, verdict: &Verdict, fresh: &Fresh) -> Vec<Effect> {
    let attempt = match running.rotation {
        Rotation::Doing { attempt, .. } | Rotation::BackingOff { attempt, .. } => attempt,
        Rotation::Planned { .. } => 0,
    };
    // A pause that lets the keys rest is no failure: its end is told, and asked about should that be lost.
    let next = if *verdict == Verdict::Suspended { 0 } else { attempt.saturating_add(1) };
    running.rotation = Rotation::BackingOff { step, attempt: next };
    let retry_after = match verdict {
        // Asked again now and then: the server may be an older one that is replaced, or change its mind.
        Verdict::Gone | Verdict::Refused { .. } if step == Step::Ask => Some(SELDOM),
        _ => running::seldom_where_paused(verdict),
    };
    let mut effects = set_clock(verdict);
    effects.push(wake(Timer::Rotate, backoff(attempt, fresh.jitter, retry_after)));
    effects.extend(running::hear_of_pause(running, verdict, fresh));
    effects
}

/// The server orders a rotation. One that is under way is what it orders; where its key has worked, it is carried out.
pub(crate) fn ordered(running: &mut Running, id: u64) -> Vec<Effect> {
    if running.step() >= Some(Step::Settle) {
        return vec![Effect::Acknowledge(id)];
    }
    running.rotate_ordered = Some(id);
    match running.rotation {
        Rotation::Doing { .. } => Vec::new(),
        Rotation::BackingOff { step, .. } => go(running, step, 0),
        Rotation::Planned { .. } => go(running, Step::Ask, 0),
    }
}

/// The server takes the present key for a rotation alone: the next one is in its place already, or is lost.
pub(crate) fn needed(running: &mut Running) -> Vec<Effect> {
    running.said = None;
    match running.rotation {
        Rotation::Doing { step: Step::Ask | Step::Use | Step::Settle, .. } => Vec::new(),
        Rotation::BackingOff { step: step @ (Step::Ask | Step::Use | Step::Settle), attempt } => {
            go(running, step, attempt)
        }
        _ => go(running, Step::Ask, 0),
    }
}

/// The machine is not paused any more: what rested goes on.
pub(crate) fn resumed(running: &Running, fresh: &Fresh) -> Option<Effect> {
    let rests = matches!(running.rotation, Rotation::BackingOff { attempt: 0, .. });
    rests.then(|| wake(Timer::Rotate, backoff(0, fresh.jitter, None)))
}

/// The next key has its certificate.
pub(crate) fn certified(running: &mut Running) -> Vec<Effect> {
    match running.rotation {
        Rotation::Doing { step: Step::Ask, attempt } => go(running, Step::Use, attempt),
        _ => Vec::new(),
    }
}

/// Asking for a certificate failed.
pub(crate) fn ask_failed(running: &mut Running, verdict: &Verdict, fresh: &Fresh) -> Vec<Effect> {
    let Rotation::Doing { step: Step::Ask, attempt } = running.rotation else { return Vec::new() };
    let mut effects = match verdict {
        Verdict::KeyTaken => vec![Effect::Abandon],
        Verdict::ClockSkew { .. } => set_clock(verdict),
        Verdict::CertificateRefused => return certify_first(running, verdict, fresh),
        _ => return back_off(running, Step::Ask, verdict, fresh),
    };
    // Once at once; a second complaint is about something else.
    effects.extend(match attempt {
        0 => go(running, Step::Ask, 1),
        _ => back_off(running, Step::Ask, verdict, fresh),
    });
    effects
}

/// The certificates of the key that is shown have been over for too long, so it vouches for nothing: it enrolls once more,
/// as the same machine. A key that may only vouch is renewed by nothing else.
fn certify_first(running: &mut Running, verdict: &Verdict, fresh: &Fresh) -> Vec<Effect> {
    let mut effects = back_off(running, Step::Ask, verdict, fresh);
    effects.extend(running::enroll_once_more(running));
    effects
}

/// The next key has worked: it is the present one from now on, first in memory, then on disk.
pub(crate) fn next_opened(
    running: &mut Running,
    standing: Standing,
    life: Life,
    made_at: Timestamp,
    fresh: &Fresh,
) -> Vec<Effect> {
    let Rotation::Doing { step: Step::Use, .. } = running.rotation else { return Vec::new() };
    // By the channel on which it was ordered, before that one is closed.
    let mut effects: Vec<_> = running.rotate_ordered.take().map(Effect::Acknowledge).into_iter().collect();
    effects.push(Effect::TakeNext);
    (running.life, running.keys.made_at) = (life, made_at);
    running.ordered = None;
    running.channel = Channel::Up { since: fresh.now, attempt: 0 };
    effects.extend(go(running, Step::Settle, 0));
    effects.push(running::plan(running, fresh));
    effects.push(Effect::Hook { hook: Hook::Renewed, acknowledge: None });
    effects.extend(stand(running, standing, None, fresh));
    effects
}

/// The next key did not work.
pub(crate) fn next_closed(running: &mut Running, verdict: &Verdict, fresh: &Fresh) -> Vec<Effect> {
    let Rotation::Doing { step: Step::Use, .. } = running.rotation else { return Vec::new() };
    match verdict {
        // Its certificate is not known or too old: the same proposal gets another one.
        Verdict::CertificateRefused | Verdict::NotAuthenticated | Verdict::Refused { .. } => {
            back_off(running, Step::Ask, &Verdict::later("the next key is not taken"), fresh)
        }
        Verdict::Ended(end) if end.reason() == EndReason::UnknownMachine => {
            back_off(running, Step::Ask, verdict, fresh)
        }
        // It will never be one. What that says of the present key, that one is told itself.
        Verdict::Ended(_) | Verdict::RotationNeeded => {
            let mut effects = vec![Effect::Abandon];
            effects.extend(back_off(running, Step::Ask, verdict, fresh));
            effects
        }
        _ => back_off(running, Step::Use, verdict, fresh),
    }
}

/// The present key is noted as such.
pub(crate) fn settled(running: &mut Running) -> Vec<Effect> {
    match running.rotation {
        Rotation::Doing { step: Step::Settle, .. } => go(running, Step::Confirm, 0),
        _ => Vec::new(),
    }
}

/// It could not be noted, or the server not be told.
pub(crate) fn end_failed(running: &mut Running, verdict: &Verdict, fresh: &Fresh) -> Vec<Effect> {
    match running.rotation {
        Rotation::Doing { step: Step::Confirm, .. } if *verdict == Verdict::RotationNeeded => needed(running),
        Rotation::Doing { step: step @ (Step::Settle | Step::Confirm), .. } => {
            back_off(running, step, verdict, fresh)
        }
        _ => Vec::new(),
    }
}

/// The server knows which key is in the durable slot: the key before is of no use any more.
pub(crate) fn confirmed(running: &Running) -> Vec<Effect> {
    match running.rotation {
        Rotation::Doing { step: Step::Confirm, .. } => vec![Effect::Forget],
        _ => Vec::new(),
    }
}

/// Nothing is left of the key before.
pub(crate) fn forgotten(running: &mut Running, fresh: &Fresh) -> Vec<Effect> {
    match running.rotation {
        Rotation::Doing { step: Step::Confirm, .. } => plan(running, fresh),
        _ => Vec::new(),
    }
}

/// The server ended the key that is shown. The other one is asked before the identity is given up.
pub(crate) fn told(mut running: Running, ending: Ending, acknowledge: Option<u64>) -> (State, Vec<Effect>) {
    if let Some(said) = running.said.take() {
        return ended(weightier(said, ending), acknowledge);
    }
    if running.step().is_none() {
        return ended(ending, acknowledge);
    }
    running.said = Some(ending);
    (running.channel, running.ordered, running.rotate_ordered) = (Channel::Down { attempt: 0 }, None, None);
    running.rotation = Rotation::BackingOff { step: Step::Settle, attempt: 0 };
    let mut effects: Vec<_> = acknowledge.map(Effect::Acknowledge).into_iter().collect();
    effects.extend([Effect::CloseChannel, Effect::Swap]);
    (State::Running(running), effects)
}

/// The other key is shown from now on; what is done for the first time at a start is done again.
pub(crate) fn swapped(mut running: Running, life: Option<Life>, fresh: &Fresh) -> (State, Vec<Effect>) {
    match (life, running.said.take()) {
        (None, Some(said)) => ended(said, None),
        (Some(life), said @ Some(_)) => {
            (running.life, running.said) = (life, said);
            let effects = running::begin(&mut running, fresh);
            (State::Running(running), effects)
        }
        (_, None) => (State::Running(running), Vec::new()),
    }
}

/// The server knows nothing of the other slot's key, not even its signature: it never heard of it, and what it said of the
/// key before is its last word.
pub(crate) fn never_known(mut running: Running) -> (State, Vec<Effect>) {
    match running.said.take() {
        Some(said) => ended(said, None),
        None => (State::Running(running), Vec::new()),
    }
}

/// The present key was lost before the next one had reached the server. A person must look; nothing has ended, so the
/// workload goes on and every file stays.
pub(crate) fn lost() -> (State, Vec<Effect>) {
    (State::Ended(Ending::KeyLost), vec![Effect::CloseChannel, Effect::Stop(Ending::KeyLost)])
}

/// The key of the other slot works: it is the present one.
pub(crate) fn came_back(running: &mut Running) -> Vec<Effect> {
    match running.said.take() {
        Some(_) => go(running, Step::Settle, 0),
        None => Vec::new(),
    }
}

/// Of two words, the one that says more: that a newer key took the place of one says nothing of the machine.
fn weightier(first: Ending, second: Ending) -> Ending {
    match first {
        Ending::Told(EndReason::Superseded) => second,
        _ => first,
    }
}
