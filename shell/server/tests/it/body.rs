//! What is taken as a body: fields, media types, sizes, depth (Q-22, Q-35, Q-36).

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use muster_app::{Delivered, Doing, Found, Order, Provisioner, Provisioners};
use muster_model::Mishap;
use muster_server::serve::Peer;
use muster_testkit::world::{Device, held, leaf};
use muster_wire::account::CreateAccount;
use serde_json::{Value, json};

use crate::face::{Answer, Face, OWN_UID, bare, local, post, post_as, stranger, with, with_certificate};
use crate::principals::mounted;

/// For every route that changes something, a body that is well formed. A route without a line here fails the tests below.
pub(crate) fn well_formed(path: &str, face_token: &str) -> Value {
    match path {
        "/v1/enroll" => serde_json::to_value(Device::new("zqx").by_token(face_token)).expect("JSON"),
        "/v1/session" => json!({"login": "mst_login_x"}),
        "/v1/login" => json!({"name": "admin", "password": "correct horse"}),
        "/v1/me/password" => json!({"password": "correct horse"}),
        "/v1/me/second-factor" => json!({"present": "correct horse"}),
        "/v1/me/second-factor/confirm" => json!({"code": "123456"}),
        "/v1/me/second-factor/remove" => json!({"present": "correct horse", "code": "123456"}),
        "/v1/operators/{operator}/reset-second-factor" => json!({"dry_run": true}),
        "/v1/machines/self/token" => json!({"audience": "vault"}),
        "/v1/machines" => json!({"name": "db-1"}),
        "/v1/machines/end" => json!({"verb": "revoke", "site": "default", "dry_run": true}),
        "/v1/alarms/acknowledge" => json!({"object": "deployment", "until": "2026-11-01T12:00:00Z"}),
        "/v1/machines/{machine}/readmit" => json!({"expires_in": 3600}),
        "/v1/sites" => json!({"code": "berlin"}),
        "/v1/grants" | "/v1/invites" => json!({"uses": 2}),
        "/v1/tokens" | "/v1/operators" => json!({"name": "ci"}),
        "/v1/operators/{operator}" => json!({"name": "eve"}),
        "/v1/operators/{operator}/disable" => json!({"dry_run": true}),
        "/v1/callers" => {
            json!({"name": "cp", "csr": data_encoding::BASE64.encode(&Device::new("cp").csr())})
        }
        "/v1/sites/{site}/import-key" => json!({"phc": muster_model::ImportedHash::stand_in().as_str()}),
        "/v1/holds/{hold}/approve" => json!({"as": "new"}),
        "/v1/machines/{machine}/revoke" => json!({"dry_run": true}),
        "/v1/machines/{machine}/engagement" | "/v1/machines/{machine}/engagement/preview" => {
            json!({"nick": "w-two"})
        }
        "/v1/machines/{machine}/accounts" => json!({"provisioner": "hook", "name": "w-two"}),
        "/v1/accounts/reconcile" => json!({"dry_run": true}),
        "/v1/machines/self/engagement/acknowledge" => json!({"version": 1, "hash": "00"}),
        "/v1/nicks/free" => json!({"nick": "w-two"}),
        "/v1/machines/{machine}/restore" => json!({"reason": "it was in a drawer"}),
        "/v1/machines/{machine}/suspend" | "/v1/machines/{machine}/retire" | "/v1/holds/{hold}/reject" => {
            json!({"reason": "because"})
        }
        "/v1/accounts/{account}/rotate"
        | "/v1/accounts/{account}/retry"
        | "/v1/accounts/{account}/adopt"
        | "/v1/accounts/{account}/remove"
        | "/v1/machines/{machine}/resume"
        | "/v1/sites/{site}/rotate-key"
        | "/v1/grants/{grant}/revoke"
        | "/v1/tokens/{token}/revoke"
        | "/v1/operators/{operator}/enable"
        | "/v1/operators/{operator}/link"
        | "/v1/login-links"
        | "/v1/machines/self/renew"
        | "/v1/machines/{machine}/renew"
        | "/v1/machines/{machine}/rotate"
        | "/v1/restore/accept"
        | "/v1/ca/prepare"
        | "/v1/ca/publish"
        | "/v1/ca/activate"
        | "/v1/ca/taint"
        | "/v1/ca/remove"
        | "/v1/ca/undo"
        | "/v1/machines/self/leave"
        | "/v1/session/close" => json!({}),
        other => panic!("{other} has no example here"),
    }
}

/// A face with one of each thing, and a POST to every route that would be carried out.
pub(crate) struct Stage {
    pub(crate) face: Face,
    machine: Peer,
    device: Device,
    ids: Vec<(&'static str, String)>,
    token: String,
}

/// Another system that does whatever it is asked.
pub(crate) struct Obedient;

impl Provisioner for Obedient {
    fn deliver<'a>(&'a self, _: &'a Order) -> Doing<'a, Delivered> {
        Box::pin(async { Delivered::Reached { ours: true } })
    }

    fn look<'a>(&'a self, _: &'a Order) -> Doing<'a, Result<Found, Mishap>> {
        Box::pin(async { Ok(Found::AsWanted) })
    }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let face = Face::new().await;
        let hook = "hook".parse().expect("a name");
        face.world.app.provide(Provisioners::default().with(hook, Arc::new(Obedient), 1));
        let device = Device::new("web-1");
        let enrolled = face.world.enroll(&device).await;
        let der = leaf(enrolled.credential.certificate.as_deref().expect("a certificate"));
        let hold = held(face.world.ask(Device::new("web-2").by_request()).await.expect("held"));
        let admin = face.world.admin();
        let grant = face.world.app.create_grant(Default::default(), None, &admin).await.expect("a grant");
        let token: muster_wire::access::CreateToken =
            serde_json::from_value(json!({"name": "ci"})).expect("a request");
        let api = face.world.app.create_token(token, None, &admin).await.expect("a token");
        let operator: muster_wire::operator::CreateOperator =
            serde_json::from_value(json!({"name": "ada"})).expect("a request");
        let operator = face.world.app.create_operator(operator, None, &admin).await.expect("an operator");
        let account = CreateAccount { provisioner: "hook".to_owned(), name: "web-1".to_owned() };
        let machine = enrolled.machine.id.parse().expect("an identifier");
        let account = face.world.app.create_account(machine, account, &admin).await.expect("an account");
        let ids = vec![
            ("{account}", account.account.id),
            ("{machine}", enrolled.machine.id),
            ("{hold}", hold.hold),
            ("{grant}", grant.grant.id),
            ("{token}", api.token.id),
            ("{operator}", operator.id),
            ("{entry}", "1".to_owned()),
            ("{site}", "default".to_owned()),
        ];
        Self { machine: with_certificate(der), device, face, ids, token: grant.token }
    }

    fn peer(&self, path: &str) -> Peer {
        match path {
            "/v1/enroll" | "/v1/session" | "/v1/login" | "/v1/session/close" => stranger(),
            path if path.starts_with("/v1/machines/self") => self.machine.clone(),
            _ => local(OWN_UID),
        }
    }

    pub(crate) fn filled(&self, path: &str) -> String {
        self.ids.iter().fold(path.to_owned(), |path, (name, id)| path.replace(name, id))
    }

    pub(crate) async fn send(&self, path: &str, mut request: Request<Body>) -> Answer {
        if request.method() == Method::POST {
            *request.method_mut() = method_of(path);
        }
        self.face.send(self.peer(path), request).await
    }

    pub(crate) fn example(&self, path: &str) -> Value {
        match path {
            "/v1/machines/self/rotate" => {
                let request = self.device.rotates_to(&Device::new("next"), [1; 16]);
                serde_json::to_value(request).expect("JSON")
            }
            _ => well_formed(path, &self.token),
        }
    }
}

fn posts() -> Vec<String> {
    mounted().into_iter().filter(|route| route.method != "GET").map(|route| route.path).collect()
}

/// How what a path names is changed.
fn method_of(path: &str) -> Method {
    let patched = mounted().into_iter().any(|route| route.method == "PATCH" && route.path == path);
    if patched { Method::PATCH } else { Method::POST }
}

/// Whether the OpenAPI document gives a route's body this field.
fn takes(path: &str, field: &str) -> bool {
    let (document, _) = muster_server::openapi::<muster_testkit::world::FaultyStore>();
    let document = serde_json::to_value(document).expect("JSON");
    let method = method_of(path).as_str().to_lowercase();
    let schema = &document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"];
    let name = schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()).unwrap_or_default();
    document["components"]["schemas"][name]["properties"].get(field).is_some()
}

#[tokio::test]
async fn the_examples_are_taken() {
    for path in posts() {
        let stage = Stage::new().await;
        let answer = stage.send(&path, post(&stage.filled(&path), &stage.example(&path))).await;
        let logs_in = ["/v1/session", "/v1/login"].contains(&path.as_str());
        // Whoever sits on the host has no session.
        let has_no_session = path.starts_with("/v1/me/") && answer.status == StatusCode::FORBIDDEN;
        let refused_for_its_content = has_no_session || logs_in && answer.status == StatusCode::UNAUTHORIZED;
        // The machine of the stage is a host, and nobody holds a nick.
        let of_agents = path.contains("/engagement") || path == "/v1/nicks/free";
        let no_agent = of_agents && [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&answer.status);
        let nothing_to_accept = path == "/v1/restore/accept" && answer.status == StatusCode::CONFLICT;
        let nothing_to_accept = nothing_to_accept
            || path == "/v1/accounts/{account}/adopt" && answer.status == StatusCode::CONFLICT;
        // Each step of a change needs the one before it.
        let nothing_to_accept =
            nothing_to_accept || path.starts_with("/v1/ca/") && answer.status == StatusCode::CONFLICT;
        // The machine of the stage shows a certificate, and a rotation is signed.
        let nothing_to_accept = nothing_to_accept
            || path == "/v1/machines/self/rotate" && answer.status == StatusCode::UNAUTHORIZED;
        // The machine of the stage was never away.
        let nothing_to_accept = nothing_to_accept
            || path == "/v1/machines/{machine}/readmit" && answer.status == StatusCode::CONFLICT;
        let taken = answer.status.is_success() || refused_for_its_content || nothing_to_accept || no_agent;
        assert!(taken, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn q_22_a_field_that_a_route_does_not_know_is_refused_and_nothing_happens() {
    let fields = [
        "id",
        "tenant",
        "tenant_id",
        "site_id",
        "role",
        "state",
        "generation",
        "revoked",
        "created_at",
        "zqx",
    ];
    let stage = Stage::new().await;
    for path in posts() {
        for field in fields.into_iter().filter(|field| !takes(&path, field)) {
            let mut body = stage.example(&path);
            body[field] = json!("zqx-value");
            let (writes, end) = (stage.face.world.writes(), stage.face.world.audit_end().await);
            let answer = stage.send(&path, post(&stage.filled(&path), &body)).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {field}: {answer:?}");
            let problem = answer.problem();
            assert_eq!(problem["code"], "malformed", "{path} {field}");
            assert!(problem["errors"][0]["path"].is_string(), "{path} {field}: {problem}");
            assert!(!answer.text().contains("zqx-value"), "{path} {field}: what was sent is not repeated");
            assert_eq!((stage.face.world.writes(), stage.face.world.audit_end().await), (writes, end));
        }
    }
}

#[tokio::test]
async fn q_35_only_json_is_taken_and_never_encoded() {
    let stage = Stage::new().await;
    for path in posts() {
        let body = stage.example(&path).to_string();
        let url = stage.filled(&path);
        for media_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json; charset=utf-16",
            "application/jsonp",
            "text/json",
            "application/json, text/plain",
        ] {
            let answer = stage.send(&path, post_as(&url, media_type, body.clone())).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path} {media_type}");
            answer.problem();
        }
        for encoding in ["gzip", "br", "deflate", "identity", "zstd"] {
            let request = with(post(&url, &stage.example(&path)), "content-encoding", encoding);
            let answer = stage.send(&path, request).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path} {encoding}");
        }
        let twice = with(post(&url, &stage.example(&path)), "content-type", "application/json");
        assert_eq!(stage.send(&path, twice).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
    }
    let charset = post_as("/v1/sites", "Application/JSON; charset=UTF-8", r#"{"code":"x"}"#);
    assert_eq!(stage.send("/v1/sites", charset).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn q_36_sizes_hold_far_above_the_bound_one_above_and_at_it() {
    const MAX: usize = 64 * 1024;
    for path in posts() {
        let stage = Stage::new().await;
        let url = stage.filled(&path);
        for (size, fits) in [(100 * MAX, false), (MAX + 1, false), (MAX, true)] {
            let mut body = stage.example(&path).to_string();
            body.push_str(&" ".repeat(size - body.len()));
            let answer = stage.send(&path, post_as(&url, "application/json", body)).await;
            let refused = answer.status == StatusCode::PAYLOAD_TOO_LARGE;
            assert_eq!(!refused, fits, "{path} {size}: {:?}", answer.status);
            if refused {
                assert_eq!(answer.code(), "malformed");
            }
        }
    }
}

#[tokio::test]
async fn q_36_depth_values_and_double_keys_are_bounded_on_every_route() {
    let stage = Stage::new().await;
    let deep = |depth: usize| format!("{{\"zqx\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let many = format!("{{\"zqx\":[{}]}}", vec!["0"; 1_000].join(","));
    let bodies = [deep(32), deep(3_200), many, r#"{"reason":"a","reason":"b"}"#.to_owned()];
    for path in posts() {
        for body in &bodies {
            let request = post_as(&stage.filled(&path), "application/json", body.clone());
            let answer = stage.send(&path, request).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
            let detail = answer.problem()["detail"].as_str().unwrap_or_default().to_owned();
            let told = ["deeper", "more than", "twice"].iter().any(|word| detail.contains(word));
            assert!(told, "{path}: {detail}");
        }
    }
}

#[tokio::test]
async fn what_is_no_json_says_where_and_repeats_nothing() {
    let stage = Stage::new().await;
    for body in ["{", "[]", "null", "\"zqx-secret\"", "{\"name\": zqx-secret}", "\u{feff}{}", "{}{}"] {
        let request = post_as("/v1/tokens", "application/json", body);
        let answer = stage.send("/v1/tokens", request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(!answer.text().contains("zqx-secret"), "{body}");
    }
    // A secret in the wrong place must not come back (Q-27).
    let answer = stage
        .send("/v1/tokens", post("/v1/tokens", &json!({"name": "a", "expires_in": "mst_api_zqx"})))
        .await;
    assert_eq!(answer.problem()["errors"][0]["path"], "expires_in");
    assert!(!answer.text().contains("mst_api_zqx"));
}

#[tokio::test]
async fn a_body_may_be_left_out_where_everything_in_it_may() {
    let stage = Stage::new().await;
    for path in ["/v1/invites", "/v1/machines/{machine}/suspend", "/v1/login-links"] {
        let answer = stage.send(path, bare(&stage.filled(path))).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
    }
    for path in ["/v1/grants", "/v1/sites", "/v1/enroll", "/v1/session"] {
        let answer = stage.send(path, bare(path)).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
    }
}

#[tokio::test]
async fn q_40_a_query_that_is_not_one_of_the_list_is_refused() {
    let face = Face::new().await;
    for query in [
        "sort=hash",
        "limit=0",
        "limit=1001",
        "limit=x",
        "cursor=AAAA",
        "state=%27",
        "q=1",
        "limit=1&limit=2",
    ] {
        let answer = face.admin(crate::face::get(&format!("/v1/machines?{query}"))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.code(), "malformed", "{query}");
    }
    for name in ["a", "b", "c"] {
        face.world.enroll(&Device::new(name)).await;
    }
    let first = face.admin(crate::face::get("/v1/machines?limit=2")).await.json();
    let next = first["next"].as_str().expect("there is more");
    let second = face.admin(crate::face::get(&format!("/v1/machines?limit=2&cursor={next}"))).await.json();
    assert_eq!((second["items"].as_array().map(Vec::len), &second["next"]), (Some(1), &Value::Null));
    for other in ["/v1/grants?", "/v1/machines?state=active&", "/v1/sites?", "/v1/audit?"] {
        let answer = face.admin(crate::face::get(&format!("{other}cursor={next}"))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{other}: a cursor is good for its own list");
    }
}

#[tokio::test]
async fn idempotency_keys_are_bounded_and_repeat_their_answer() {
    let face = Face::new().await;
    let make = |key: &str| with(post("/v1/grants", &json!({"uses": 1})), "idempotency-key", key);
    let first = face.admin(make("k-1")).await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(face.admin(make("k-1")).await.body, first.body);
    assert_eq!(face.admin(make(&"k".repeat(64))).await.status, StatusCode::CREATED);
    for wrong in ["", " ", "a b", &"k".repeat(65), &"k".repeat(6400)] {
        let answer = face.admin(make(wrong)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong:?}");
        assert_eq!(answer.problem()["errors"][0]["path"], "Idempotency-Key");
    }
    let other = with(post("/v1/grants", &json!({"uses": 2})), "idempotency-key", "k-1");
    assert_eq!(face.admin(other).await.code(), "idempotency_mismatch");
}
