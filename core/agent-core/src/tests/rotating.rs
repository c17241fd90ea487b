//! A rotation step by step, and every way in which it can go wrong.

use super::*;

const MONTH: i64 = 30 * DAY;

fn keys(open: Option<Step>) -> Keys {
    Keys { made_at: at(0), rotate_after: Some(SignedDuration::from_secs(MONTH)), open, untried: false }
}

/// A machine with its channel open, in a rotation of which this is next.
fn at_step(step: Option<Step>) -> Agent {
    let mut agent = Agent::enrolled(life(0), Standing::Active, keys(step));
    agent.step(Event::Started, &fresh(1));
    agent.step(Event::ChannelOpened { standing: Standing::Active }, &fresh(2));
    if step.is_some() {
        agent.step(Event::Due(Timer::Rotate), &fresh(3));
    }
    agent
}

fn state(agent: &Agent) -> &Running {
    let State::Running(running) = agent.state() else { panic!("it ended: {:?}", agent.state()) };
    running
}

fn opened() -> Event {
    Event::NextOpened { standing: Standing::Active, life: life(10), made_at: at(9) }
}

#[test]
fn a_rotation_goes_step_by_step_and_the_present_key_goes_on_until_the_next_has_worked() {
    let mut agent = at_step(None);
    assert_eq!(ordered(&mut agent, 7, Order::Rotate), [Effect::Rotate]);
    assert_eq!(ordered(&mut agent, 8, Order::Rotate), [], "it is under way");
    assert_eq!(agent.step(Event::Certified, &fresh(10)), [Effect::TryNext]);
    assert!(state(&agent).is_up(), "the old channel stays");
    let effects = agent.step(opened(), &fresh(11));
    let Effect::Wake { timer: Timer::Renew, .. } = effects[3] else { panic!("{effects:?}") };
    assert_eq!(effects[..3], [Effect::Acknowledge(8), Effect::TakeNext, Effect::Settle]);
    assert_eq!(effects[4..], [hook(Hook::Renewed, None)]);
    assert_eq!((state(&agent).life, state(&agent).keys.made_at), (life(10), at(9)));
    assert_eq!(ordered(&mut agent, 9, Order::Rotate), [Effect::Acknowledge(9)], "it is carried out");
    assert_eq!(agent.step(Event::Settled, &fresh(12)), [Effect::Confirm]);
    assert_eq!(agent.step(Event::Confirmed, &fresh(13)), [Effect::Forget]);
    let effects = agent.step(Event::Forgotten, &fresh(13));
    assert!(matches!(effects[..], [Effect::Wake { timer: Timer::Rotate, .. }]), "{effects:?}");
    assert!(matches!(state(&agent).rotation, Rotation::Planned { at: Some(next) } if next > at(MONTH / 2)));
}

#[test]
fn q_17_keys_are_rotated_between_half_and_four_fifths_of_what_they_may_live() {
    for (draw, share) in [(0, 0.5), (u32::MAX / 2, 0.65), (u32::MAX, 0.8)] {
        let mut agent = Agent::enrolled(life(0), Standing::Active, keys(None));
        agent.step(Event::Started, &Fresh { spread: Draw(draw), ..fresh(1) });
        let Rotation::Planned { at: Some(next) } = state(&agent).rotation else { panic!("planned") };
        let found = next.as_second() as f64 / MONTH as f64;
        assert!((found - share).abs() < 0.001, "{found}");
    }
}

#[test]
fn a_key_that_is_overdue_at_the_start_is_rotated_within_an_hour() {
    let mut agent = Agent::enrolled(life(2 * MONTH), Standing::Active, Keys { made_at: at(0), ..keys(None) });
    agent.step(Event::Started, &fresh(2 * MONTH));
    let Rotation::Planned { at: Some(next) } = state(&agent).rotation else { panic!("planned") };
    assert!((2 * MONTH..=2 * MONTH + 3600).contains(&next.as_second()), "{next}");
}

#[test]
fn a_key_may_live_for_ever_and_is_rotated_by_order_all_the_same() {
    let mut agent = Agent::enrolled(life(0), Standing::Active, Keys { rotate_after: None, ..keys(None) });
    assert!(
        !agent
            .step(Event::Started, &fresh(1))
            .iter()
            .any(|effect| matches!(effect, Effect::Wake { timer: Timer::Rotate, .. }))
    );
    agent.step(Event::ChannelOpened { standing: Standing::Active }, &fresh(2));
    assert_eq!(agent.step(Event::Due(Timer::Rotate), &fresh(3)), []);
    assert_eq!(ordered(&mut agent, 1, Order::Rotate), [Effect::Rotate]);
}

#[test]
fn a_restart_goes_on_with_the_step_that_the_files_name() {
    for (step, effect) in [
        (Step::Ask, Effect::Rotate),
        (Step::Use, Effect::TryNext),
        (Step::Settle, Effect::Settle),
        (Step::Confirm, Effect::Confirm),
    ] {
        let mut agent = Agent::enrolled(life(0), Standing::Active, keys(Some(step)));
        let effects = agent.step(Event::Started, &fresh(1));
        assert!(effects.contains(&Effect::OpenChannel), "the present key is shown first: {effects:?}");
        assert_eq!(agent.step(Event::Due(Timer::Rotate), &fresh(2)), [effect]);
    }
}

#[test]
fn a_failure_at_any_step_is_tried_again_from_that_step() {
    type Failed = fn(Verdict) -> Event;
    let table: [(Step, Failed, Effect); 4] = [
        (Step::Ask, Event::RotateFailed, Effect::Rotate),
        (Step::Use, Event::NextClosed, Effect::TryNext),
        (Step::Settle, Event::SettleFailed, Effect::Settle),
        (Step::Confirm, Event::ConfirmFailed, Effect::Confirm),
    ];
    let verdicts = [
        Verdict::later("down"),
        Verdict::Disk { what: "full".into() },
        Verdict::Untrusted { what: "tls".into() },
    ];
    for (step, failed, effect) in table {
        for verdict in &verdicts {
            let mut agent = at_step(Some(step));
            for attempt in 1..4 {
                let effects = agent.step(failed(verdict.clone()), &fresh(10));
                assert!(matches!(effects[..], [Effect::Wake { timer: Timer::Rotate, .. }]), "{effects:?}");
                assert_eq!(state(&agent).rotation, Rotation::BackingOff { step, attempt });
                assert!(state(&agent).is_up(), "the channel stays");
                assert_eq!(agent.step(Event::Due(Timer::Rotate), &fresh(11)), std::slice::from_ref(&effect));
            }
        }
    }
}

#[test]
fn a_key_that_is_taken_is_abandoned_for_another_one_once_at_once() {
    let mut agent = at_step(Some(Step::Ask));
    let taken = || Event::RotateFailed(told("key_taken"));
    assert_eq!(agent.step(taken(), &fresh(10)), [Effect::Abandon, Effect::Rotate]);
    let effects = agent.step(taken(), &fresh(11));
    assert!(
        matches!(effects[..], [Effect::Abandon, Effect::Wake { timer: Timer::Rotate, .. }]),
        "{effects:?}"
    );
}

#[test]
fn i_5_a_key_whose_certificates_are_over_for_too_long_enrolls_once_more_before_it_vouches() {
    let mut agent = at_step(Some(Step::Ask));
    let effects = agent.step(Event::RotateFailed(told("credential_expired")), &fresh(10));
    let [Effect::Wake { timer: Timer::Rotate, .. }, ref asks] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(asks, &Effect::Renew(Proof::Enrollment));
    agent.step(Event::Due(Timer::Rotate), &fresh(11));
    assert!(matches!(state(&agent).rotation, Rotation::BackingOff { .. }), "one after the other");
    agent.step(Event::Renewed(life(12)), &fresh(12));
    assert_eq!(agent.step(Event::Due(Timer::Rotate), &fresh(17)), [Effect::Rotate]);
    let effects = agent.step(Event::RotateFailed(told("credential_expired")), &fresh(18));
    assert_eq!(effects.last(), Some(&Effect::Renew(Proof::Enrollment)), "{effects:?}");
    agent.step(Event::RenewFailed(told("requests_not_taken")), &fresh(19));
    agent.step(Event::Due(Timer::Rotate), &fresh(20));
    let effects = agent.step(Event::RotateFailed(Verdict::later("down")), &fresh(21));
    assert!(
        matches!(effects[..], [Effect::Wake { .. }]),
        "an outage says nothing of certificates: {effects:?}"
    );
}

#[test]
fn i_5_where_nothing_is_left_but_a_key_that_the_server_never_heard_of_a_person_is_asked_for() {
    let over = Life { not_before: at(0), not_after: at(0) };
    let lost = |untried| {
        let mut agent =
            Agent::enrolled(over, Standing::Active, Keys { untried, ..keys(Some(Step::Confirm)) });
        assert!(agent.step(Event::Started, &fresh(1)).contains(&Effect::Renew(Proof::Signature)));
        agent
    };
    let unknown = || Event::RenewFailed(told("not_authenticated"));
    let mut agent = lost(true);
    agent.step(Event::RenewFailed(Verdict::later("down")), &fresh(2));
    assert!(matches!(agent.state(), State::Running(_)), "an outage is no word");
    agent.step(Event::Due(Timer::Renew), &fresh(3));
    assert_eq!(agent.step(unknown(), &fresh(4)), [Effect::CloseChannel, Effect::Stop(Ending::KeyLost)]);
    let mut known = lost(true);
    known.step(Event::Renewed(life(5)), &fresh(5));
    known.step(Event::Due(Timer::Renew), &fresh(5 + DAY));
    known.step(unknown(), &fresh(6 + DAY));
    assert!(
        matches!(known.state(), State::Running(_)),
        "it has worked: a server was put back to an older day"
    );
    let mut other = lost(false);
    other.step(unknown(), &fresh(2));
    assert!(matches!(other.state(), State::Running(_)), "another key is left, or a certificate");
}

#[test]
fn a_server_that_does_not_rotate_is_asked_again_after_an_hour_or_so() {
    for verdict in [told("not_found"), told("not_entitled")] {
        let mut agent = at_step(Some(Step::Ask));
        let effects = agent.step(Event::RotateFailed(verdict), &fresh(10));
        let [Effect::Wake { timer: Timer::Rotate, after }] = effects[..] else { panic!("{effects:?}") };
        assert!((2800..4400).contains(&after.as_secs()), "{after:?}");
    }
}

#[test]
fn keys_that_rest_are_asked_about_seldom_and_go_on_at_once_after_the_pause() {
    for (step, failed) in [
        (Step::Ask, Event::RotateFailed(Verdict::Suspended)),
        (Step::Use, Event::NextClosed(Verdict::Suspended)),
    ] {
        let mut agent = at_step(Some(step));
        for second in 10..20 {
            let effects = agent.step(failed.clone(), &fresh(second));
            let [Effect::Wake { timer: Timer::Rotate, after }] = effects[..] else { panic!("{effects:?}") };
            assert!((2800..4400).contains(&after.as_secs()), "{after:?}");
            assert_eq!(
                state(&agent).rotation,
                Rotation::BackingOff { step, attempt: 0 },
                "no failure is counted"
            );
            agent.step(Event::Due(Timer::Rotate), &fresh(second));
        }
        ordered(&mut agent, 6, Order::Suspend);
        agent.step(failed, &fresh(20));
        let effects = agent.step(Event::Ordered { id: 7, order: Order::Resume }, &fresh(21));
        let after = effects.iter().find_map(|effect| match effect {
            Effect::Wake { timer: Timer::Rotate, after } => Some(*after),
            _ => None,
        });
        assert!(after.is_some_and(|after| after.as_secs() < 5), "{effects:?}");
    }
}

#[test]
fn a_machine_without_a_channel_hears_of_a_pause_as_it_asks_for_a_rotation_or_a_renewal() {
    let closed = Event::ChannelClosed(told("rotation_needed"));
    let by_signature = Event::ChannelClosed(Verdict::CertificateRefused);
    for (before, asked) in [
        (closed, Event::RotateFailed(Verdict::Suspended)),
        (by_signature, Event::RenewFailed(Verdict::Suspended)),
    ] {
        let mut agent = Agent::enrolled(life(0), Standing::Active, keys(None));
        agent.step(Event::Started, &fresh(1));
        agent.step(before, &fresh(2));
        let effects = agent.step(asked, &fresh(3));
        assert!(effects.contains(&Effect::Remember(Standing::Suspended)), "{effects:?}");
        let hook = Effect::Hook { hook: Hook::Suspended, acknowledge: None };
        assert!(effects.contains(&hook), "its workload pauses: {effects:?}");
        let seldom = |effect: &Effect| matches!(effect, Effect::Wake { after, .. } if after.as_secs() > 2800);
        assert!(effects.iter().any(seldom), "{effects:?}");
    }
}

#[test]
fn a_next_key_that_will_never_be_one_is_abandoned_and_one_that_is_not_known_is_proposed_again() {
    for code in ["revoked", "superseded", "rotation_needed"] {
        let mut agent = at_step(Some(Step::Use));
        let effects = agent.step(Event::NextClosed(told(code)), &fresh(10));
        assert!(matches!(effects[..], [Effect::Abandon, Effect::Wake { .. }]), "{code}: {effects:?}");
        assert_eq!(agent.step(Event::Due(Timer::Rotate), &fresh(11)), [Effect::Rotate], "{code}");
        assert!(state(&agent).is_up(), "{code} ended no identity");
    }
    for code in ["unknown_machine", "not_authenticated", "credential_expired", "not_entitled"] {
        let mut agent = at_step(Some(Step::Use));
        let effects = agent.step(Event::NextClosed(told(code)), &fresh(10));
        assert!(matches!(effects[..], [Effect::Wake { timer: Timer::Rotate, .. }]), "{code}: {effects:?}");
        assert_eq!(agent.step(Event::Due(Timer::Rotate), &fresh(11)), [Effect::Rotate], "{code}");
    }
}

#[test]
fn a_key_that_may_only_vouch_leads_to_a_rotation_or_to_the_next_key_that_is_there() {
    for (open, effect) in
        [(None, Effect::Rotate), (Some(Step::Ask), Effect::Rotate), (Some(Step::Use), Effect::TryNext)]
    {
        let mut agent = Agent::enrolled(life(0), Standing::Active, keys(open));
        agent.step(Event::Started, &fresh(1));
        let effects = agent.step(Event::ChannelClosed(told("rotation_needed")), &fresh(2));
        assert_eq!(effects.last(), Some(&effect), "{open:?}");
    }
    let mut agent = Agent::enrolled(life(0), Standing::Active, keys(None));
    agent.step(Event::Started, &fresh(3 * DAY));
    let effects = agent.step(Event::RenewFailed(told("rotation_needed")), &fresh(3 * DAY));
    assert_eq!(effects.last(), Some(&Effect::Rotate));
    let mut agent = at_step(Some(Step::Confirm));
    assert_eq!(agent.step(Event::ConfirmFailed(told("rotation_needed")), &fresh(9)), [Effect::Rotate]);
}

#[test]
fn a_renewal_and_a_rotation_wait_for_each_other() {
    let mut agent = at_step(None);
    assert_eq!(ordered(&mut agent, 1, Order::Renew), [Effect::Renew(Proof::Certificate)]);
    let effects = ordered(&mut agent, 2, Order::Rotate);
    assert!(matches!(effects[..], [Effect::Wake { timer: Timer::Rotate, .. }]), "{effects:?}");
    agent.step(Event::Renewed(life(10)), &fresh(11));
    assert_eq!(agent.step(Event::Due(Timer::Rotate), &fresh(12)), [Effect::Rotate]);
    let effects = ordered(&mut agent, 3, Order::Renew);
    assert!(matches!(effects[..], [Effect::Wake { timer: Timer::Renew, .. }]), "{effects:?}");
    agent.step(Event::RotateFailed(Verdict::later("down")), &fresh(13));
    assert_eq!(agent.step(Event::Due(Timer::Renew), &fresh(14)), [Effect::Renew(Proof::Certificate)]);
}

#[test]
fn one_intact_slot_is_never_locked_out_the_other_key_is_shown_before_the_identity_is_given_up() {
    let words = [Event::ChannelClosed, Event::RotateFailed, Event::RenewFailed, Event::ConfirmFailed];
    for word in words {
        for step in [Step::Ask, Step::Use, Step::Settle, Step::Confirm] {
            let mut agent = at_step(Some(step));
            let effects = agent.step(word(told("superseded")), &fresh(10));
            assert_eq!(effects, [Effect::CloseChannel, Effect::Swap]);
            let effects = agent.step(Event::Swapped(Some(life(0))), &fresh(11));
            assert_eq!(effects[0], Effect::OpenChannel);
            assert_eq!(agent.step(Event::Due(Timer::Rotate), &fresh(12)), [], "it is heard first");
            let effects = agent.step(Event::ChannelOpened { standing: Standing::Active }, &fresh(13));
            assert_eq!(effects, [Effect::Settle]);
            assert_eq!(agent.step(Event::Settled, &fresh(14)), [Effect::Confirm]);
        }
    }
}

#[test]
fn a_key_without_a_certificate_that_is_shown_instead_asks_for_one_by_its_signature() {
    let mut agent = at_step(Some(Step::Ask));
    agent.step(Event::ChannelClosed(told("revoked")), &fresh(10));
    let over = Life { not_before: at(0), not_after: at(0) };
    assert_eq!(agent.step(Event::Swapped(Some(over)), &fresh(11)), [Effect::Renew(Proof::Signature)]);
    let effects = agent.step(Event::Renewed(life(11)), &fresh(12));
    assert!(effects.contains(&Effect::OpenChannel) && effects.contains(&Effect::Settle), "{effects:?}");
}

#[test]
fn only_where_both_keys_are_ended_the_identity_is() {
    let ends = |second: &str| {
        let mut agent = at_step(Some(Step::Use));
        agent.step(Event::ChannelClosed(told("superseded")), &fresh(10));
        agent.step(Event::Swapped(Some(life(0))), &fresh(11));
        agent.step(Event::ChannelClosed(told(second)), &fresh(12));
        agent.state().clone()
    };
    assert_eq!(ends("revoked"), State::Ended(Ending::Told(EndReason::Revoked)));
    assert_eq!(ends("unknown_machine"), State::Ended(Ending::Told(EndReason::UnknownMachine)));
    assert!(matches!(ends("credential_expired"), State::Running(_)));
    let mut alone = at_step(Some(Step::Ask));
    alone.step(Event::ChannelClosed(told("revoked")), &fresh(10));
    alone.step(Event::Swapped(None), &fresh(11));
    assert_eq!(alone.state(), &State::Ended(Ending::Told(EndReason::Revoked)));
    let mut without = at_step(None);
    let effects = without.step(Event::ChannelClosed(told("superseded")), &fresh(10));
    assert_eq!(effects.last(), Some(&Effect::Stop(Ending::Told(EndReason::Superseded))));
}

#[test]
fn q_14_a_key_that_the_server_never_heard_of_is_no_way_back_and_its_word_about_the_other_one_counts() {
    let mut agent = at_step(Some(Step::Ask));
    agent.step(Event::ChannelClosed(told("superseded")), &fresh(10));
    let over = Life { not_before: at(0), not_after: at(0) };
    agent.step(Event::Swapped(Some(over)), &fresh(11));
    agent.step(Event::RenewFailed(Verdict::later("down")), &fresh(12));
    assert!(matches!(agent.state(), State::Running(_)), "an outage is no word");
    agent.step(Event::Due(Timer::Renew), &fresh(13));
    agent.step(Event::RenewFailed(told("not_authenticated")), &fresh(14));
    assert_eq!(agent.state(), &State::Ended(Ending::Told(EndReason::Superseded)));
    let mut certified = at_step(Some(Step::Use));
    certified.step(Event::ChannelClosed(told("superseded")), &fresh(10));
    certified.step(Event::Swapped(Some(life(0))), &fresh(11));
    let effects = certified.step(Event::ChannelClosed(told("not_authenticated")), &fresh(12));
    assert_eq!(effects.last(), Some(&Effect::Renew(Proof::Signature)), "its signature is asked before that");
    let mut alone = at_step(None);
    alone.step(Event::RenewFailed(told("not_authenticated")), &fresh(10));
    assert!(matches!(alone.state(), State::Running(_)), "of a key of which nothing was said it is no end");
}

#[test]
fn an_order_that_revokes_is_asked_about_by_the_other_key_too() {
    let mut agent = at_step(Some(Step::Use));
    let effects = ordered(&mut agent, 5, Order::Revoked);
    assert_eq!(effects, [Effect::Acknowledge(5), Effect::CloseChannel, Effect::Swap]);
    agent.step(Event::Swapped(Some(life(0))), &fresh(11));
    agent.step(Event::ChannelClosed(told("superseded")), &fresh(12));
    assert_eq!(agent.state(), &State::Ended(Ending::Revoked));
}

#[test]
fn a_clock_that_is_off_is_set_right_and_the_proposal_repeated_once() {
    let mut agent = at_step(Some(Step::Ask));
    let skew = || Event::RotateFailed(told("clock_skew"));
    assert_eq!(agent.step(skew(), &fresh(10)), [Effect::SetClock(at(DAY)), Effect::Rotate]);
    let effects = agent.step(skew(), &fresh(11));
    assert!(matches!(effects.last(), Some(Effect::Wake { timer: Timer::Rotate, .. })), "{effects:?}");
}

#[test]
fn answers_to_questions_that_were_not_asked_change_nothing() {
    let verdict = || Verdict::later("late");
    let events = [
        Event::Certified,
        Event::RotateFailed(verdict()),
        opened(),
        Event::NextClosed(told("revoked")),
        Event::Settled,
        Event::SettleFailed(verdict()),
        Event::Confirmed,
        Event::Forgotten,
        Event::ConfirmFailed(verdict()),
        Event::Swapped(None),
    ];
    let mut agent = at_step(None);
    let before = agent.clone();
    for event in events {
        assert_eq!(agent.step(event.clone(), &fresh(10)), [], "{event:?}");
        assert_eq!(agent, before, "{event:?}");
    }
}
