//! What an answer means, and what a write carries.

use muster_client::{Client, ClientError};
use muster_wire::grant::CreateGrant;
use serde_json::json;

use super::support::{Script, answer, json as ok, unix};

fn grant() -> String {
    let grant = json!({"id": "grt_1", "kind": "token", "site": "main", "state": "live", "uses": 1, "used": 0,
        "approval": false, "machine_kind": null, "role": null, "labels": {}, "expires_at": null,
        "created_at": "2026-11-01T00:00:00Z"});
    ok(&json!({"grant": grant, "token": "t", "invite": "muster1:x"}))
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_repeated_under_the_same_key() {
    let script = Script::new([String::new(), grant()]);
    let socket = unix(&script);
    let client = Client::unix(&socket.path).expect("set up");
    let created = client.create_invite(&CreateGrant::default()).await.expect("the repeat is answered");
    assert_eq!(created.invite, "muster1:x");
    let keys = [0, 1].map(|nth| script.header(nth, "idempotency-key").expect("a key"));
    assert_eq!(keys[0], keys[1]);
    assert!(keys[0].len() == 32 && script.requests()[0].starts_with("POST /v1/invites "));
}

#[tokio::test]
async fn two_writes_have_two_keys() {
    let script = Script::new([grant(), grant()]);
    let socket = unix(&script);
    let client = Client::unix(&socket.path).expect("set up");
    for _ in 0..2 {
        client.create_grant(&CreateGrant::default()).await.expect("answered");
    }
    assert_ne!(script.header(0, "idempotency-key"), script.header(1, "idempotency-key"));
}

#[tokio::test]
async fn a_write_that_stays_unanswered_says_that_its_outcome_is_unknown() {
    let script = Script::new([]);
    let socket = unix(&script);
    let error = Client::unix(&socket.path).expect("set up").create_grant(&CreateGrant::default()).await;
    assert!(matches!(error, Err(ClientError::Broken { .. })), "{error:?}");
    assert_eq!(script.requests().len(), 2);
}

#[tokio::test]
async fn a_problem_comes_through_whole() {
    let problem = json!({"type": "/problems/not_found", "title": "No such machine.", "status": 404, "code": "not_found",
        "action": "stop", "help": "Look at the list.", "request_id": "r1"});
    let script = Script::new([answer(404, "application/problem+json; charset=utf-8", &problem.to_string())]);
    let socket = unix(&script);
    let error = Client::unix(&socket.path).expect("set up").machine("mch_1").await.expect_err("not found");
    assert!(error.is_not_found());
    let problem = error.problem().expect("a problem");
    assert_eq!((problem.code.as_str(), problem.request_id.as_deref()), ("not_found", Some("r1")));
}

#[tokio::test]
async fn q_14_pages_redirects_and_bare_status_codes_are_no_answers_of_ours() {
    for (status, content_type) in [
        (200, "text/html"),
        (404, "text/html"),
        (401, "text/plain"),
        (302, "text/html"),
        (404, "application/json"),
    ] {
        let script = Script::new([answer(status, content_type, "<html>")]);
        let socket = unix(&script);
        let error = Client::unix(&socket.path).expect("set up").machine("mch_1").await.expect_err("foreign");
        assert!(matches!(error, ClientError::Foreign { .. }) && !error.is_not_found(), "{status}: {error:?}");
        assert_eq!(script.requests().len(), 1, "no redirect is followed");
    }
}

#[tokio::test]
async fn an_answer_of_another_shape_is_told_apart() {
    let script = Script::new([ok(&json!({"unexpected": true}))]);
    let socket = unix(&script);
    let error = Client::unix(&socket.path).expect("set up").status().await.expect_err("another shape");
    assert!(matches!(error, ClientError::Shape { .. }), "{error:?}");
}

#[tokio::test]
async fn what_concerns_several_servers_is_asked_for_where_it_is() {
    let replica = json!({"id": "rep_1", "version": "0.1.0", "started_at": "2026-11-01T00:00:00Z",
        "alive_at": "2026-11-01T00:00:03Z", "alive": true, "channels": 7, "this": true});
    let accepted = json!({"incarnation": "inc_1", "seen": 150, "found": 120});
    let problem = json!({"type": "t", "title": "T", "status": 409, "code": "wrong_state", "action": "stop", "help": "H"});
    let refused = answer(409, "application/problem+json", &problem.to_string());
    let script = Script::new([ok(&json!({"items": [replica], "next": null})), ok(&accepted), refused]);
    let socket = unix(&script);
    let client = Client::unix(&socket.path).expect("set up");
    assert_eq!(client.replicas().await.expect("a list").items[0].channels, 7);
    let accepted = client.accept_restore().await.expect("accepted");
    assert_eq!((accepted.seen, accepted.found), (150, 120));
    client.renew_machine("mch_1").await.expect_err("it has no key");
    let lines: Vec<String> =
        script.requests().iter().filter_map(|request| request.lines().next().map(str::to_owned)).collect();
    let paths: Vec<&str> = lines.iter().filter_map(|line| line.strip_suffix(" HTTP/1.1")).collect();
    assert_eq!(paths, ["GET /v1/replicas", "POST /v1/restore/accept", "POST /v1/machines/mch_1/renew"]);
    assert!([1, 2].iter().all(|nth| script.header(*nth, "idempotency-key").is_some()));
}
