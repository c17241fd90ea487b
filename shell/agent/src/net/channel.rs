//! The channel: a WebSocket (RFC 6455) over mutual TLS that carries presence and orders.
//!
//! Buffers are small, frames bounded; a server that is silent for 20 s counts as gone. Decides nothing: what it
//! hears goes to the driver, what the driver acknowledges goes out.

use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use muster_agent_core::Verdict;
use muster_wire::channel::{AGENT_PATIENCE, AgentFrame, MAX_FRAME, PATH, SUBPROTOCOL, ServerFrame};
use muster_wire::trust::BUNDLE_HEADER;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::net::calls::Line;
use crate::net::client::{Call, Client};
use crate::net::fault::judge;
use crate::net::tls;
use crate::store::Enrolled;

const PATIENCE: Duration = Duration::from_secs(AGENT_PATIENCE);
const SEND_LIMIT: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Where a channel's frames go, with the number of that channel: there may be two, while a key takes the place of another.
#[derive(Clone)]
pub(crate) struct Ear {
    pub(crate) number: u32,
    pub(crate) heard: mpsc::Sender<(u32, ServerFrame)>,
}

/// Holds a channel until it is lost; says why it was.
pub(crate) async fn hold(
    line: Line,
    enrolled: Enrolled,
    ear: Ear,
    mut said: mpsc::Receiver<AgentFrame>,
) -> Verdict {
    match open(&line, &enrolled).await {
        Ok((mut socket, _client)) => match talk(&mut socket, &ear, &mut said).await {
            Ok(()) => Verdict::later("the channel was closed"),
            Err(verdict) => verdict,
        },
        Err(verdict) => line.with_the_hour(verdict, &enrolled).await,
    }
}

async fn open(line: &Line, enrolled: &Enrolled) -> Result<(Socket, Client), Verdict> {
    let config = tls::mutual(enrolled, &line.ports.clock)?;
    let client = Client::verified(&line.ports, &line.endpoint, config);
    let key = generate_key();
    let mut call = request(&key)?;
    line.signer.tell_slot(&mut call, enrolled.base)?;
    call.headers.insert(BUNDLE_HEADER, HeaderValue::from(enrolled.identity.trust.version));
    let (mut response, client) = client.upgrade(call).await?;
    if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(client.refused(response).await);
    }
    let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT);
    if accept.map(HeaderValue::as_bytes) != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(Verdict::later("the channel was opened by something that is no WebSocket server"));
    }
    let upgraded = hyper::upgrade::on(&mut response).await;
    let upgraded = upgraded.map_err(|error| judge("opening the channel", &error))?;
    let io = TokioIo::new(upgraded);
    Ok((WebSocketStream::from_raw_socket(io, Role::Client, Some(small())).await, client))
}

fn request(key: &str) -> Result<Call<'static>, Verdict> {
    let mut call = Call::get(PATH);
    let key = HeaderValue::try_from(key).map_err(|error| judge("opening the channel", &error))?;
    call.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    call.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    call.headers.insert(SEC_WEBSOCKET_KEY, key);
    call.headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
    call.headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(call)
}

fn small() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(2048)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MAX_FRAME)
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME))
}

/// Hears and acknowledges until the server leaves, the driver does, or nothing is heard for too long.
async fn talk(socket: &mut Socket, ear: &Ear, said: &mut mpsc::Receiver<AgentFrame>) -> Result<(), Verdict> {
    let mut patience = Instant::now() + PATIENCE;
    loop {
        tokio::select! {
            message = socket.next() => {
                patience = Instant::now() + PATIENCE;
                match message {
                    Some(Ok(Message::Text(text))) => hear(&text, ear).await?,
                    Some(Ok(Message::Close(_))) | None => return Ok(()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(judge("on the channel", &error)),
                }
            }
            frame = said.recv() => match frame {
                Some(frame) => say(socket, &frame).await?,
                None => return Ok(()),
            },
            () = sleep_until(patience) => {
                return Err(Verdict::later(format!("nothing was heard on the channel for {AGENT_PATIENCE} s")));
            }
        }
    }
}

async fn hear(text: &str, ear: &Ear) -> Result<(), Verdict> {
    let frame: ServerFrame = serde_json::from_str(text)
        .map_err(|error| Verdict::later(format!("on the channel: an odd frame: {error}")))?;
    ear.heard.send((ear.number, frame)).await.or(Err(Verdict::later("the agent stops")))
}

async fn say(socket: &mut Socket, frame: &AgentFrame) -> Result<(), Verdict> {
    let text = serde_json::to_string(frame).expect("a number is always JSON");
    let sent = timeout(SEND_LIMIT, socket.send(Message::text(text))).await;
    match sent {
        Ok(Ok(()) | Err(Error::ConnectionClosed)) => Ok(()),
        Ok(Err(error)) => Err(judge("on the channel", &error)),
        Err(_) => Err(Verdict::later("the channel takes no more")),
    }
}
