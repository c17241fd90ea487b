//! The wire of studio-worker: what its client sends, and what each answer makes it do.
//!
//! What was weak where this client came from, by its number, and the test that shows it is not here (`…` is this file, `S` the
//! scenario `studio_worker`, `R` the scenario `real_clients`):
//!
//! | weakness | test |
//! |---|---|
//! | 1, 9, 10 an approval that the client failed to keep is lost | `a_worker_asks_is_approved_and_gets_the_same_key_however_often_it_polls`; S, over a kill |
//! | 2, 13 its own files and display | no server has a part in it |
//! | 3 401 or 403 to a poll wedges it | `only_what_is_gone_is_404_and_a_poll_is_never_401` |
//! | 4 another secret under a known install takes or wedges the request | the same; S |
//! | 5 the poll's secret ends the key of a worker at work | `a_worker_asks_…`; `hold::keyless_tests` in `core/lifecycle` |
//! | 6 a rejected one asks again and again | `a_rejected_worker_that_asks_again_is_one_line_that_counts` |
//! | 7 who was removed comes back as a stranger | R: the tombstone stays, the newcomer waits for a person |
//! | 8, 16 the key is shown to others, and often | `q_02_a_key_opens_the_socket_of_its_own_machine_alone`, `the_first_frame_is_hello_…`; S: not in the log |
//! | 11 all come at once, with no regard for `Retry-After` | `heartbeats_write_nothing`, `two_daemons_with_one_key_…`, `limits::rate` |
//! | 12 the worker's id goes into paths as it is | `a_worker_asks_…`: letters and digits |
//! | 14 401 ends it until a person comes | `a_pause_is_transient_…`, `an_outage_while_it_connects_…`, `an_older_database_ends_no_worker` |
//! | 15 strangers say what they like before they are approved | `q_36_what_a_stranger_sends_is_bounded_and_unknown_fields_are_taken` |
//!
//! What a server must do for it: poll and statuses, `only_what_is_gone_…`, `a_worker_asks_…`; one request for install and hash,
//! `only_what_is_gone_…`; sub-protocol, frames and codes that it knows, `a_session_is_welcomed_…`, `said::tests` in
//! `compat/studio_worker`; 404 and 4004 for what is gone alone, `a_worker_that_is_retired_…`, `an_older_database_…`; 4003 that
//! does not flap, `two_daemons_…`; an answer within 20 s, `socket` of the server pings every 5 s; S on both stores.

use axum::body::Body;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use muster_app::Mark;
use muster_model::{AuditId, EntryPlace};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tower::ServiceExt;

use crate::face::{Answer, Face, get, post, stranger, with};

const WORKERS: &str = "/graphics/api/workers";
const INSTALL: &str = "1d848de4-9446-7f86-0556-a1cd78668dfd";

type Socket = WebSocketStream<DuplexStream>;

/// A body as the client sends it: every field, in its order.
pub(crate) fn body(install: &str, secret: &str) -> Value {
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(secret.as_bytes()));
    json!({"installId": install, "registrationSecretHash": hash,
        "capabilities": {"machineName": "vm", "username": "root", "agentVersion": "0.4.35", "engine": "multi",
            "vramTotalGb": 0.0, "vramThresholdGb": 12.0, "autoEnabled": true, "autoStart": false,
            "autoUpdate": false, "startMinimised": true, "onlyWhenIdle": false,
            "supportedModels": ["sd-cpp:*", "synthetic"], "taskKinds": ["image", "llm"],
            "supportedModelsPerKind": {"image": ["sd-cpp:*", "synthetic"], "llm": ["synthetic"]},
            "modelEngines": ["sd-cpp", "synthetic"]},
        "userAgent": "studio-worker/0.4.35"})
}

async fn ask(face: &Face, secret: &str) -> String {
    let answer = face.stranger(post(&format!("{WORKERS}/register-request"), &body(INSTALL, secret))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let json = answer.json();
    assert_eq!(json["status"], "pending");
    json["requestId"].as_str().expect("a request id").to_owned()
}

async fn poll(face: &Face, request: &str, secret: &str) -> Answer {
    let path = format!("{WORKERS}/register-requests/{request}");
    face.stranger(with(get(&path), "authorization", &format!("Bearer {secret}"))).await
}

async fn act(face: &Face, path: &str, body: &Value) {
    let answer = face.admin(post(path, body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
}

/// A worker that was approved: its id and its key.
async fn worker(face: &Face, secret: &str) -> (String, String) {
    let request = ask(face, secret).await;
    act(face, &format!("/v1/holds/{request}/approve"), &json!({})).await;
    let answer = poll(face, &request, secret).await.json();
    assert_eq!(answer["status"], "approved");
    let text = |field: &str| answer[field].as_str().expect("a text").to_owned();
    (text("workerId"), text("authToken"))
}

async fn connect(face: &Face, worker: &str, token: &str, protocol: bool) -> Result<Socket, Error> {
    let (ours, theirs) = tokio::io::duplex(1024 * 1024);
    let (router, draining) = (face.router.clone(), face.draining.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(stranger());
        request.extensions_mut().insert(draining.clone());
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(theirs), service).with_upgrades();
    tokio::spawn(async move {
        // It ends as the client ends it.
        connection.await.unwrap_or_default();
    });
    let mut request = format!("ws://muster.test/outer{WORKERS}/{worker}/connect").into_client_request()?;
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
    request.headers_mut().insert("authorization", bearer);
    if protocol {
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("studio-worker-v1"));
    }
    let (socket, response) = tokio_tungstenite::client_async(request, ours).await?;
    assert_eq!(response.headers()["sec-websocket-protocol"], "studio-worker-v1");
    Ok(socket)
}

async fn refused(face: &Face, worker: &str, token: &str) -> StatusCode {
    match connect(face, worker, token, true).await {
        Err(Error::Http(response)) => response.status(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

async fn say(socket: &mut Socket, frame: &Value) {
    socket.send(Message::Text(frame.to_string().into())).await.expect("sent");
}

/// The next frame, or the code that the socket was closed with.
async fn hear(socket: &mut Socket) -> Result<Value, u16> {
    while let Some(message) = socket.next().await {
        match message.expect("a message") {
            Message::Text(text) => return Ok(serde_json::from_str(&text).expect("JSON")),
            Message::Close(close) => return Err(close.map_or(0, |close| close.code.into())),
            Message::Binary(_) => panic!("a binary frame"),
            _ => {}
        }
    }
    Err(0)
}

async fn welcomed(face: &Face, worker: &str, token: &str) -> Socket {
    let mut socket = connect(face, worker, token, true).await.expect("a socket");
    say(&mut socket, &json!({"type": "hello", "authToken": token, "capabilities": {"machineName": "vm"}}))
        .await;
    let welcome = hear(&mut socket).await.expect("a frame");
    assert_eq!((&welcome["type"], &welcome["workerId"]), (&json!("welcome"), &json!(worker)));
    assert!(welcome["serverTime"].is_string());
    // Nothing is left to answer: a pong into a socket that was closed would hide what it was closed with.
    let ping = socket.next().await.expect("a message").expect("a message");
    assert!(matches!(ping, Message::Ping(_)), "{ping:?}");
    socket.flush().await.expect("the pong goes out");
    socket
}

/// What a session ends with: the code of the error frame, if there is one, and that of the closing frame.
async fn end(socket: &mut Socket) -> (Option<String>, u16) {
    let mut said = None;
    loop {
        match hear(socket).await {
            Ok(frame) => {
                assert_eq!(frame["type"], "error");
                said = frame["code"].as_str().map(ToOwned::to_owned);
            }
            Err(code) => return (said, code),
        }
    }
}

#[tokio::test]
async fn a_worker_asks_is_approved_and_gets_the_same_key_however_often_it_polls() {
    let face = Face::new().await;
    let request = ask(&face, "secret").await;
    assert_eq!(ask(&face, "secret").await, request, "same install, same hash: the same request");
    assert_eq!(poll(&face, &request, "secret").await.json(), json!({"status": "pending"}));
    let hold = face.admin(get(&format!("/v1/holds/{request}"))).await.json();
    assert_eq!(hold["claimant"]["hardware_id"], INSTALL);
    assert_eq!((&hold["claimant"]["hostname"], &hold["claimant"]["kind"]), (&json!("vm"), &json!("worker")));
    assert_eq!(hold["claimant"]["attributes"]["agent_version"], "0.4.35");
    act(&face, &format!("/v1/holds/{request}/approve"), &json!({})).await;
    assert_eq!(ask(&face, "secret").await, request, "also after it was approved");
    let first = poll(&face, &request, "secret").await.json();
    assert_eq!(first["status"], "approved");
    let id = first["workerId"].as_str().expect("an id");
    assert!(
        id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
        "it goes into paths"
    );
    assert_eq!(poll(&face, &request, "secret").await.json(), first);
}

#[tokio::test]
async fn only_what_is_gone_is_404_and_a_poll_is_never_401() {
    let face = Face::new().await;
    let request = ask(&face, "secret").await;
    let other = ask(&face, "another secret").await;
    assert_ne!(request, other, "same install, another hash: another request");
    for (id, secret) in [(&*request, "another secret"), ("rr-1", "secret"), (&*other, "")] {
        assert_eq!(poll(&face, id, secret).await.status, StatusCode::NOT_FOUND, "{id}");
    }
    act(&face, &format!("/v1/holds/{request}/reject"), &json!({"reason": "not ours"})).await;
    let rejected = json!({"status": "rejected", "reason": "not ours"});
    assert_eq!(poll(&face, &request, "secret").await.json(), rejected);
    assert_eq!(poll(&face, &request, "secret").await.json(), rejected);
    face.world.clock.advance(muster_model::SignedDuration::from_secs(31));
    for answer in [
        poll(&face, &other, "another secret").await,
        face.stranger(post(&format!("{WORKERS}/register-request"), &body(INSTALL, "secret"))).await,
    ] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}

/// It forgets that it was rejected, and asks anew under the same install as soon as it is started.
#[tokio::test]
async fn a_rejected_worker_that_asks_again_is_one_line_that_counts() {
    let face = Face::new().await;
    let first = ask(&face, "secret").await;
    act(&face, &format!("/v1/holds/{first}/reject"), &json!({})).await;
    let again = ask(&face, "its next secret").await;
    assert_eq!(ask(&face, "its next secret").await, again);
    let open = face.admin(get("/v1/holds?state=open")).await.json();
    assert_eq!(open["items"].as_array().map(Vec::len), Some(1), "{open}");
    assert_eq!((&open["items"][0]["id"], &open["items"][0]["asked"]), (&json!(again), &json!(2)));
    assert_eq!(poll(&face, &first, "secret").await.json()["status"], "rejected", "that stands");
}

#[tokio::test]
async fn a_session_is_welcomed_and_every_frame_gets_what_the_client_knows() {
    let face = Face::new().await;
    let (id, token) = worker(&face, "secret").await;
    let mut socket = welcomed(&face, &id, &token).await;
    assert_eq!(face.world.app.registry().online(), 1);
    say(&mut socket, &json!({"type": "heartbeat", "capabilities": {"machineName": "vm"}})).await;
    assert_eq!(hear(&mut socket).await, Ok(json!({"type": "heartbeatAck"})));
    for quiet in [
        json!({"type": "logBatch", "entries": [{"ts": "t", "level": "info", "category": "c", "message": "m"}]}),
        json!({"type": "accept", "jobId": "j"}),
        json!({"type": "reject", "jobId": "j", "reason": "r", "code": "busy"}),
        json!({"type": "somethingNew"}),
    ] {
        say(&mut socket, &quiet).await;
    }
    say(&mut socket, &json!({"type": "completeJson", "jobId": "j1", "result": {"a": [1, {"b": 2}]}})).await;
    assert_eq!(hear(&mut socket).await, Ok(json!({"type": "completeAck", "jobId": "j1"})));
    say(&mut socket, &json!({"type": "fail", "jobId": "j2", "error": "e", "retryable": true})).await;
    assert_eq!(hear(&mut socket).await, Ok(json!({"type": "failAck", "jobId": "j2"})));
    socket.send(Message::Binary(vec![1].into())).await.expect("sent");
    assert_eq!(end(&mut socket).await, (Some("protocol_violation".to_owned()), 4002));
}

#[tokio::test]
async fn heartbeats_write_nothing() {
    let face = Face::new().await;
    let (id, token) = worker(&face, "secret").await;
    let mut socket = welcomed(&face, &id, &token).await;
    let beat = json!({"type": "heartbeat", "capabilities": {"machineName": "vm", "userPresence": "idle"}});
    say(&mut socket, &beat).await;
    hear(&mut socket).await.expect("an answer");
    let writes = face.world.writes();
    for n in 0..20 {
        let presence = if n % 2 == 0 { "active" } else { "idle" };
        let beat = json!({"type": "heartbeat", "capabilities": {"machineName": "vm", "userPresence": presence,
            "autoEnabled": n % 2 == 0}});
        say(&mut socket, &beat).await;
        hear(&mut socket).await.expect("an answer");
    }
    assert_eq!(
        face.world.writes(),
        writes,
        "what it says of itself is written now and then, not at each beat"
    );
}

#[tokio::test]
async fn the_first_frame_is_hello_with_the_key_of_the_same_machine() {
    let face = Face::new().await;
    let (id, token) = worker(&face, "secret").await;
    let first = [
        (json!({"type": "heartbeat", "capabilities": {}}), "protocol_violation", 4002),
        (json!({"type": "hello", "authToken": "wrong", "capabilities": {}}), "auth_failed", 4001),
    ];
    for (frame, code, close) in first {
        let mut socket = connect(&face, &id, &token, true).await.expect("a socket");
        say(&mut socket, &frame).await;
        assert_eq!(end(&mut socket).await, (Some(code.to_owned()), close));
    }
    assert_eq!(face.world.app.registry().online(), 0);
    let unspoken = connect(&face, &id, &token, false).await.expect_err("without the sub-protocol");
    assert!(matches!(unspoken, Error::Http(answer) if answer.status() == StatusCode::BAD_REQUEST));
}

#[tokio::test]
async fn a_worker_that_says_nothing_is_closed_in_time_and_comes_back() {
    let face = Face::new().await;
    let (id, token) = worker(&face, "secret").await;
    let mut socket = connect(&face, &id, &token, true).await.expect("a socket");
    tokio::time::pause();
    assert_eq!(end(&mut socket).await, (None, 1013), "no hello in time: it connects again");
}

#[tokio::test]
async fn a_second_socket_closes_the_older_one_with_4003_and_stays() {
    let face = Face::new().await;
    let (id, token) = worker(&face, "secret").await;
    let mut older = welcomed(&face, &id, &token).await;
    let mut newer = welcomed(&face, &id, &token).await;
    assert_eq!(end(&mut older).await, (None, 4003), "no error frame: that one would end the daemon");
    say(&mut newer, &json!({"type": "heartbeat"})).await;
    assert_eq!(hear(&mut newer).await, Ok(json!({"type": "heartbeatAck"})));
}

#[tokio::test]
async fn a_pause_is_transient_a_revocation_stops_and_only_retirement_lets_it_start_over() {
    let face = Face::new().await;
    let (id, token) = worker(&face, "secret").await;
    let machine = format!("/v1/machines/{id}");
    let mut socket = welcomed(&face, &id, &token).await;
    act(&face, &format!("{machine}/suspend"), &json!({})).await;
    assert_eq!(end(&mut socket).await, (None, 1013));
    assert_eq!(refused(&face, &id, &token).await, StatusCode::FORBIDDEN);
    act(&face, &format!("{machine}/resume"), &json!({})).await;
    let mut socket = welcomed(&face, &id, &token).await;
    act(&face, &format!("{machine}/revoke"), &json!({})).await;
    assert_eq!(end(&mut socket).await, (Some("auth_failed".to_owned()), 4001));
    assert_eq!(refused(&face, &id, &token).await, StatusCode::UNAUTHORIZED);
    act(&face, &format!("{machine}/retire"), &json!({})).await;
    assert_eq!(refused(&face, &id, &token).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_worker_that_is_retired_is_told_on_its_socket_that_it_was_deleted() {
    let face = Face::new().await;
    let (id, token) = worker(&face, "secret").await;
    let mut socket = welcomed(&face, &id, &token).await;
    act(&face, &format!("/v1/machines/{id}/retire"), &json!({})).await;
    assert_eq!(end(&mut socket).await, (Some("worker_deleted".to_owned()), 4004));
}

#[tokio::test]
async fn q_02_a_key_opens_the_socket_of_its_own_machine_alone() {
    let face = Face::new().await;
    let (id, token) = worker(&face, "secret").await;
    let other = muster_model::MachineId::new(1, [1; 10]).to_string();
    assert_eq!(refused(&face, &other, &token).await, StatusCode::FORBIDDEN, "403 is tried again, not 404");
    assert_eq!(refused(&face, &id, "mst_bearer_x").await, StatusCode::UNAUTHORIZED);
    assert_eq!(face.world.app.registry().online(), 0);
}

#[tokio::test]
async fn an_outage_while_it_connects_is_neither_401_nor_404() {
    let face = Face::new().await;
    let (id, token) = worker(&face, "secret").await;
    face.world.app.look(None).await.expect("a look");
    face.world.clock.advance(muster_model::SignedDuration::from_secs(31));
    assert_eq!(refused(&face, &id, &token).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn an_upload_is_taken_from_the_worker_itself_and_let_go() {
    let face = Face::new().await;
    let (id, token) = worker(&face, "secret").await;
    let upload = |worker: &str, token: &str| {
        let request = Request::post(format!("{WORKERS}/{worker}/jobs/j1/complete"));
        let request = request
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "multipart/form-data; boundary=x");
        face.stranger(request.body(Body::from(vec![7; 300 * 1024])).expect("a request"))
    };
    assert_eq!(upload(&id, &token).await.status, StatusCode::OK);
    let other = muster_model::MachineId::new(1, [1; 10]).to_string();
    assert_eq!(upload(&other, &token).await.status, StatusCode::FORBIDDEN);
    assert_eq!(upload(&id, "mst_bearer_x").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn q_36_what_a_stranger_sends_is_bounded_and_unknown_fields_are_taken() {
    let face = Face::new().await;
    let path = format!("{WORKERS}/register-request");
    let with_field = |value: Value| {
        let mut request = body(INSTALL, "secret");
        request["capabilities"]["somethingNew"] = value;
        post(&path, &request)
    };
    assert_eq!(face.stranger(with_field(json!({"a": [1, 2]}))).await.status, StatusCode::OK);
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(face.stranger(with_field(deep)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(face.stranger(with_field(json!(vec![0; 2000]))).await.status, StatusCode::OK, "many models");
    assert_eq!(face.stranger(with_field(json!(vec![0; 21_000]))).await.status, StatusCode::BAD_REQUEST);
    let large = face.stranger(with_field(json!("x".repeat(70_000)))).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    let no_hash = json!({"installId": INSTALL, "registrationSecretHash": "short", "capabilities": {}});
    let wrong = face.stranger(post(&path, &no_hash)).await;
    assert_eq!(wrong.json()["code"], "malformed");
}

/// A database that was put back knows neither the newest requests nor the newest keys: nothing is said of them.
#[tokio::test]
async fn an_older_database_ends_no_worker() {
    let face = Face::new().await;
    let (id, token) = worker(&face, "secret").await;
    let mut socket = welcomed(&face, &id, &token).await;
    let mark = face.world.app.look(None).await.expect("a look");
    let newest = mark.newest.map(|place| EntryPlace { seq: place.seq + 30, id: AuditId::new(9, [9; 10]) });
    face.world.app.look(Some(&Mark { newest, ..mark })).await.expect("a look");
    let gone = muster_model::HoldId::new(9, [9; 10]).to_string();
    assert_eq!(poll(&face, &gone, "secret").await.status, StatusCode::SERVICE_UNAVAILABLE, "asked since");
    let register = post(&format!("{WORKERS}/register-request"), &body(INSTALL, "another"));
    assert_eq!(face.stranger(register).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let newer = muster_model::MachineId::new(9, [9; 10]).to_string();
    let unknown = muster_model::Secret::new(muster_model::SecretKind::Bearer, [9; 10], [9; 32]).reveal();
    assert_eq!(refused(&face, &newer, &unknown).await, StatusCode::SERVICE_UNAVAILABLE, "approved since");
    say(&mut socket, &json!({"type": "heartbeat"})).await;
    assert_eq!(hear(&mut socket).await, Ok(json!({"type": "heartbeatAck"})), "who is known goes on");
    let mut again = welcomed(&face, &id, &token).await;
    say(&mut again, &json!({"type": "heartbeat"})).await;
    assert_eq!(hear(&mut again).await, Ok(json!({"type": "heartbeatAck"})), "and comes back");
}

/// Two daemons with one key push each other off at every second. They do so a few times; then one holds the socket, the
/// other one waits, and the audit log tells.
#[tokio::test]
async fn two_daemons_with_one_key_stop_pushing_each_other_off_and_an_operator_is_told() {
    let face = Face::new().await;
    let (id, token) = worker(&face, "secret").await;
    let contended = async || {
        let told = face.world.audit().await;
        told.iter().filter(|entry| entry.action == "machine.contended" && entry.reason == "alarm").count()
    };
    let mut holder = welcomed(&face, &id, &token).await;
    for n in 0..4 {
        assert_eq!(contended().await, 0, "{n}");
        let newer = welcomed(&face, &id, &token).await;
        assert_eq!(end(&mut holder).await, (None, 4003));
        holder = newer;
    }
    assert_eq!(contended().await, 1);
    for _ in 0..20 {
        assert_eq!(
            refused(&face, &id, &token).await,
            StatusCode::TOO_MANY_REQUESTS,
            "it tries later, slower"
        );
    }
    say(&mut holder, &json!({"type": "heartbeat"})).await;
    assert_eq!(hear(&mut holder).await, Ok(json!({"type": "heartbeatAck"})), "one of them is at work");
    assert_eq!(contended().await, 1, "one line");
    holder.close(None).await.expect("closed");
    while face.world.app.registry().online() > 0 {
        tokio::task::yield_now().await;
    }
    let mut other = welcomed(&face, &id, &token).await;
    say(&mut other, &json!({"type": "heartbeat"})).await;
    assert_eq!(hear(&mut other).await, Ok(json!({"type": "heartbeatAck"})), "whose place is free it takes");
}
