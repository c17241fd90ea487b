//! A world that answers at random: whatever happens, the agent keeps its identity and comes back.

use proptest::prelude::*;

use super::*;

fn harmless() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        any::<Option<u32>>().prop_map(|retry_after| Verdict::Later { what: "503".into(), retry_after }),
        Just(Verdict::Untrusted { what: "tls".into() }),
        Just(Verdict::ClockOff { what: "expired".into() }),
        Just(Verdict::Disk { what: "full".into() }),
        Just(Verdict::CertificateRefused),
        Just(Verdict::Gone),
        Just(Verdict::Suspended),
        Just(Verdict::RotationNeeded),
        Just(Verdict::KeyTaken),
        Just(Verdict::NotAuthenticated),
        Just(told("not_entitled")),
        Just(told("clock_skew")),
        Just(told("rejected")),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let timer =
        prop_oneof![Just(Timer::Enroll), Just(Timer::Renew), Just(Timer::Rotate), Just(Timer::Channel)];
    let standing = prop_oneof![Just(Standing::Active), Just(Standing::Suspended)];
    let order =
        prop_oneof![Just(Order::Renew), Just(Order::Rotate), Just(Order::Suspend), Just(Order::Resume)];
    prop_oneof![
        Just(Event::Started),
        timer.prop_map(Event::Due),
        (0..100_000i64).prop_map(|s| Event::Renewed(life(s))),
        harmless().prop_map(Event::RenewFailed),
        harmless().prop_map(Event::EnrollFailed),
        standing.prop_map(|standing| Event::ChannelOpened { standing }),
        Just(Event::Certified),
        harmless().prop_map(Event::RotateFailed),
        (0..100_000i64).prop_map(next_opened),
        harmless().prop_map(Event::NextClosed),
        // What the server says to a next key ends no identity, whatever it is.
        Just(Event::NextClosed(told("revoked"))),
        Just(Event::Settled),
        harmless().prop_map(Event::SettleFailed),
        Just(Event::Confirmed),
        Just(Event::Forgotten),
        harmless().prop_map(Event::ConfirmFailed),
        harmless().prop_map(Event::ChannelClosed),
        (any::<u64>(), order).prop_map(|(id, order)| Event::Ordered { id, order }),
    ]
}

fn next_opened(second: i64) -> Event {
    Event::NextOpened { standing: Standing::Active, life: life(second), made_at: at(second) }
}

fn steps() -> impl Strategy<Value = Option<Step>> {
    prop::option::of(prop_oneof![Just(Step::Ask), Just(Step::Use), Just(Step::Settle), Just(Step::Confirm)])
}

fn in_step(open: Option<Step>) -> Agent {
    let rotate_after = Some(SignedDuration::from_secs(30 * DAY));
    Agent::enrolled(life(0), Standing::Active, Keys { made_at: at(0), rotate_after, open, untried: false })
}

/// What is under way: requests without an answer yet, and timers that will fire.
#[derive(Default)]
struct World {
    renewing: bool,
    /// The step of a rotation.
    rotating: Option<Step>,
    swapping: bool,
    forgetting: bool,
    opening: bool,
    up: bool,
    /// In the order in which they were set.
    timers: std::collections::VecDeque<Timer>,
}

impl World {
    fn carry_out(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Renew(_) => {
                    assert!(!matches!(self.rotating, Some(Step::Ask | Step::Use)), "both at a time");
                    self.renewing = true;
                }
                Effect::Rotate | Effect::TryNext => {
                    assert!(!self.renewing, "both at a time");
                    let step = if *effect == Effect::Rotate { Step::Ask } else { Step::Use };
                    self.rotating = Some(step);
                }
                Effect::Settle => self.rotating = Some(Step::Settle),
                Effect::Confirm => self.rotating = Some(Step::Confirm),
                Effect::Forget => self.forgetting = true,
                Effect::TakeNext => (self.up, self.opening) = (true, false),
                Effect::Swap => {
                    (self.swapping, self.up, self.opening, self.renewing) = (true, false, false, false);
                }
                Effect::OpenChannel => self.opening = true,
                Effect::Wake { timer, after } => {
                    assert!(*after <= MAX_RETRY_AFTER.mul_f64(1.21), "{after:?}");
                    self.timers.retain(|set| set != timer);
                    self.timers.push_back(*timer);
                }
                Effect::SetAside(ending) | Effect::Stop(ending) => panic!("lost its identity: {ending:?}"),
                _ => {}
            }
        }
    }

    /// The next thing to happen: mostly a failure of what is under way.
    fn next(&mut self, verdict: Verdict, well: bool, now: i64) -> Event {
        if std::mem::take(&mut self.swapping) {
            return Event::Swapped(Some(life(now)));
        }
        if std::mem::take(&mut self.forgetting) {
            return if well { Event::Forgotten } else { Event::ConfirmFailed(verdict) };
        }
        if let Some(step) = self.rotating.take() {
            return self.rotated(step, verdict, well, now);
        }
        if std::mem::take(&mut self.opening) {
            self.up = well;
            return if well {
                Event::ChannelOpened { standing: Standing::Active }
            } else {
                Event::ChannelClosed(verdict)
            };
        }
        if std::mem::take(&mut self.renewing) {
            return if well { Event::Renewed(life(now)) } else { Event::RenewFailed(verdict) };
        }
        if let Some(timer) = self.timers.pop_front() {
            return Event::Due(timer);
        }
        assert!(std::mem::take(&mut self.up), "nothing is under way: the agent would sleep for ever");
        Event::ChannelClosed(verdict)
    }
}

impl World {
    fn rotated(&mut self, step: Step, verdict: Verdict, well: bool, now: i64) -> Event {
        match (step, well) {
            (Step::Ask, true) => Event::Certified,
            (Step::Ask, false) => Event::RotateFailed(verdict),
            (Step::Use, true) => next_opened(now),
            (Step::Use, false) => Event::NextClosed(verdict),
            (Step::Settle, true) => Event::Settled,
            (Step::Settle, false) => Event::SettleFailed(verdict),
            (Step::Confirm, true) => Event::Confirmed,
            (Step::Confirm, false) => Event::ConfirmFailed(verdict),
        }
    }
}

proptest! {
    #[test]
    fn q_14_no_sequence_without_an_authenticated_end_loses_the_identity(
        events in prop::collection::vec((events(), 0..3 * DAY, any::<u32>()), 0..60),
        open in steps(),
    ) {
        let mut agent = in_step(open);
        for (event, now, draw) in events {
            let fresh = Fresh { now: at(now), jitter: Draw(draw), spread: Draw(draw) };
            for effect in agent.step(event, &fresh) {
                prop_assert!(!matches!(effect, Effect::SetAside(_) | Effect::Stop(_)), "{effect:?}");
            }
            prop_assert!(matches!(agent.state(), State::Running(_)));
        }
    }

    #[test]
    fn q_15_after_any_outage_the_agent_comes_back_by_itself(
        outage in prop::collection::vec((harmless(), any::<bool>(), 0..3600i64, any::<u32>()), 0..80),
        start in 0..40 * DAY,
        open in steps(),
    ) {
        let mut agent = in_step(open);
        let (mut world, mut now) = (World::default(), start);
        world.carry_out(&agent.step(Event::Started, &fresh(now)));
        for (verdict, well, pause, draw) in outage {
            now += pause;
            let event = world.next(verdict, well, now);
            let fresh = Fresh { now: at(now), jitter: Draw(draw), spread: Draw(draw) };
            world.carry_out(&agent.step(event, &fresh));
        }
        for _ in 0..24 {
            now += 3600;
            let event = world.next(Verdict::later("lost"), true, now);
            world.carry_out(&agent.step(event, &fresh(now)));
            let State::Running(running) = agent.state() else { panic!("it runs") };
            let certified = !running.life.is_over(at(now));
            let rests = matches!((running.renewal, running.rotation), (Renewal::Planned { .. }, Rotation::Planned { .. }));
            if certified && running.is_up() && rests {
                return Ok(());
            }
        }
        prop_assert!(false, "not back: {:?}", agent.state());
    }
}
