//! A known machine: its channel, its orders, its next certificate. Its next key is beside this, in [`rotating`].

use jiff::Timestamp;
use muster_wire::channel::Order;

use crate::agent::{ended, wake};
use crate::answer::Verdict;
use crate::event::{Effect, Event, Hook, Proof, Timer};
use crate::pace::{Fresh, Life, MAX_NAP, backoff};
use crate::rotating;
use crate::state::{Channel, Ending, Renewal, Running, Standing, State};

/// A channel that held this long was a good one: the next failure counts as the first.
const GOOD_CHANNEL_SECONDS: i64 = 60;

/// One step of a known machine.
pub(crate) fn step(mut running: Running, event: Event, fresh: &Fresh) -> (State, Vec<Effect>) {
    let effects = match event {
        Event::Started => start(&mut running, fresh),
        Event::Due(Timer::Renew) => renewal_due(&mut running, fresh),
        Event::Due(Timer::Rotate) => rotating::due(&mut running, fresh),
        Event::Due(Timer::Channel) => channel_due(&mut running),
        Event::Renewed(life) => renewed(&mut running, life, fresh),
        Event::ChannelOpened { standing } => channel_opened(&mut running, standing, fresh),
        Event::ChannelClosed(Verdict::Ended(end))
        | Event::RenewFailed(Verdict::Ended(end))
        | Event::RotateFailed(Verdict::Ended(end))
        | Event::ConfirmFailed(Verdict::Ended(end)) => {
            return rotating::told(running, Ending::Told(end.reason()), None);
        }
        Event::RenewFailed(Verdict::NotAuthenticated) if running.said.is_some() => {
            return rotating::never_known(running);
        }
        Event::RenewFailed(Verdict::NotAuthenticated) if running.keys.untried => return rotating::lost(),
        Event::ChannelClosed(verdict) => channel_closed(&mut running, &verdict, fresh),
        Event::RenewFailed(verdict) => renew_failed(&mut running, &verdict, fresh),
        Event::Certified => rotating::certified(&mut running),
        Event::RotateFailed(verdict) => rotating::ask_failed(&mut running, &verdict, fresh),
        Event::NextOpened { standing, life, made_at } => {
            rotating::next_opened(&mut running, standing, life, made_at, fresh)
        }
        Event::NextClosed(verdict) => rotating::next_closed(&mut running, &verdict, fresh),
        Event::Settled => rotating::settled(&mut running),
        Event::SettleFailed(verdict) | Event::ConfirmFailed(verdict) => {
            rotating::end_failed(&mut running, &verdict, fresh)
        }
        Event::Confirmed => rotating::confirmed(&running),
        Event::Forgotten => rotating::forgotten(&mut running, fresh),
        Event::Swapped(life) => return rotating::swapped(running, life, fresh),
        Event::Ordered { .. } if !running.is_up() => Vec::new(),
        Event::Ordered { id, order } => return obey(running, id, order, fresh),
        Event::Due(Timer::Enroll) | Event::Enrolled { .. } | Event::Held { .. } | Event::EnrollFailed(_) => {
            Vec::new()
        }
    };
    (State::Running(running), effects)
}

fn obey(mut running: Running, id: u64, order: Order, fresh: &Fresh) -> (State, Vec<Effect>) {
    let effects = match order {
        Order::Renew => renew_ordered(&mut running, id, fresh.now),
        Order::Rotate => rotating::ordered(&mut running, id),
        Order::Suspend => stand(&mut running, Standing::Suspended, Some(id), fresh),
        Order::Resume => stand(&mut running, Standing::Active, Some(id), fresh),
        Order::Retire => return ended(Ending::Retired, Some(id)),
        Order::Revoked => return rotating::told(running, Ending::Revoked, Some(id)),
    };
    (State::Running(running), effects)
}

impl Running {
    /// Whether the channel is open.
    pub fn is_up(&self) -> bool {
        matches!(self.channel, Channel::Up { .. })
    }
}

fn start(running: &mut Running, fresh: &Fresh) -> Vec<Effect> {
    let mut effects = begin(running, fresh);
    effects.extend(rotating::start(running, fresh));
    effects
}

/// Shows the key: by its certificate, or by a signature where that is over.
pub(crate) fn begin(running: &mut Running, fresh: &Fresh) -> Vec<Effect> {
    if running.life.is_over(fresh.now) {
        // Expired is not revoked: a signature of the same key gets the next certificate. The channel follows.
        running.channel = Channel::Down { attempt: 0 };
        return vec![ask(running, 0, Proof::Signature)];
    }
    running.channel = Channel::Opening { attempt: 0 };
    vec![Effect::OpenChannel, plan(running, fresh)]
}

pub(crate) fn plan(running: &mut Running, fresh: &Fresh) -> Effect {
    let at = running.life.plan(fresh);
    running.renewal = Renewal::Planned { at };
    nap(at, fresh.now)
}

fn nap(until: Timestamp, now: Timestamp) -> Effect {
    let left = until.duration_since(now).try_into().unwrap_or_default();
    wake(Timer::Renew, MAX_NAP.min(left))
}

fn ask(running: &mut Running, attempt: u32, proof: Proof) -> Effect {
    running.renewal = Renewal::Asking { attempt, proof };
    Effect::Renew(proof)
}

/// Asks by enrolling under the same key, where nothing is asked already.
pub(crate) fn enroll_once_more(running: &mut Running) -> Option<Effect> {
    let attempt = match running.renewal {
        Renewal::Planned { .. } => 0,
        Renewal::BackingOff { attempt } => attempt,
        Renewal::Asking { .. } => return None,
    };
    Some(ask(running, attempt, Proof::Enrollment))
}

/// Asks, unless a rotation is under way: that goes first.
fn ask_in_turn(running: &mut Running, attempt: u32, proof: Proof) -> Effect {
    if running.is_rotating() {
        running.renewal = Renewal::BackingOff { attempt };
        return wake(Timer::Renew, rotating::OTHER_FIRST);
    }
    ask(running, attempt, proof)
}

fn proof_at(life: &Life, now: Timestamp) -> Proof {
    if life.is_over(now) { Proof::Signature } else { Proof::Certificate }
}

fn renewal_due(running: &mut Running, fresh: &Fresh) -> Vec<Effect> {
    let proof = proof_at(&running.life, fresh.now);
    match running.renewal {
        Renewal::Planned { at } if fresh.now < at => vec![nap(at, fresh.now)],
        Renewal::Planned { .. } => vec![ask_in_turn(running, 0, proof)],
        Renewal::BackingOff { attempt } => vec![ask_in_turn(running, attempt, proof)],
        Renewal::Asking { .. } => Vec::new(),
    }
}

fn renew_ordered(running: &mut Running, id: u64, now: Timestamp) -> Vec<Effect> {
    running.ordered = Some(id);
    match running.renewal {
        Renewal::Asking { .. } => Vec::new(),
        Renewal::Planned { .. } | Renewal::BackingOff { .. } => {
            vec![ask_in_turn(running, 0, proof_at(&running.life, now))]
        }
    }
}

fn renewed(running: &mut Running, life: Life, fresh: &Fresh) -> Vec<Effect> {
    (running.life, running.keys.untried) = (life, false);
    let mut effects = vec![Effect::Hook { hook: Hook::Renewed, acknowledge: running.ordered.take() }];
    effects.push(plan(running, fresh));
    // Opens a channel that only waited for this certificate. Where the fresh one is refused too, the channel's own
    // back-off sets the pace, so that the two never drive each other.
    if let Channel::Down { attempt: attempt @ 0..=1 } = running.channel {
        running.channel = Channel::Opening { attempt };
        effects.push(Effect::OpenChannel);
    }
    effects.extend(rotating::came_back(running));
    effects
}

fn renew_failed(running: &mut Running, verdict: &Verdict, fresh: &Fresh) -> Vec<Effect> {
    let Renewal::Asking { attempt, proof } = running.renewal else { return Vec::new() };
    let next = attempt.saturating_add(1);
    match verdict {
        Verdict::CertificateRefused if proof == Proof::Certificate => {
            vec![ask(running, next, Proof::Signature)]
        }
        Verdict::CertificateRefused if proof == Proof::Signature => {
            vec![ask(running, next, Proof::Enrollment)]
        }
        Verdict::ClockSkew { server_time } if attempt == 0 => {
            vec![Effect::SetClock(*server_time), ask(running, next, proof)]
        }
        _ => {
            running.renewal = Renewal::BackingOff { attempt: next };
            let mut effects = set_clock(verdict);
            effects.push(wake(Timer::Renew, backoff(attempt, fresh.jitter, seldom_where_paused(verdict))));
            effects.extend(hear_of_pause(running, verdict, fresh));
            if *verdict == Verdict::RotationNeeded {
                effects.extend(rotating::needed(running));
            }
            effects
        }
    }
}

/// After how long the server is asked again: a pause is not over in a moment.
pub(crate) fn seldom_where_paused(verdict: &Verdict) -> Option<u32> {
    if *verdict == Verdict::Suspended { Some(rotating::SELDOM) } else { verdict.retry_after() }
}

/// Whoever may open no channel is told of a pause by nothing else than what it asks for.
pub(crate) fn hear_of_pause(running: &mut Running, verdict: &Verdict, fresh: &Fresh) -> Vec<Effect> {
    if *verdict != Verdict::Suspended || running.is_up() {
        return Vec::new();
    }
    stand(running, Standing::Suspended, None, fresh)
}

pub(crate) fn set_clock(verdict: &Verdict) -> Vec<Effect> {
    match verdict {
        Verdict::ClockSkew { server_time } => vec![Effect::SetClock(*server_time)],
        _ => Vec::new(),
    }
}

fn channel_due(running: &mut Running) -> Vec<Effect> {
    let Channel::Down { attempt } = running.channel else { return Vec::new() };
    running.channel = Channel::Opening { attempt };
    vec![Effect::OpenChannel]
}

fn channel_opened(running: &mut Running, standing: Standing, fresh: &Fresh) -> Vec<Effect> {
    let Channel::Opening { attempt } = running.channel else { return Vec::new() };
    running.channel = Channel::Up { since: fresh.now, attempt };
    // Orders given while we were away are not repeated one by one: the hello says how things stand.
    let mut effects = stand(running, standing, None, fresh);
    effects.extend(rotating::came_back(running));
    effects
}

fn channel_closed(running: &mut Running, verdict: &Verdict, fresh: &Fresh) -> Vec<Effect> {
    let attempt = match running.channel {
        Channel::Up { since, .. } if fresh.now.duration_since(since).as_secs() >= GOOD_CHANNEL_SECONDS => 0,
        Channel::Up { attempt, .. } | Channel::Opening { attempt } => attempt,
        Channel::Down { .. } => return Vec::new(),
    };
    (running.ordered, running.rotate_ordered) = (None, None);
    running.channel = Channel::Down { attempt: attempt.saturating_add(1) };
    let mut effects = set_clock(verdict);
    effects.push(wake(Timer::Channel, backoff(attempt, fresh.jitter, verdict.retry_after())));
    let planned = matches!(running.renewal, Renewal::Planned { .. });
    // Of the other slot's certificate the server may know nothing, and of its key all the same.
    let is_unknown = *verdict == Verdict::NotAuthenticated && running.said.is_some();
    if (*verdict == Verdict::CertificateRefused || is_unknown) && planned {
        effects.push(ask_in_turn(running, attempt, Proof::Signature));
    }
    if *verdict == Verdict::RotationNeeded {
        effects.extend(rotating::needed(running));
    }
    effects
}

/// Takes over how the server says the machine stands; the hook runs only where that is a change.
pub(crate) fn stand(
    running: &mut Running,
    standing: Standing,
    acknowledge: Option<u64>,
    fresh: &Fresh,
) -> Vec<Effect> {
    if running.standing == standing {
        return acknowledge.map(Effect::Acknowledge).into_iter().collect();
    }
    running.standing = standing;
    let (hook, goes_on) = match standing {
        Standing::Active => (Hook::Resumed, rotating::resumed(running, fresh)),
        Standing::Suspended => (Hook::Suspended, None),
    };
    let effects = [Effect::Remember(standing), Effect::Hook { hook, acknowledge }];
    effects.into_iter().chain(goes_on).collect()
}
