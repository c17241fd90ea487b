//! What an identity survives, and the little that ends it.

use std::time::Duration;

use jiff::SignedDuration;
use muster_wire::channel::Order;

use super::stub::{Mode, Stub, key_of, problem_text};
use super::*;
use crate::status;

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

async fn online(machine: &Machine, stub: &Stub) {
    until("the channel is open", || stub.get().channels == 1).await;
    until("the agent knows", || machine.told().contains(&Progress::Online)).await;
}

#[tokio::test(start_paused = true)]
async fn q_14_whatever_a_stranger_answers_the_identity_stays() {
    let html = "<html><body>Sign in to the hotel network</body></html>".to_owned();
    let says = |status, content_type, body: &str| Mode::Says { status, content_type, body: body.to_owned() };
    let modes = [
        Mode::Down,
        says(404, "text/plain", "404 page not found"),
        says(401, "application/json", r#"{"error":"revoked"}"#),
        says(403, "text/html", &html),
        says(200, "text/html", &html),
        says(200, "application/json", "{}"),
        says(302, "text/html", ""),
        says(410, "application/problem+json", "{}"),
        says(503, "application/problem+json", &problem_text(503, "revoked", "stop")),
        says(401, "text/html", &problem_text(401, "revoked", "stop")),
    ];
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let before = machine.identity_files();
    let resident = machine.run(&stub, None);
    online(&machine, &stub).await;
    for mode in modes {
        stub.get().mode = mode.clone();
        until("the channel is lost", || stub.get().channels == 0).await;
        let dialed = stub.dials().len();
        pass(HALF_AN_HOUR).await;
        assert_eq!(machine.identity_files(), before, "{mode:?}");
        let attempts = stub.dials().len() - dialed;
        assert!((2..80).contains(&attempts), "{attempts} attempts in half an hour of {mode:?}");
        stub.get().mode = Mode::Well;
        online(&machine, &stub).await;
    }
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_when_to_come_back_is_not_asked_sooner() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let resident = machine.run(&stub, None);
    online(&machine, &stub).await;
    let told = problem_text(503, "restored", "retry").replacen('{', r#"{"retry_after":100,"#, 1);
    let content_type = "application/problem+json";
    stub.get().mode = Mode::Says { status: 503, content_type, body: told };
    until("the channel is lost", || stub.get().channels == 0).await;
    let dialed = stub.dials().len();
    pass(HALF_AN_HOUR).await;
    let attempts = stub.dials().len() - dialed;
    assert!((1800 / 120..=1800 / 80 + 1).contains(&attempts), "{attempts} attempts in half an hour");
    stub.get().mode = Mode::Well;
    online(&machine, &stub).await;
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn q_14_a_foreign_server_on_our_address_cannot_end_the_identity() {
    let (machine, mut stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let before = machine.identity_files();
    let foreign = Stub::new();
    foreign.get().machine_problem = Some((401, "revoked"));
    stub.take_over(&foreign);
    let resident = machine.run(&stub, None);
    pass(HALF_AN_HOUR).await;
    assert_eq!((machine.identity_files(), foreign.get().seen.len()), (before, 0));
    let problem = status(&machine.dir()).expect("a status").last_problem.expect("one");
    assert!(problem.what.contains("certificate"), "{}", problem.what);
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn q_14_an_authenticated_revocation_ends_the_identity_and_keeps_the_files_aside() {
    for code in ["revoked", "unknown_machine"] {
        let (machine, stub) = (Machine::new(), Stub::new());
        machine.enrolled(&stub).await;
        let before = machine.identity_files();
        stub.get().machine_problem = Some((401, code));
        let error = machine.run(&stub, None).end().await;
        assert_eq!(error.exit_code(), 22);
        for (name, content) in before {
            let kept =
                machine.names().into_iter().find(|other| other.starts_with(&format!("{name}.retired-")));
            let kept = std::fs::read_to_string(machine.dir().join(kept.expect("kept"))).expect("text");
            assert_eq!(kept, content);
        }
        let requests = stub.get().seen.len();
        let error = machine.run(&stub, Some(joining(invite(stub.pin())))).end().await;
        assert_eq!(
            (error.exit_code(), stub.get().seen.len()),
            (22, requests),
            "it enrolls nothing by itself"
        );
        assert_eq!(status(&machine.dir()).expect("a status").ended.expect("a note").ending, code);
    }
}

#[tokio::test(start_paused = true)]
async fn orders_to_end_are_carried_out_acknowledged_and_remembered() {
    for (order, word) in [(Order::Retire, "retired"), (Order::Revoked, "revoked")] {
        let (machine, stub) = (Machine::new(), Stub::new());
        machine.enrolled(&stub).await;
        let resident = machine.run(&stub, None);
        online(&machine, &stub).await;
        stub.order(7, order);
        assert_eq!(resident.end().await.exit_code(), 22);
        until("it is acknowledged", || stub.get().acknowledged == [7]).await;
        assert_eq!(status(&machine.dir()).expect("a status").ended.expect("a note").ending, word);
    }
}

#[tokio::test(start_paused = true)]
async fn q_15_a_certificate_that_expired_while_everything_was_off_is_renewed_by_signature() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    pass(Duration::from_secs(3 * 24 * 3600)).await;
    let resident = machine.run(&stub, None);
    online(&machine, &stub).await;
    let paths: Vec<_> = stub.get().seen.iter().map(|(path, _)| path.clone()).collect();
    let nonce = paths.iter().position(|path| path == "/v1/nonce").expect("a signed request");
    assert_eq!(paths[nonce + 1..], ["/v1/machines/self/renew", "/v1/machines/self/channel"]);
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn i_5_a_certificate_that_was_over_for_too_long_is_replaced_by_enrolling_under_the_same_key() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let before = status(&machine.dir()).expect("a status").certificate_expires.expect("one");
    stub.get().machine_problem = Some((401, "credential_expired"));
    pass(Duration::from_secs(60 * 24 * 3600)).await;
    let resident = machine.run(&stub, None);
    let is_request = |body: &serde_json::Value| body["method"] == "request";
    until("it enrolls again", || stub.get().bodies.iter().any(is_request)).await;
    stub.get().machine_problem = None;
    online(&machine, &stub).await;
    let bodies = stub.get().bodies.clone();
    let again = bodies.iter().find(|body| is_request(body)).expect("it enrolled again");
    assert_eq!(again["evidence"], serde_json::json!({"site": "main"}));
    let after = status(&machine.dir()).expect("a status");
    let key = muster_model::KeyFingerprint(key_of(&again["csr"])).to_string();
    assert_eq!(after.key, Some(key), "under the key that it has");
    assert!(after.certificate_expires.expect("one") > before);
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn q_15_an_outage_of_three_lives_needs_no_hands() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let resident = machine.run(&stub, None);
    online(&machine, &stub).await;
    stub.get().mode = Mode::Down;
    pass(Duration::from_secs(3 * 24 * 3600)).await;
    stub.get().mode = Mode::Well;
    let begun = tokio::time::Instant::now();
    online(&machine, &stub).await;
    // Channel and renewal back off on their own; either may be first.
    until("the certificate is renewed", || {
        status(&machine.dir()).expect("a status").certificate_expires.expect("one") > stub.now()
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(600), "{:?}", begun.elapsed());
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn q_16_a_machine_with_a_wrong_clock_stays_online() {
    for hours in [-1, 1, -24 * 365, 24 * 365] {
        let stub = Stub::new();
        let machine = Machine::new();
        machine.enrolled(&stub).await;
        let skewed = stub.with_skew(SignedDuration::from_hours(hours));
        let resident = machine.run(&skewed, None);
        online(&machine, &stub).await;
        until("the skew is known", || {
            let status = status(&machine.dir()).expect("a status");
            status.clock_skew_seconds == -hours * 3600
        })
        .await;
        assert!(stub.dials().len() <= 8, "{hours} h: {} connections", stub.dials().len());
        resident.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_refuses_the_new_certificate_keeps_the_old_one_working() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let certificate = machine.dir().join("certificate-a.pem");
    let text = std::fs::read_to_string(&certificate).expect("there");
    let resident = machine.run(&stub, None);
    online(&machine, &stub).await;
    std::fs::remove_file(&certificate).expect("removed");
    std::fs::create_dir(&certificate).expect("in the way");
    stub.order(1, Order::Renew);
    pass(Duration::from_secs(60)).await;
    assert_eq!(stub.get().channels, 1, "it goes on");
    assert!(stub.get().acknowledged.is_empty(), "what is not durable is not acknowledged");
    std::fs::remove_dir(&certificate).expect("removed");
    until("the order is carried out", || stub.get().acknowledged == [1]).await;
    assert_ne!(std::fs::read_to_string(&certificate).expect("there"), text);
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_store_stops_the_agent_before_it_speaks_to_anybody() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let requests = stub.get().seen.len();
    std::fs::write(machine.dir().join("key-a.pem"), "").expect("emptied");
    let error = machine.run(&stub, Some(joining(invite(stub.pin())))).end().await;
    assert_eq!((error.exit_code(), stub.get().seen.len()), (13, requests));
}

/// The roots in the machine's file.
pub(super) fn kept(machine: &Machine) -> (u64, usize) {
    let text = std::fs::read_to_string(machine.dir().join("identity.json")).expect("there");
    let identity: crate::store::records::Identity = serde_json::from_str(&text).expect("our own form");
    (identity.trust.version, identity.trust.roots.len())
}

#[tokio::test(start_paused = true)]
async fn q_44_newer_roots_are_taken_down_the_channel_and_held_once_durable_and_older_or_empty_ones_are_not() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    assert_eq!(kept(&machine), (1, 1), "a server of before versions gives the first");
    let resident = machine.run(&stub, None);
    online(&machine, &stub).await;
    let twice = |trust: &mut muster_wire::trust::Trust| trust.roots.push(trust.roots[0].clone());
    stub.entrust(3, twice);
    until("it is held", || stub.get().held == [3]).await;
    assert_eq!(kept(&machine), (3, 2));
    stub.entrust(2, |_| {});
    stub.entrust(4, |trust| trust.roots.clear());
    stub.entrust(4, |trust| trust.roots[0] = "not a certificate".into());
    stub.entrust(5, twice);
    until("the next good one is held", || stub.get().held == [3, 5]).await;
    assert_eq!(kept(&machine), (5, 2));
    resident.stop().await;
    let again = machine.run(&stub, None);
    until("it is there again", || stub.get().channels == 1).await;
    assert_eq!(kept(&machine), (5, 2));
    again.stop().await;
}
