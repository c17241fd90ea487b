//! The channel of a machine, over a connection in memory.

use std::time::Duration;

use axum::body::Body;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use muster_model::MachineId;
use muster_server::serve::Peer;
use muster_testkit::world::{Device, leaf, machine_id};
use muster_wire::channel::{AgentFrame, MAX_FRAME, Order, PATH, SUBPROTOCOL, ServerFrame};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tower::ServiceExt;

use crate::face::{Face, local, post, stranger, with, with_certificate};

type Socket = WebSocketStream<DuplexStream>;

/// Asks for the channel over a connection of this peer.
async fn ask(face: &Face, peer: Peer, protocol: Option<&'static str>) -> Result<Socket, Error> {
    let (ours, theirs) = tokio::io::duplex(256 * 1024);
    let (router, draining) = (face.router.clone(), face.draining.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        request.extensions_mut().insert(draining.clone());
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(theirs), service).with_upgrades();
    tokio::spawn(async move {
        // It ends as the client ends it.
        connection.await.unwrap_or_default();
    });
    let mut request = format!("ws://muster.test{PATH}").into_client_request()?;
    if let Some(protocol) = protocol {
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
    }
    tokio_tungstenite::client_async(request, ours).await.map(|(socket, _)| socket)
}

fn status(refused: Result<Socket, Error>) -> StatusCode {
    match refused {
        Err(Error::Http(response)) => response.status(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

async fn machine(face: &Face, name: &str) -> (MachineId, Peer) {
    let enrolled = face.world.enroll(&Device::new(name)).await;
    let der = leaf(enrolled.credential.certificate.as_deref().expect("a certificate"));
    (machine_id(&enrolled.machine.id), with_certificate(der))
}

/// An open channel on which everything was said that is said at first, and nothing is left to answer.
async fn open(face: &Face, peer: &Peer) -> Socket {
    let mut socket = ask(face, peer.clone(), Some(SUBPROTOCOL)).await.expect("a channel");
    let hello = frame(&mut socket).await.expect("a frame");
    assert!(matches!(hello, ServerFrame::Hello { .. }), "{hello:?}");
    let ping = socket.next().await.expect("a message").expect("a message");
    assert!(matches!(ping, Message::Ping(_)), "{ping:?}");
    socket.flush().await.expect("the pong goes out");
    socket
}

/// The next frame, or why there is none.
async fn frame(socket: &mut Socket) -> Result<ServerFrame, Option<CloseCode>> {
    while let Some(message) = socket.next().await {
        match message {
            Ok(Message::Text(text)) => return Ok(serde_json::from_str(&text).expect("a frame")),
            Ok(Message::Close(close)) => return Err(close.map(|close| close.code)),
            Ok(_) => {}
            Err(_) => return Err(None),
        }
    }
    Err(None)
}

async fn order(socket: &mut Socket) -> (u64, Order, Option<String>) {
    match frame(socket).await.expect("a frame") {
        ServerFrame::Order { id, order, reason } => (id, order, reason),
        other => panic!("no order: {other:?}"),
    }
}

async fn acknowledge(socket: &mut Socket, id: u64) {
    let text = serde_json::to_string(&AgentFrame::Ack { id }).expect("JSON");
    socket.send(Message::Text(text.into())).await.expect("sent");
}

async fn act(face: &Face, machine: MachineId, verb: &str, reason: &str) {
    let answer =
        face.admin(post(&format!("/v1/machines/{machine}/{verb}"), &json!({ "reason": reason }))).await;
    assert_eq!(answer.status, StatusCode::OK, "{verb}");
}

#[tokio::test]
async fn it_opens_for_machines_that_speak_its_protocol_and_for_nobody_else() {
    let face = Face::new().await;
    let (_, peer) = machine(&face, "web-1").await;
    for protocol in [None, Some("muster.channel.v2"), Some("chat"), Some("muster.channel.v1x")] {
        assert_eq!(status(ask(&face, peer.clone(), protocol).await), StatusCode::BAD_REQUEST, "{protocol:?}");
    }
    assert_eq!(status(ask(&face, stranger(), Some(SUBPROTOCOL)).await), StatusCode::UNAUTHORIZED);
    assert_eq!(status(ask(&face, local(0), Some(SUBPROTOCOL)).await), StatusCode::FORBIDDEN);
    assert_eq!(face.world.app.registry().online(), 0);
    ask(&face, peer, Some(SUBPROTOCOL)).await.expect("a channel");
}

#[tokio::test]
async fn what_is_no_handshake_is_a_problem_document() {
    let face = Face::new().await;
    let (_, peer) = machine(&face, "web-1").await;
    let plain = face.send(peer.clone(), crate::face::get(PATH)).await;
    assert_eq!((plain.status, plain.code()), (StatusCode::BAD_REQUEST, "malformed".to_owned()));
    let old = with(with(crate::face::get(PATH), "upgrade", "websocket"), "connection", "upgrade");
    let old = face.send(peer, with(old, "sec-websocket-version", "8")).await;
    assert_eq!(old.problem()["errors"][0]["path"], "Upgrade");
}

#[tokio::test]
async fn it_says_who_the_machine_is_and_brings_orders() {
    let face = Face::new().await;
    let (id, peer) = machine(&face, "web-1").await;
    let mut socket = ask(&face, peer, Some(SUBPROTOCOL)).await.expect("a channel");
    let hello = frame(&mut socket).await.expect("a frame");
    let expected = ServerFrame::Hello {
        machine: id.to_string(),
        state: "active".to_owned(),
        server_time: face.world.clock.now(),
    };
    assert_eq!(hello, expected);
    assert!(face.world.machine(&id.to_string()).await.machine.online);

    act(&face, id, "suspend", "for repair").await;
    assert_eq!(order(&mut socket).await, (1, Order::Suspend, Some("for repair".to_owned())));
    acknowledge(&mut socket, 1).await;
    let resumed = face.admin(post(&format!("/v1/machines/{id}/resume"), &json!({}))).await;
    assert_eq!(resumed.status, StatusCode::OK);
    assert_eq!(order(&mut socket).await, (2, Order::Resume, None));
    act(&face, id, "retire", "scrapped").await;
    assert_eq!(order(&mut socket).await, (3, Order::Retire, Some("scrapped".to_owned())));
    acknowledge(&mut socket, 3).await;
    assert_eq!(frame(&mut socket).await, Err(Some(CloseCode::Normal)), "and that was all");
}

#[tokio::test]
async fn a_machine_that_was_acted_on_while_it_was_away_hears_of_it_first_of_all() {
    let face = Face::new().await;
    let (id, peer) = machine(&face, "web-1").await;
    act(&face, id, "suspend", "for repair").await;
    let mut socket = ask(&face, peer, Some(SUBPROTOCOL)).await.expect("a channel");
    let hello = frame(&mut socket).await.expect("a frame");
    assert!(matches!(hello, ServerFrame::Hello { state, .. } if state == "suspended"));
}

#[tokio::test]
async fn q_33_a_revocation_cuts_an_open_channel_and_keeps_it_cut() {
    let face = Face::new().await;
    let (id, peer) = machine(&face, "web-1").await;
    let mut socket = open(&face, &peer).await;
    act(&face, id, "revoke", "stolen").await;
    assert_eq!(order(&mut socket).await.1, Order::Revoked);
    acknowledge(&mut socket, 1).await;
    assert_eq!(frame(&mut socket).await, Err(Some(CloseCode::Normal)));
    assert_eq!(status(ask(&face, peer, Some(SUBPROTOCOL)).await), StatusCode::FORBIDDEN);
    assert_eq!(face.world.app.registry().online(), 0);
}

#[tokio::test]
async fn q_33_a_machine_that_does_not_acknowledge_its_end_is_cut_off_all_the_same() {
    let face = Face::new().await;
    let (id, peer) = machine(&face, "web-1").await;
    let mut socket = open(&face, &peer).await;
    act(&face, id, "revoke", "stolen").await;
    assert_eq!(order(&mut socket).await.1, Order::Revoked);
    tokio::time::pause();
    let start = Instant::now();
    assert!(frame(&mut socket).await.is_err());
    assert!(start.elapsed() <= Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_newer_channel_takes_the_place_of_the_older() {
    let face = Face::new().await;
    let (id, peer) = machine(&face, "web-1").await;
    let mut older = open(&face, &peer).await;
    let mut newer = open(&face, &peer).await;
    assert_eq!(frame(&mut older).await, Err(Some(CloseCode::Policy)));
    assert!(face.world.machine(&id.to_string()).await.machine.online);
    act(&face, id, "suspend", "x").await;
    assert_eq!(order(&mut newer).await.1, Order::Suspend);
}

#[tokio::test]
async fn a_silent_machine_is_offline_within_fifteen_seconds() {
    let face = Face::new().await;
    let (_, peer) = machine(&face, "web-1").await;
    // Nobody reads this socket, so nobody answers the pings.
    let socket = open(&face, &peer).await;
    assert_eq!(face.world.app.registry().online(), 1);
    tokio::time::pause();
    let start = Instant::now();
    while face.world.app.registry().online() == 1 && start.elapsed() < Duration::from_secs(60) {
        tokio::time::advance(Duration::from_millis(250)).await;
        tokio::task::yield_now().await;
    }
    let silent = start.elapsed();
    assert!((Duration::from_secs(11)..=Duration::from_secs(15)).contains(&silent), "{silent:?}");
    drop(socket);
}

#[tokio::test]
async fn a_machine_that_answers_pings_stays_online_without_a_write() {
    let face = Face::new().await;
    let (_, peer) = machine(&face, "web-1").await;
    let mut socket = open(&face, &peer).await;
    let writes = face.world.writes();
    tokio::time::pause();
    let mut pings = 0;
    while pings < 60 {
        match socket.next().await.expect("it stays open").expect("it stays open") {
            Message::Ping(_) => pings += 1,
            other => panic!("nothing is said without cause: {other:?}"),
        }
        // A pong goes out with the next flush.
        socket.flush().await.expect("it stays open");
    }
    assert_eq!(face.world.app.registry().online(), 1);
    assert_eq!(face.world.writes(), writes, "five minutes cost no write");
}

#[tokio::test]
async fn what_is_no_frame_ends_the_channel() {
    let face = Face::new().await;
    let (_, peer) = machine(&face, "web-1").await;
    let long = "x".repeat(MAX_FRAME + 1);
    for text in ["", "{}", "[]", r#"{"type":"order","id":1,"order":"retire"}"#, "null", long.as_str()] {
        let mut socket = open(&face, &peer).await;
        socket.send(Message::Text(text.to_owned().into())).await.expect("sent");
        let ended = frame(&mut socket).await;
        assert!(ended.is_err(), "{:?}", text.get(..20));
    }
    let mut socket = open(&face, &peer).await;
    socket.send(Message::Binary(vec![0; 10].into())).await.expect("sent");
    assert_eq!(frame(&mut socket).await, Err(Some(CloseCode::Protocol)));
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let face = Face::new().await;
    let (_, peer) = machine(&face, "web-1").await;
    let mut socket = open(&face, &peer).await;
    face.shutdown.trigger();
    assert_eq!(frame(&mut socket).await, Err(Some(CloseCode::Away)));
}
