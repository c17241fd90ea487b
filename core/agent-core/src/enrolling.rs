//! From a bare machine to a known one: asking, waiting for a person, giving up.

use crate::agent::wake;
use crate::answer::{EndReason, Verdict};
use crate::event::{Effect, Event, Hook, Timer};
use crate::pace::{Fresh, Life, backoff};
use crate::running;
use crate::state::{Ending, Keys, Patience, Running, Standing, State};

/// A hold is polled at least this often and at most every second, whatever the server says.
const MAX_POLL: u32 = 300;

/// A hold that is waited on.
pub(crate) struct Hold {
    pub(crate) hold: String,
    pub(crate) poll_after: u32,
    pub(crate) attempt: u32,
}

/// No answer yet.
pub(crate) fn asking(
    attempt: u32,
    patience: Patience,
    keys: Keys,
    event: Event,
    fresh: &Fresh,
) -> (State, Vec<Effect>) {
    match event {
        Event::Started | Event::Due(Timer::Enroll) => (State::Enrolling { attempt }, vec![Effect::Enroll]),
        Event::Enrolled { life, standing } => enrolled(life, standing, keys, fresh),
        Event::Held { hold, poll_after } => held(hold, poll_after, patience, fresh),
        Event::EnrollFailed(verdict) => match verdict {
            // A hold that is gone while nothing waits on it is an odd answer.
            Verdict::Gone => asking_failed(attempt, patience, Verdict::later("answered not_found"), fresh),
            verdict => asking_failed(attempt, patience, verdict, fresh),
        },
        _ => (State::Enrolling { attempt }, Vec::new()),
    }
}

/// A person decides.
pub(crate) fn waiting(
    hold: Hold,
    patience: Patience,
    keys: Keys,
    event: Event,
    fresh: &Fresh,
) -> (State, Vec<Effect>) {
    let Hold { hold, poll_after, attempt } = hold;
    match event {
        Event::Started | Event::Due(Timer::Enroll) => {
            let poll = Effect::Poll { hold: hold.clone() };
            (State::Waiting { hold, poll_after, attempt }, vec![poll])
        }
        Event::Enrolled { life, standing } => enrolled(life, standing, keys, fresh),
        Event::Held { hold, poll_after } => held(hold, poll_after, patience, fresh),
        // The hold is over without a decision: the same request, by the same key, makes or finds another.
        Event::EnrollFailed(Verdict::Gone) => (State::Enrolling { attempt: 0 }, vec![Effect::Enroll]),
        Event::EnrollFailed(verdict) => match decided(&verdict, attempt, patience) {
            Some(ending) => finish(ending),
            None => {
                let (attempt, effects) = again(attempt, &verdict, fresh, Effect::Poll { hold: hold.clone() });
                (State::Waiting { hold, poll_after, attempt }, effects)
            }
        },
        _ => (State::Waiting { hold, poll_after, attempt }, Vec::new()),
    }
}

fn enrolled(life: Life, standing: Standing, keys: Keys, fresh: &Fresh) -> (State, Vec<Effect>) {
    let mut effects = vec![Effect::Hook { hook: Hook::Enrolled, acknowledge: None }];
    if standing == Standing::Suspended {
        effects.push(Effect::Hook { hook: Hook::Suspended, acknowledge: None });
    }
    let (state, more) = running::step(Running::new(life, standing, keys), Event::Started, fresh);
    effects.extend(more);
    (state, effects)
}

fn held(hold: String, poll_after: u32, patience: Patience, fresh: &Fresh) -> (State, Vec<Effect>) {
    if patience == Patience::Once {
        return (State::Ended(Ending::Pending), vec![Effect::Stop(Ending::Pending)]);
    }
    let poll_after = poll_after.clamp(1, MAX_POLL);
    let after = backoff(0, fresh.jitter, Some(poll_after));
    (State::Waiting { hold, poll_after, attempt: 0 }, vec![wake(Timer::Enroll, after)])
}

fn asking_failed(attempt: u32, patience: Patience, verdict: Verdict, fresh: &Fresh) -> (State, Vec<Effect>) {
    match decided(&verdict, attempt, patience) {
        Some(ending) => finish(ending),
        None => {
            let (attempt, effects) = again(attempt, &verdict, fresh, Effect::Enroll);
            (State::Enrolling { attempt }, effects)
        }
    }
}

/// Whether a failure ends the enrollment.
fn decided(verdict: &Verdict, attempt: u32, patience: Patience) -> Option<Ending> {
    match verdict {
        Verdict::Ended(end) if end.reason() == EndReason::Revoked => Some(Ending::Told(EndReason::Revoked)),
        Verdict::Rejected { reason } => Some(Ending::Rejected { reason: reason.clone() }),
        Verdict::Refused { .. } => Some(Ending::GaveUp(verdict.clone())),
        Verdict::Untrusted { .. } | Verdict::ClockOff { .. } | Verdict::Disk { .. }
            if patience != Patience::Service =>
        {
            Some(Ending::GaveUp(verdict.clone()))
        }
        Verdict::ClockSkew { .. } if attempt == 0 => None,
        _ if patience == Patience::Once => Some(Ending::GaveUp(verdict.clone())),
        _ => None,
    }
}

/// An enrollment that is over. A decided no is remembered, so that nobody asks again by accident.
fn finish(ending: Ending) -> (State, Vec<Effect>) {
    match ending {
        Ending::Told(_) | Ending::Rejected { .. } => {
            let effects = vec![Effect::SetAside(ending.clone()), Effect::Stop(ending.clone())];
            (State::Ended(ending), effects)
        }
        other => (State::Ended(other.clone()), vec![Effect::Stop(other)]),
    }
}

fn again(attempt: u32, verdict: &Verdict, fresh: &Fresh, repeat: Effect) -> (u32, Vec<Effect>) {
    if let Verdict::ClockSkew { server_time } = verdict {
        let mut effects = vec![Effect::SetClock(*server_time)];
        // Once at once; a second complaint is not about the clock alone.
        effects.push(match attempt {
            0 => repeat,
            _ => wake(Timer::Enroll, backoff(attempt, fresh.jitter, None)),
        });
        return (attempt.saturating_add(1), effects);
    }
    let after = backoff(attempt, fresh.jitter, verdict.retry_after());
    (attempt.saturating_add(1), vec![wake(Timer::Enroll, after)])
}
