//! `/v1/enroll` as it looks from outside.

use http::StatusCode;
use muster_testkit::world::{Device, World};
use serde_json::{Value, json};

use crate::face::{Answer, Face, get, post, with};

fn body(device: &Device, token: &str) -> Value {
    serde_json::to_value(device.by_token(token)).expect("JSON")
}

#[tokio::test]
async fn an_enrollment_is_201_then_200_and_its_certificate_opens_the_machines_own_routes() {
    let face = Face::new().await;
    let device = Device::new("web-1");
    let token = face.world.one_time().await;
    let first = face.stranger(post("/v1/enroll", &body(&device, &token))).await;
    assert_eq!((first.status, &first.json()["outcome"]), (StatusCode::CREATED, &json!("enrolled")));
    let again = face.stranger(post("/v1/enroll", &body(&device, &token))).await;
    assert_eq!((again.status, &again.json()["outcome"]), (StatusCode::OK, &json!("same")));
    assert_eq!(first.json()["credential"], again.json()["credential"]);
    assert!(!first.text().contains(&token), "a secret is not repeated");
}

#[tokio::test]
async fn a_request_is_202_with_a_rhythm_and_is_collected_by_its_key() {
    let face = Face::new().await;
    let device = Device::new("web-1");
    let request = serde_json::to_value(device.by_request()).expect("JSON");
    let held = face.stranger(post("/v1/enroll", &request)).await;
    assert_eq!((held.status, held.header("retry-after")), (StatusCode::ACCEPTED, Some("2")));
    let path = format!("/v1/enroll/{}", held.json()["hold"].as_str().expect("a hold"));
    assert_eq!(face.stranger(get(&path)).await.code(), "nonce_needed");
    let waiting = poll(&face, &device, &path).await;
    assert_eq!(waiting.status, StatusCode::ACCEPTED);
    let approve = format!("/v1/holds/{}/approve", held.json()["hold"].as_str().expect("a hold"));
    assert_eq!(face.admin(post(&approve, &json!({}))).await.status, StatusCode::OK);
    assert_eq!(poll(&face, &device, &path).await.status, StatusCode::CREATED);
    assert_eq!(poll(&face, &device, &path).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_client_without_a_key_collects_by_its_own_secret() {
    let face = Face::new().await;
    let request = serde_json::to_value(Device::new("gpu-1").keyless_request("my secret")).expect("JSON");
    let held = face.stranger(post("/v1/enroll", &request)).await;
    assert_eq!(held.status, StatusCode::ACCEPTED);
    let hold = held.json()["hold"].as_str().expect("a hold").to_owned();
    let path = format!("/v1/enroll/{hold}");
    let poll = |secret: &str| face.stranger(with(get(&path), "authorization", &format!("Bearer {secret}")));
    assert_eq!(poll("my secret").await.status, StatusCode::ACCEPTED);
    assert_eq!(poll("another one").await.status, StatusCode::NOT_FOUND);
    let approve = format!("/v1/holds/{hold}/approve");
    assert_eq!(face.admin(post(&approve, &json!({}))).await.status, StatusCode::OK);
    let first = poll("my secret").await;
    assert_eq!(first.status, StatusCode::CREATED);
    let again = poll("my secret").await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(first.json()["credential"], again.json()["credential"], "bearer key and all");
}

async fn poll(face: &Face, device: &Device, path: &str) -> Answer {
    let nonce = face.stranger(get("/v1/nonce")).await.json()["nonce"].as_str().expect("a nonce").to_owned();
    let signed = device.signs(&nonce, "GET", path, b"");
    face.stranger(with(get(path), "muster-signature", &signed.header.to_string())).await
}

/// What may differ between two answers: only what says which answer it is.
fn shape(answer: &Answer) -> (StatusCode, Vec<(String, String)>, Vec<u8>) {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "x-request-id");
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()));
    (answer.status, headers.collect(), answer.body.to_vec())
}

#[tokio::test]
async fn q_09_every_cause_of_row_9_is_the_same_answer_byte_for_byte() {
    let face = Face::new().await;
    let device = Device::new("web-1");
    let mut shapes = Vec::new();
    for (cause, token) in face.world.lapsed_tokens().await {
        for _ in 0..2 {
            let answer = face.stranger(post("/v1/enroll", &body(&device, &token))).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{cause}");
            assert_eq!(answer.code(), "not_entitled", "{cause}");
            shapes.push((cause, shape(&answer)));
        }
    }
    for (cause, shape) in &shapes {
        assert_eq!(*shape, shapes[0].1, "{cause} and {}", shapes[0].0);
    }
    let text = String::from_utf8(shapes[0].1.2.clone()).expect("UTF-8");
    for word in ["expired", "spent", "rotated", "revoked", "unknown", "wrong", "secret"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
}

#[tokio::test]
async fn q_09_a_wrong_site_of_a_request_looks_like_one_that_takes_none() {
    let world = World::new().await;
    world.site("closed", |site| site.requests = false).await;
    let face = Face::of(world, |_| {});
    let device = Device::new("web-1");
    let ask = |site: &str| {
        let request = device.asks("request", json!({ "site": site }));
        post("/v1/enroll", &serde_json::to_value(request).expect("JSON"))
    };
    let closed = face.stranger(ask("closed")).await;
    let nowhere = face.stranger(ask("nowhere")).await;
    assert_eq!(closed.without_id(), nowhere.without_id());
    assert_eq!(closed.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn q_02_an_identity_in_the_request_changes_nothing() {
    let face = Face::new().await;
    let victim = face.world.enroll(&Device::new("victim")).await;
    let device = Device::new("web-1");
    let token = face.world.one_time().await;
    let mut request = body(&device, &token);
    request["machine"] = json!(victim.machine.id);
    assert_eq!(face.stranger(post("/v1/enroll", &request)).await.status, StatusCode::BAD_REQUEST);
    let mut request = body(&device, &token);
    request["attributes"] = json!({"id": victim.machine.id, "tenant": "x"});
    request["hostname"] = json!("victim");
    let answer = face.stranger(post("/v1/enroll", &request)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_ne!(answer.json()["machine"]["id"], victim.machine.id);
}

#[tokio::test]
async fn q_31_what_a_machine_says_of_itself_is_data_wherever_it_comes_back() {
    let face = Face::new().await;
    let token =
        face.world.token(muster_wire::grant::CreateGrant { uses: Some(0), ..Default::default() }).await;
    let payloads = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</title><svg/onload=alert(1)>",
        "javascript:alert(1)",
        "{{7*7}}${7*7}",
        "' onmouseover='alert(1)",
    ];
    for payload in payloads {
        let mut device = Device::new("x");
        device.hardware_id = None;
        device.hostname = payload.to_owned();
        let mut request = device.by_token(&token);
        request.attributes.insert("os".to_owned(), payload.to_owned());
        let request = serde_json::to_value(request).expect("JSON");
        assert_eq!(face.stranger(post("/v1/enroll", &request)).await.status, StatusCode::CREATED);
    }
    for path in ["/v1/machines", "/v1/audit", "/v1/machines?search=script"] {
        let answer = face.admin(get(path)).await;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(
            answer.header("content-security-policy").is_some_and(|csp| csp.contains("default-src 'none'"))
        );
        assert!(answer.text().contains("script"), "it is there, as data");
    }
    for hostile in ["a\u{0}b", "a\nb", "a\u{1b}[31m", "a\u{202e}b", "a\u{2028}b"] {
        let mut device = Device::new("x");
        device.hostname = hostile.to_owned();
        let answer = face.stranger(post("/v1/enroll", &body(&device, &token))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{hostile:?}");
        assert_eq!(answer.problem()["errors"][0]["path"], "hostname");
    }
}

#[tokio::test]
async fn q_31_pages_put_nothing_in_as_markup() {
    let face = Face::new().await;
    for path in ["/login", "/assets/act.js", "/assets/keys.js", "/assets/live.js", "/assets/login.js"] {
        let text = face.stranger(get(path)).await.text();
        for risky in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            " onclick=",
            "<script>",
        ] {
            assert!(!text.contains(risky), "{risky} in {path}");
        }
    }
}
