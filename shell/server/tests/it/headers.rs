//! Headers of every answer, whatever it is.

use std::collections::BTreeSet;

use http::{Request, StatusCode, header};
use serde_json::json;

use crate::face::{Answer, Face, bare, get, post, post_as, with};

async fn of_every_kind(face: &Face) -> Vec<Answer> {
    face.world.faults().before("site.create");
    vec![
        face.stranger(get("/login")).await,
        face.stranger(get("/healthz")).await,
        face.admin(post("/v1/grants", &json!({}))).await,
        face.stranger(bare("/v1/session/close")).await,
        face.stranger(post("/v1/enroll", &json!({}))).await,
        face.stranger(get("/v1/status")).await,
        face.admin(post("/v1/machines/self/leave", &json!({}))).await,
        face.stranger(get("/no/such/route")).await,
        face.stranger(Request::delete("/v1/machines").body(axum::body::Body::empty()).expect("a request"))
            .await,
        face.admin(post_as("/v1/grants", "application/json", "x".repeat(70_000))).await,
        face.admin(post_as("/v1/grants", "text/plain", "{}")).await,
        face.admin(with(post("/v1/grants", &json!({})), "transfer-encoding", "chunked")).await,
        face.admin(post("/v1/sites", &json!({"code": "x"}))).await,
        face.stranger(get("/openapi.json")).await,
    ]
}

#[tokio::test]
async fn every_answer_tells_browsers_to_trust_nothing() {
    let face = Face::new().await;
    let answers = of_every_kind(&face).await;
    let statuses: BTreeSet<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [200, 201, 204, 400, 401, 403, 404, 405, 411, 413, 415, 503].into());
    for answer in &answers {
        let csp = answer.header("content-security-policy").expect("a policy");
        assert!(csp.starts_with("default-src 'none'") && csp.contains("frame-ancestors 'none'"), "{csp}");
        assert!(!csp.contains("unsafe") && !csp.contains("http"), "nothing inline, nothing foreign: {csp}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("strict-transport-security", "max-age=31536000"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
        assert!(answer.header(header::SERVER).is_none(), "no version for scanners");
    }
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own_that_its_problem_repeats() {
    let face = Face::new().await;
    let answers = of_every_kind(&face).await;
    let ids: BTreeSet<&str> =
        answers.iter().map(|answer| answer.header("x-request-id").expect("an id")).collect();
    assert_eq!(ids.len(), answers.len());
    for answer in answers.iter().filter(|answer| answer.status.as_u16() >= 400) {
        assert_eq!(answer.problem()["request_id"].as_str(), answer.header("x-request-id"));
    }
    let named = face.stranger(with(get("/healthz"), "x-request-id", "zqx")).await;
    assert_ne!(named.header("x-request-id"), Some("zqx"), "a caller does not name our log lines");
    assert_eq!(named.status, StatusCode::OK);
}
