//! Whatever goes wrong, the answer is a problem document (RFC 9457).

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{Request, StatusCode};
use muster_server::problems;
use muster_testkit::world::World;
use serde_json::json;

use crate::face::{Face, OWN_UID, get, local, post, with};

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_that_repeat_nothing() {
    let face = Face::new().await;
    let unknown = face.admin(get("/v2/zqx?zqx")).await;
    assert_eq!((unknown.status, unknown.code()), (StatusCode::NOT_FOUND, "not_found".to_owned()));
    assert!(!unknown.text().contains("zqx"), "{}", unknown.text());
    for method in ["PUT", "PATCH", "DELETE", "TRACE", "ZQX"] {
        let request = Request::builder().method(method).uri("/v1/machines").body(Body::empty());
        let answer = face.admin(request.expect("a request")).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.code(), "wrong_method", "{method}");
        let mut allowed: Vec<&str> = answer.header("allow").expect("RFC 9110 §15.5.6").split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "HEAD", "POST"]);
        assert!(!answer.text().contains("ZQX"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_store_that_fails_is_503_and_says_when_to_come_back() {
    let face = Face::new().await;
    face.world.faults().before("grant.create");
    let answer = face.admin(post("/v1/grants", &json!({}))).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("unavailable", Some("5")));
    assert!(!answer.text().contains("died"), "the cause is for the log: {}", answer.text());
    assert_eq!(face.admin(post("/v1/grants", &json!({}))).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_answered_for() {
    let face = Face::of(World::new().await, |config| config.handler_time = Duration::from_millis(50));
    let gate = face.world.faults().gate("grant.create");
    let answer = face.admin(post("/v1/grants", &json!({}))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "unavailable".to_owned()));
    gate.open();
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let face = Face::of(World::new().await, |config| config.body.time = Duration::from_millis(50));
    let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
    let request = Request::post("/v1/grants").header("content-type", "application/json");
    let answer = face.admin(request.body(Body::from_stream(never)).expect("a request")).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::REQUEST_TIMEOUT, "too_slow".to_owned()));
}

#[tokio::test]
async fn strangers_who_ask_too_often_are_told_to_wait_and_nobody_else_is() {
    let world = World::new().await;
    let face = Face::of(world, |config| {
        config.anonymous_per_second = NonZeroU32::MIN;
        config.anonymous_burst = NonZeroU32::new(3).expect("not zero");
    });
    for _ in 0..3 {
        assert_eq!(face.stranger(get("/v1/trust")).await.status, StatusCode::OK);
    }
    let late = face.stranger(get("/v1/trust")).await;
    assert_eq!((late.status, late.code()), (StatusCode::TOO_MANY_REQUESTS, "slow_down".to_owned()));
    assert!(late.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok_and(|s| s >= 1)));
    assert_eq!(late.problem()["retry_after"].to_string(), late.header("retry-after").expect("seconds"));
    assert_eq!(face.stranger(get("/v1/status")).await.code(), "slow_down", "one count for all routes");
    // what a stranger writes about its address does not make it another one.
    for name in ["x-forwarded-for", "x_forwarded_for", "forwarded", "x-real-ip"] {
        let answer = face.stranger(with(get("/v1/trust"), name, "198.51.100.1")).await;
        assert_eq!(answer.code(), "slow_down", "{name}");
    }
    assert_eq!(face.send(local(OWN_UID), get("/v1/trust")).await.status, StatusCode::OK);
    let mut other = crate::face::stranger();
    other.address = Some("192.0.2.8:1".parse().expect("an address"));
    assert_eq!(face.send(other, get("/v1/trust")).await.status, StatusCode::OK, "another source");
}

/// The whole table, so that a change of it is seen in a review.
#[test]
fn the_table_of_problems() {
    let rows: BTreeSet<String> = problems()
        .into_iter()
        .map(|problem| format!("{} {} {:?}", problem.status, problem.code, problem.action))
        .collect();
    let expected = [
        "400 malformed Stop",
        "401 code_needed Stop",
        "401 credential_expired Rotate",
        "401 nonce_needed Retry",
        "401 not_authenticated Retry",
        "401 not_entitled Stop",
        "401 rotation_needed Rotate",
        "403 forbidden Stop",
        "403 identity_mismatch Stop",
        "403 insufficient_scope Stop",
        "403 nick_barred Stop",
        "403 outside_team Stop",
        "403 reaped Wait",
        "403 rejected Stop",
        "403 requests_not_taken Stop",
        "403 revoked EnrollAgain",
        "403 superseded Stop",
        "403 suspended Wait",
        "403 unknown_machine EnrollAgain",
        "403 insufficient_scope Stop",
        "403 nick_barred Stop",
        "403 outside_team Stop",
        "403 retired Stop",
        "403 wrong_kind Stop",
        "404 not_found Stop",
        "405 wrong_method Stop",
        "408 too_slow Retry",
        "409 account_foreign Stop",
        "409 choice_needed Stop",
        "409 choice_unavailable Stop",
        "409 count_differs Stop",
        "409 idempotency_mismatch Stop",
        "409 key_taken Rotate",
        "409 last_admin Stop",
        "409 name_taken Stop",
        "409 trust_behind Stop",
        "409 wrong_state Stop",
        "429 slow_down Retry",
        "429 too_many_holds Retry",
        "500 broken Retry",
        "503 restored Retry",
        "503 unavailable Retry",
    ];
    assert_eq!(rows, expected.into_iter().map(str::to_owned).collect());
}
