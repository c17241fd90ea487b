//! From a bare machine to a known one, with everything that may go wrong in between.

use std::time::Duration;

use muster_wire::invite::CaPin;

use super::stub::{Door, Mode, Stub, key_of};
use super::*;
use crate::leave::leave_on;
use crate::status;

#[tokio::test(start_paused = true)]
async fn a_token_makes_a_machine_and_leaves_no_secret_behind() {
    let (machine, stub) = (Machine::new(), Stub::new());
    let identity = machine.enrolled(&stub).await;
    assert_eq!((identity.machine.id.as_str(), identity.hardware_source.as_str()), ("mch_1", "none"));
    assert_eq!(
        machine.names(),
        ["agent.lock", "certificate-a.pem", "identity.json", "key-a.pem", "status.json"]
    );
    let token = Secret::new(SecretKind::Enroll, [1; 10], TOKEN).reveal();
    for name in machine.names() {
        let text = std::fs::read_to_string(machine.dir().join(&name)).expect("text");
        assert!(!text.contains(&token), "{name} holds the token");
    }
    assert_eq!(stub.get().bodies.iter().filter(|body| body["evidence"]["token"] == token).count(), 1);
    let status = status(&machine.dir()).expect("a status");
    assert_eq!((status.state.as_str(), status.running), ("active", false));
    assert_eq!(machine.told(), [Progress::Enrolled { machine: identity.machine }]);
}

#[tokio::test(start_paused = true)]
async fn an_invite_given_again_to_a_known_machine_simply_goes_on() {
    let (machine, stub) = (Machine::new(), Stub::new());
    let first = machine.enrolled(&stub).await;
    let requests = stub.get().seen.len();
    let second = machine.enrolled(&stub).await;
    assert_eq!((first.machine, requests), (second.machine, stub.get().seen.len()));
}

#[tokio::test(start_paused = true)]
async fn an_invite_of_another_deployment_is_refused_before_anything_is_sent() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let before = machine.identity_files();
    let error = machine.enroll(&stub, invite(CaPin([9; 32])), true).await.expect_err("another one");
    assert!(matches!(error, AgentError::OtherServer { .. }), "{error}");
    assert_eq!((error.exit_code(), machine.identity_files()), (10, before));
}

#[tokio::test(start_paused = true)]
async fn q_13_lost_answers_lead_to_the_same_request_by_the_same_key() {
    let (machine, stub) = (Machine::new(), Stub::new());
    stub.get().lose = 4;
    let identity = machine.enrolled(&stub).await;
    assert_eq!(identity.machine.id, "mch_1");
    let bodies: Vec<_> = stub.get().bodies.iter().filter(|body| body["csr"].is_string()).cloned().collect();
    assert_eq!(bodies.len(), 5);
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "one request, byte for byte");
}

#[tokio::test(start_paused = true)]
async fn a_restart_after_a_lost_answer_uses_the_same_key() {
    let (machine, stub) = (Machine::new(), Stub::new());
    stub.get().lose = 1;
    let error = machine.enroll(&stub, invite(stub.pin()), false).await.expect_err("the answer is lost");
    assert_eq!(error.exit_code(), 30);
    machine.enrolled(&stub).await;
    let csrs: Vec<_> = stub.get().bodies.iter().filter_map(|body| body.get("csr").map(key_of)).collect();
    assert_eq!(csrs.len(), 2);
    assert_eq!(csrs[0], csrs[1]);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_person_and_shows_the_words() {
    let (machine, stub) = (Machine::new(), Stub::new());
    stub.get().door = Door::Hold(4);
    machine.enroll(&stub, request(stub.pin()), true).await.expect("approved in the end");
    assert_eq!(
        stub.get().bodies.iter().find_map(|body| body.get("evidence")),
        Some(&serde_json::json!({"site": "main"}))
    );
    assert_eq!(stub.count("/v1/enroll/hld_1"), 4);
    let key = muster_model::KeyFingerprint(key_of(&stub.get().bodies[1]["csr"]));
    let held: Vec<_> = machine
        .told()
        .into_iter()
        .filter_map(|told| match told {
            Progress::Held { words, .. } => Some(words),
            _ => None,
        })
        .collect();
    assert_eq!(held, [key.short_words().map(str::to_owned).to_vec()], "told once");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_is_told_the_hold_and_the_next_start_takes_it_up() {
    let (machine, stub) = (Machine::new(), Stub::new());
    stub.get().door = Door::Hold(3);
    let error = machine.enroll(&stub, request(stub.pin()), false).await.expect_err("held");
    assert_eq!(error.exit_code(), 21);
    assert!(error.to_string().contains("hld_1"), "{error}");
    assert_eq!(status(&machine.dir()).expect("a status").state, "waiting");
    let resident = machine.run(&stub, None);
    until("the agent is online", || machine.told().contains(&Progress::Online)).await;
    resident.stop().await;
    assert_eq!(stub.count("/v1/enroll"), 1, "the hold was taken up, not asked for again");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_machine_stops_and_does_not_ask_again_until_a_reset() {
    let (machine, stub) = (Machine::new(), Stub::new());
    stub.get().door = Door::Problem(403, "rejected", "stop");
    let error = machine.run(&stub, Some(joining(request(stub.pin())))).end().await;
    assert_eq!(error.exit_code(), 20);
    let requests = stub.get().seen.len();
    for _ in 0..2 {
        let error = machine.run(&stub, Some(joining(request(stub.pin())))).end().await;
        assert_eq!(error.exit_code(), 20);
    }
    assert_eq!(stub.get().seen.len(), requests, "it asked nobody");
    stub.get().door = Door::Open;
    let options = EnrollOptions { reset: true, ..machine.options(request(stub.pin()), true) };
    enroll_on(stub.ports(), options, machine.observer()).await.expect("after a reset");
    assert_eq!(machine.names().iter().filter(|name| name.contains(".retired-")).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_ends_the_enrollment_and_keeps_the_key() {
    let (machine, stub) = (Machine::new(), Stub::new());
    stub.get().door = Door::Problem(401, "not_entitled", "enroll_again");
    let error = machine.run(&stub, Some(joining(invite(stub.pin())))).end().await;
    assert!(matches!(&error, AgentError::Refused { code, .. } if code == "not_entitled"), "{error}");
    assert!(machine.names().contains(&"key-a.pem".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn q_44_a_wrong_pin_fails_closed_and_no_secret_is_sent() {
    let (machine, stub) = (Machine::new(), Stub::new());
    let error = machine.enroll(&stub, invite(CaPin([9; 32])), true).await.expect_err("a wrong pin");
    assert_eq!(error.exit_code(), 31);
    assert_eq!(stub.get().seen.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["/v1/trust"]);
}

#[tokio::test(start_paused = true)]
async fn q_44_a_server_that_takes_over_after_first_contact_gets_no_secret() {
    let (machine, mut stub) = (Machine::new(), Stub::new());
    let pin = stub.pin();
    stub.get().door = Door::Problem(503, "unavailable", "retry");
    machine.enroll(&stub, invite(pin), false).await.expect_err("not now");
    let other = Stub::new();
    stub.take_over(&other);
    let error = machine.enroll(&stub, invite(pin), true).await.expect_err("not that server");
    assert_eq!((error.exit_code(), other.get().seen.len()), (31, 0));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_sat_out_while_enrolling_and_told() {
    let (machine, stub) = (Machine::new(), Stub::new());
    stub.get().mode = Mode::Down;
    let enrollment = {
        let (stub, options) = (stub.clone(), machine.options(invite(stub.pin()), true));
        tokio::spawn(enroll_on(stub.ports(), options, machine.observer()))
    };
    pass(Duration::from_secs(1800)).await;
    assert!(machine.told().iter().all(|told| matches!(told, Progress::Trouble { .. })));
    stub.get().mode = Mode::Well;
    enrollment.await.expect("no panic").expect("enrolled after the outage");
    assert!(stub.dials().len() < 60, "{} attempts in half an hour", stub.dials().len());
}

#[tokio::test(start_paused = true)]
async fn leaving_signs_off_and_sets_the_files_aside() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    leave_on(stub.ports(), &machine.dir()).await.expect("left");
    assert_eq!(stub.count("/v1/machines/self/leave"), 1);
    assert_eq!(status(&machine.dir()).expect("a status").state, "not_enrolled");
    machine.enrolled(&stub).await;
}
