//! The wire of scuttlebot's clients: what its own server got wrong when something failed, and what a person decided.

use axum::body::Body;
use http::{Request, StatusCode, header};
use muster_app::Mark;
use muster_model::{AuditId, EntryPlace};
use serde_json::{Value, json};

use crate::face::{Answer, Face, bare, get, post, with};

const NICK: &str = "/v1/agents/w-one";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn send(method: &str, path: &str, body: &Value) -> Request<Body> {
    let request =
        Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    request.body(Body::from(body.to_string())).expect("a request")
}

/// Whoever holds one key of this wire.
struct Client<'a> {
    face: &'a Face,
    key: String,
}

impl<'a> Client<'a> {
    async fn with(face: &'a Face, scopes: &[&str]) -> Self {
        let made = face.admin(post("/compat/v1/api-keys", &json!({"name": "relay", "scopes": scopes}))).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        Self { face, key: text(&made.json()["token"]) }
    }

    async fn asks(&self, request: Request<Body>) -> Answer {
        self.face.stranger(with(request, "authorization", &format!("Bearer {}", self.key))).await
    }

    async fn register(&self, nick: &str) -> Answer {
        let body = json!({"nick": nick, "type": "worker", "channels": ["#general"]});
        self.asks(post("/v1/agents/register", &body)).await
    }
}

/// One line of text, as its clients print it.
fn error(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header(header::CONTENT_TYPE), Some("application/json"), "{answer:?}");
    (answer.status.as_u16(), text(&answer.json()["error"]))
}

#[tokio::test]
async fn a_register_or_rotate_that_fails_on_the_server_is_503_and_repeated_under_its_key() {
    let face = Face::new().await;
    let relay = Client::with(&face, &["agents"]).await;
    let marked = || {
        let body = json!({"nick": "w-one", "channels": ["#general"]});
        with(post("/v1/agents/register", &body), "idempotency-key", "once")
    };
    face.world.faults().before("agent.register");
    assert_eq!(error(&relay.asks(marked()).await).0, 503);
    face.world.faults().after("agent.register");
    assert!(relay.asks(marked()).await.status.is_server_error());
    let made = relay.asks(marked()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(relay.asks(marked()).await.body, made.body, "passphrase and all");

    let rotate = || with(bare(&format!("{NICK}/rotate")), "idempotency-key", "twice");
    face.world.faults().after("agent.rotate");
    assert!(relay.asks(rotate()).await.status.is_server_error());
    let rotated = relay.asks(rotate()).await;
    assert_eq!(rotated.status, StatusCode::OK, "{rotated:?}");
    assert_eq!(relay.asks(rotate()).await.json()["passphrase"], rotated.json()["passphrase"]);
}

#[tokio::test]
async fn nothing_changes_and_nobody_is_told_to_go_while_the_database_is_an_older_one() {
    let face = Face::new().await;
    let relay = Client::with(&face, &["agents", "chat", "read"]).await;
    let made = relay.register("w-one").await;
    let mark = face.world.app.look(None).await.expect("a look");
    let newest = mark.newest.map(|place| EntryPlace { seq: place.seq + 30, id: AuditId::new(9, [9; 10]) });
    face.world.app.look(Some(&Mark { newest, ..mark })).await.expect("a look");
    assert_eq!(error(&relay.register("w-two").await).0, 503);
    assert_eq!(error(&relay.asks(bare(&format!("{NICK}/revoke"))).await).0, 503);
    let unknown =
        Client { face: &face, key: text(&made.json()["credentials"]["passphrase"]).replace('2', "3") };
    assert_ne!(unknown.asks(get("/v1/status")).await.status, StatusCode::OK);
}

/// The unmodified relay deletes itself when it ends and registers anew when it starts.
#[tokio::test]
async fn a_pause_by_an_operator_is_not_undone_by_ending_and_registering_again() {
    let face = Face::new().await;
    let relay = Client::with(&face, &["agents"]).await;
    assert_eq!(relay.register("w-one").await.status, StatusCode::CREATED);
    let machines = face.admin(get("/v1/machines")).await.json();
    let id = text(&machines["items"][0]["id"]);
    assert_eq!(face.admin(bare(&format!("/v1/machines/{id}/suspend"))).await.status, StatusCode::OK);
    assert_eq!(error(&relay.register("w-one").await).0, 409);
    assert_eq!(error(&relay.asks(bare(&format!("{NICK}/rotate"))).await).0, 409);
    assert_eq!(error(&relay.asks(send("DELETE", NICK, &json!({}))).await).0, 409);
    let bulk = relay.asks(post("/v1/agents/bulk-delete", &json!({"nicks": ["w-one"]}))).await;
    assert_eq!(bulk.json(), json!({"deleted": 0, "failed": 1}));
    assert_eq!(error(&relay.register("w-one").await).0, 409);
    let admin = Client::with(&face, &["admin"]).await;
    assert_eq!(admin.asks(send("DELETE", NICK, &json!({}))).await.status, StatusCode::NO_CONTENT);
    assert_eq!(face.world.machine(&id).await.machine.state, "retired");
}

#[tokio::test]
async fn what_an_agent_shows_after_it_was_revoked_is_401() {
    let face = Face::new().await;
    let relay = Client::with(&face, &["agents", "chat"]).await;
    let made = relay.register("w-one").await;
    let agent = Client { face: &face, key: text(&made.json()["credentials"]["passphrase"]) };
    let here = || post("/v1/channels/general/presence", &json!({"nick": "w-one"}));
    assert_eq!(agent.asks(here()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(relay.asks(bare(&format!("{NICK}/revoke"))).await.status, StatusCode::NO_CONTENT);
    let refused = agent.asks(here()).await;
    assert_eq!(error(&refused), (401, "invalid token".to_owned()));
    assert_eq!(refused.header(header::WWW_AUTHENTICATE), Some("Bearer"));
}

#[tokio::test]
async fn every_part_of_an_engagement_can_be_changed_and_a_nick_be_written_in_any_case() {
    let face = Face::new().await;
    let relay = Client::with(&face, &["agents"]).await;
    assert_eq!(relay.register("w-one[").await.status, StatusCode::CREATED);
    let change = json!({
        "system_prompt": "be brief", "model": "m-1", "temperature": 0.5, "tool_allowlist": ["grep"],
        "channels": ["#general", "#ops"],
    });
    let patched = relay.asks(send("PATCH", "/v1/agents/W-ONE%7B", &change)).await;
    assert_eq!((patched.status, patched.body.len()), (StatusCode::NO_CONTENT, 0), "{patched:?}");
    let shown = relay.asks(get("/v1/agents/W-One%5B")).await.json();
    assert_eq!(shown["nick"], "w-one[");
    for key in ["system_prompt", "model", "temperature", "tool_allowlist"] {
        assert_eq!(shown["config"][key], change[key], "{key}: {shown}");
    }
    let wrong = relay.asks(send("PATCH", "/v1/agents/w-one%5B", &json!({"temperature": -1}))).await;
    assert_eq!(error(&wrong).0, 400);
}

/// Weakness 15 and 6: what was ended cannot be rotated, and a lost answer costs nothing.
#[tokio::test]
async fn keys_of_this_wire_are_all_that_it_reaches_and_a_lost_rotation_is_given_again() {
    let face = Face::new().await;
    let admin = Client::with(&face, &["admin"]).await;
    let native = face.admin(post("/v1/tokens", &json!({"name": "ops", "role": "admin"}))).await.json();
    let native = text(&native["token"]["id"]);
    let rotate = |id: &str| send("PUT", &format!("/v1/api-keys/{id}/rotate"), &json!({}));
    let delete = |id: &str| send("DELETE", &format!("/v1/api-keys/{id}"), &json!({}));
    for id in [native.as_str(), "tok_06h06rsqsxzqv06ea0cjyn1bh8", "nope"] {
        assert_eq!(error(&admin.asks(rotate(id)).await), (404, "token not found".to_owned()), "{id}");
        assert_eq!(error(&admin.asks(delete(id)).await).0, 404, "{id}");
    }
    let made = admin.asks(post("/v1/api-keys", &json!({"name": "ci", "scopes": ["read"]}))).await.json();
    let id = text(&made["id"]);
    let marked = || with(rotate(&id), "idempotency-key", "once");
    face.world.faults().after("token.rotate");
    assert!(admin.asks(marked()).await.status.is_server_error());
    let rotated = admin.asks(marked()).await;
    assert_eq!(admin.asks(marked()).await.json()["token"], rotated.json()["token"]);
    let reader = Client { face: &face, key: text(&rotated.json()["token"]) };
    assert_eq!(reader.asks(get("/compat/v1/status")).await.status, StatusCode::OK);
    assert_eq!(admin.asks(delete(&id)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(error(&admin.asks(marked()).await).0, 404);
    let of = |team: &str| post("/v1/api-keys", &json!({"name": "ci", "scopes": ["agents"], "team": team}));
    assert_eq!(admin.asks(of("red")).await.status, StatusCode::CREATED);
    assert_eq!(admin.asks(of("Red")).await.status, StatusCode::CREATED);
    assert_eq!(admin.asks(of("reds")).await.status, StatusCode::CREATED);
    let within = error(&admin.asks(of("red-blue")).await);
    assert_eq!(within, (400, "team would share channels with the team Red".to_owned()));
    for life in ["8761h", "-1h", "0s", "soon"] {
        let wished = json!({"name": "ci", "scopes": ["read"], "expires_in": life});
        assert_eq!(error(&admin.asks(post("/v1/api-keys", &wished)).await).0, 400, "{life}");
    }
}

#[tokio::test]
async fn q_36_what_is_sent_is_bounded_and_told_as_its_clients_read_it() {
    let face = Face::new().await;
    let relay = Client::with(&face, &["agents"]).await;
    let large = json!({"nick": "w-one", "channels": ["x".repeat(70_000)]});
    assert_eq!(error(&relay.asks(post("/v1/agents/register", &large)).await).0, 413);
    let many = json!({"nick": "w-one", "channels": vec!["#a"; 4000]});
    assert_eq!(error(&relay.asks(post("/v1/agents/register", &many)).await).0, 400);
    let wrong = relay.asks(post(&format!("{NICK}/adopt"), &json!({"type": "emperor"}))).await;
    assert_eq!(error(&wrong).0, 400);
    assert_eq!(relay.asks(get("/v1/agents")).await.json(), json!({"agents": []}));
}
