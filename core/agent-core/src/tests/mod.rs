//! Tables of single steps, and a world that answers at random.

mod rotating;
mod worlds;

use jiff::{SignedDuration, Timestamp};
use muster_wire::channel::Order;

use crate::*;

const DAY: i64 = 24 * 3600;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn fresh(seconds: i64) -> Fresh {
    Fresh { now: at(seconds), jitter: Draw(u32::MAX / 2), spread: Draw(u32::MAX / 2) }
}

fn life(start: i64) -> Life {
    Life { not_before: at(start), not_after: at(start + DAY) }
}

fn told(code: &str) -> Verdict {
    let body = format!(
        r#"{{"type":"t","title":"T","status":401,"code":"{code}","action":"stop","help":"H",
            "server_time":"1970-01-02T00:00:00Z"}}"#
    );
    let content_type = Some("application/problem+json");
    Answer { status: 401, content_type, retry_after: None, body: body.as_bytes(), authenticated: true }
        .classify()
}

fn enrolled() -> Agent {
    let keys = Keys { made_at: at(0), rotate_after: None, open: None, untried: false };
    Agent::enrolled(life(0), Standing::Active, keys)
}

fn running() -> Agent {
    let mut agent = enrolled();
    agent.step(Event::Started, &fresh(1));
    agent
}

fn up() -> Agent {
    let mut agent = running();
    agent.step(Event::ChannelOpened { standing: Standing::Active }, &fresh(2));
    agent
}

fn hook(hook: Hook, acknowledge: Option<u64>) -> Effect {
    Effect::Hook { hook, acknowledge }
}

fn ordered(agent: &mut Agent, id: u64, order: Order) -> Vec<Effect> {
    agent.step(Event::Ordered { id, order }, &fresh(10))
}

#[test]
fn a_bare_machine_asks_waits_and_runs() {
    let mut agent = Agent::new(Patience::Service);
    assert_eq!(agent.step(Event::Started, &fresh(0)), [Effect::Enroll]);
    let held = Event::Held { hold: "hld_1".into(), poll_after: 5 };
    assert!(matches!(agent.step(held, &fresh(0))[..], [Effect::Wake { timer: Timer::Enroll, .. }]));
    let poll = agent.step(Event::Due(Timer::Enroll), &fresh(6));
    assert_eq!(poll, [Effect::Poll { hold: "hld_1".into() }]);
    let enrolled = Event::Enrolled { life: life(0), standing: Standing::Active };
    let effects = agent.step(enrolled, &fresh(7));
    assert_eq!(effects[..2], [hook(Hook::Enrolled, None), Effect::OpenChannel]);
    assert!(matches!(effects[2], Effect::Wake { timer: Timer::Renew, .. }));
}

#[test]
fn a_rejected_agent_stops_and_remembers() {
    for mut agent in [Agent::new(Patience::Service), Agent::waiting(Patience::Service, "hld_1".into(), 5)] {
        agent.step(Event::Started, &fresh(0));
        let effects = agent.step(Event::EnrollFailed(told("rejected")), &fresh(1));
        let ending = Ending::Rejected { reason: None };
        assert_eq!(effects, [Effect::SetAside(ending.clone()), Effect::Stop(ending)]);
        assert!(agent.step(Event::Due(Timer::Enroll), &fresh(2)).is_empty(), "it does not ask again");
    }
}

#[test]
fn an_expired_hold_is_asked_for_again_by_the_same_request() {
    let mut agent = Agent::waiting(Patience::Service, "hld_1".into(), 5);
    assert_eq!(agent.step(Event::EnrollFailed(told("not_found")), &fresh(0)), [Effect::Enroll]);
}

#[test]
fn patience_decides_what_an_enrollment_sits_out() {
    let untrusted = || Verdict::Untrusted { what: "pin".into() };
    let stops = |patience, verdict| {
        let mut agent = Agent::new(patience);
        let effects = agent.step(Event::EnrollFailed(verdict), &fresh(0));
        matches!(effects.last(), Some(Effect::Stop(Ending::GaveUp(_))))
    };
    assert!(stops(Patience::Once, Verdict::later("down")));
    assert!(!stops(Patience::Foreground, Verdict::later("down")));
    assert!(stops(Patience::Foreground, untrusted()));
    assert!(!stops(Patience::Service, untrusted()));
    assert!(stops(Patience::Service, told("not_entitled")));
}

#[test]
fn nobody_waits_on_a_hold_who_does_not_want_to() {
    let mut agent = Agent::new(Patience::Once);
    let effects = agent.step(Event::Held { hold: "hld_1".into(), poll_after: 5 }, &fresh(0));
    assert_eq!(effects, [Effect::Stop(Ending::Pending)]);
}

#[test]
fn orders_are_acknowledged_and_repeated_ones_run_no_hook() {
    let mut agent = up();
    let effects = ordered(&mut agent, 1, Order::Suspend);
    assert_eq!(effects, [Effect::Remember(Standing::Suspended), hook(Hook::Suspended, Some(1))]);
    assert_eq!(ordered(&mut agent, 2, Order::Suspend), [Effect::Acknowledge(2)]);
    let effects = ordered(&mut agent, 3, Order::Resume);
    assert_eq!(effects, [Effect::Remember(Standing::Active), hook(Hook::Resumed, Some(3))]);
    assert_eq!(ordered(&mut agent, 4, Order::Renew), [Effect::Renew(Proof::Certificate)]);
    assert_eq!(ordered(&mut agent, 5, Order::Renew), [], "one renewal is under way already");
    let effects = agent.step(Event::Renewed(life(10)), &fresh(11));
    assert_eq!(effects[0], hook(Hook::Renewed, Some(5)));
}

#[test]
fn a_hello_tells_of_a_suspension_that_was_missed() {
    let mut agent = running();
    let effects = agent.step(Event::ChannelOpened { standing: Standing::Suspended }, &fresh(2));
    assert_eq!(effects, [Effect::Remember(Standing::Suspended), hook(Hook::Suspended, None)]);
}

#[test]
fn retire_and_revoke_set_the_files_aside_after_the_hook() {
    for (order, ending) in [(Order::Retire, Ending::Retired), (Order::Revoked, Ending::Revoked)] {
        let mut agent = up();
        let effects = ordered(&mut agent, 9, order);
        let expected = [
            hook(Hook::Retired, Some(9)),
            Effect::SetAside(ending.clone()),
            Effect::CloseChannel,
            Effect::Stop(ending.clone()),
        ];
        assert_eq!(effects, expected);
        assert_eq!(agent.state(), &State::Ended(ending));
    }
}

#[test]
fn orders_count_only_on_an_open_channel() {
    assert_eq!(ordered(&mut running(), 1, Order::Retire), []);
}

#[test]
fn q_15_an_expired_certificate_is_renewed_by_signature_and_the_channel_follows() {
    let mut agent = enrolled();
    let effects = agent.step(Event::Started, &fresh(3 * DAY));
    assert_eq!(effects, [Effect::Renew(Proof::Signature)]);
    let effects = agent.step(Event::Renewed(life(3 * DAY)), &fresh(3 * DAY));
    assert_eq!(effects.last(), Some(&Effect::OpenChannel));
}

#[test]
fn i_5_a_certificate_that_is_not_taken_leads_to_one_signed_renewal_and_one_enrollment_of_the_same_key() {
    let mut agent = up();
    let effects = agent.step(Event::ChannelClosed(told("credential_expired")), &fresh(5));
    assert_eq!(effects.last(), Some(&Effect::Renew(Proof::Signature)));
    let effects = agent.step(Event::RenewFailed(told("credential_expired")), &fresh(6));
    assert_eq!(effects, [Effect::Renew(Proof::Enrollment)]);
    let effects = agent.step(Event::RenewFailed(told("requests_not_taken")), &fresh(6));
    assert!(matches!(effects[..], [Effect::Wake { timer: Timer::Renew, .. }]), "{effects:?}");
}

#[test]
fn q_16_a_clock_that_is_off_is_corrected_and_the_request_repeated_once() {
    let mut agent = running();
    agent.step(Event::Due(Timer::Renew), &fresh(DAY - 1));
    let effects = agent.step(Event::RenewFailed(told("clock_skew")), &fresh(DAY - 1));
    assert_eq!(effects, [Effect::SetClock(at(DAY)), Effect::Renew(Proof::Certificate)]);
    let effects = agent.step(Event::RenewFailed(told("clock_skew")), &fresh(DAY - 1));
    assert!(matches!(effects[..], [Effect::SetClock(_), Effect::Wake { .. }]), "{effects:?}");
}

#[test]
fn long_waits_are_cut_so_that_a_clock_that_was_set_is_noticed() {
    let mut agent = enrolled();
    let effects = agent.step(Event::Started, &fresh(1));
    let Some(Effect::Wake { after, .. }) = effects.last() else { panic!("{effects:?}") };
    assert!(after.as_secs() <= 600);
    assert!(matches!(agent.step(Event::Due(Timer::Renew), &fresh(601))[..], [Effect::Wake { .. }]));
    let effects = agent.step(Event::Due(Timer::Renew), &fresh(DAY * 2));
    assert_eq!(effects, [Effect::Renew(Proof::Signature)]);
}

#[test]
fn a_channel_that_drops_at_once_backs_off_and_a_good_one_starts_anew() {
    let mut agent = up();
    for (n, expected) in [(0, 1), (1, 2), (2, 3)] {
        agent.step(Event::ChannelClosed(Verdict::later("lost")), &fresh(3 + n));
        let State::Running(running) = agent.state() else { panic!("it runs") };
        assert_eq!(running.channel, Channel::Down { attempt: expected });
        agent.step(Event::Due(Timer::Channel), &fresh(3 + n));
        agent.step(Event::ChannelOpened { standing: Standing::Active }, &fresh(3 + n));
    }
    agent.step(Event::ChannelClosed(Verdict::later("lost")), &fresh(500));
    let State::Running(running) = agent.state() else { panic!("it runs") };
    assert_eq!(running.channel, Channel::Down { attempt: 1 });
}

#[test]
fn a_channel_that_was_lost_is_opened_again_at_a_drawn_moment_of_the_first_second() {
    // A server that dies leaves thousands of agents at once: none waits long, and they do not come together.
    for (draw, millis) in [(0, 50), (u32::MAX / 4, 250), (u32::MAX / 2, 500), (u32::MAX, 1000)] {
        let mut agent = up();
        let effects = agent
            .step(Event::ChannelClosed(Verdict::later("lost")), &Fresh { jitter: Draw(draw), ..fresh(3600) });
        let [Effect::Wake { timer: Timer::Channel, after }] = effects[..] else { panic!("{effects:?}") };
        assert!(after.as_millis().abs_diff(millis) <= 1, "{after:?} for {draw}");
    }
}

#[test]
fn a_server_that_says_when_to_come_back_is_asked_again_within_a_fifth_of_that() {
    let unavailable = |retry_after| {
        let body = br#"{"type":"t","title":"T","status":503,"code":"restored","action":"retry","help":"H"}"#;
        let content_type = Some("application/problem+json");
        Answer { status: 503, content_type, retry_after, body, authenticated: true }.classify()
    };
    let after = |event: Event, draw: u32| {
        let mut agent = running();
        agent.step(Event::Due(Timer::Renew), &fresh(DAY - 1));
        let effects = agent.step(event, &Fresh { jitter: Draw(draw), ..fresh(DAY - 1) });
        let [Effect::Wake { after, .. }] = effects[..] else { panic!("{effects:?}") };
        after.as_secs_f64()
    };
    for event in [Event::ChannelClosed, Event::RenewFailed] {
        for (draw, seconds) in [(0, 24.0), (u32::MAX / 2, 30.0), (u32::MAX, 36.0)] {
            let waited = after(event(unavailable(Some(30))), draw);
            assert!((waited - seconds).abs() < 0.01, "{waited} s for {draw}");
        }
        assert!(after(event(unavailable(None)), u32::MAX) <= 1.0, "where nothing is said: as after any loss");
    }
}

#[test]
fn an_order_to_renew_is_carried_out_at_once_even_while_a_renewal_waits_after_a_failure() {
    let mut agent = up();
    agent.step(Event::Due(Timer::Renew), &fresh(DAY - 1));
    agent.step(Event::RenewFailed(Verdict::later("lost")), &fresh(DAY - 1));
    let effects = agent.step(Event::Ordered { id: 7, order: Order::Renew }, &fresh(DAY - 1));
    assert_eq!(effects, [Effect::Renew(Proof::Certificate)]);
    let effects = agent.step(Event::Renewed(life(DAY)), &fresh(DAY));
    assert_eq!(effects[0], hook(Hook::Renewed, Some(7)), "acknowledged once it is there");
}
