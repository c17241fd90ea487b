//! The channel of a machine: `GET /v1/machines/self/channel`, a WebSocket (RFC 6455).
//!
//! It carries presence and orders. The server pings; whoever has been silent for too long is offline.

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use muster_app::Store;
use muster_app::{Channel, ChannelOrder, MachineCaller, Origin};
use muster_wire::channel::{AgentFrame, MAX_FRAME, SUBPROTOCOL, ServerFrame};
use tokio::time::{Instant, sleep_until, timeout};

use crate::problem::Failure;
use crate::serve::Draining;
use crate::socket::{GRACE, PATIENCE, bounded, close, ping, pings, put};
use crate::state::ServerState;

/// Hold the machine's channel.
#[utoipa::path(
    get, path = "/v1/machines/self/channel", tag = "machine",
    responses(
        (status = 101, description = "A WebSocket of the sub-protocol muster.channel.v1."),
        (status = "default", body = muster_wire::Problem)
    )
)]
pub(super) async fn channel<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Extension(draining): Extension<Draining>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let caller = *origin.caller.machine()?;
    let upgrade = bounded(upgrade, SUBPROTOCOL, MAX_FRAME)?;
    Ok(upgrade.on_upgrade(move |socket| held(state, caller, socket, draining)))
}

/// Holds the channel until either side ends it.
async fn held<S: Store>(
    state: ServerState<S>,
    caller: MachineCaller,
    mut socket: WebSocket,
    draining: Draining,
) {
    let Ok(mut channel) = state.app.channel_open(&caller).await else {
        return close(&mut socket, close_code::POLICY, "connect again to learn why").await;
    };
    if greet(&state, &caller, &mut socket).await {
        converse(&state, &mut channel, &mut socket, draining).await;
    }
    state.app.channel_closed(channel).await;
}

/// Tells the machine who it is and where it stands, as it is now: it may have been acted on while it was away.
async fn greet<S: Store>(state: &ServerState<S>, caller: &MachineCaller, socket: &mut WebSocket) -> bool {
    let Ok(machine) = state.app.self_view(caller).await else { return false };
    let hello =
        ServerFrame::Hello { machine: machine.id, state: machine.state, server_time: state.app.now() };
    send(socket, &hello).await
}

async fn converse<S: Store>(
    state: &ServerState<S>,
    channel: &mut Channel,
    socket: &mut WebSocket,
    mut draining: Draining,
) {
    let mut pings = pings();
    let mut deadline = Instant::now() + PATIENCE;
    let mut next = 0;
    loop {
        tokio::select! {
            _ = draining.started() => return close(socket, close_code::AWAY, "the server stops").await,
            () = sleep_until(deadline) => return,
            _ = pings.tick() => if !ping(socket).await { return },
            order = channel.orders.recv() => {
                next += 1;
                if !give(socket, next, order).await { return }
            }
            frame = socket.recv() => {
                let Some(Ok(frame)) = frame else { return };
                channel.heard(state.app.now());
                deadline = Instant::now() + PATIENCE;
                if !fits(&frame) {
                    return close(socket, close_code::PROTOCOL, "not a frame of muster.channel.v1").await;
                }
            }
        }
    }
}

/// Whether an agent may send this. What follows a closing frame is the end of the stream.
fn fits(frame: &Message) -> bool {
    match frame {
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => true,
        Message::Text(_) | Message::Binary(_) => acknowledged(frame).is_some(),
    }
}

/// Gives an order. After the last one, and where none will ever come, the channel ends.
async fn give(socket: &mut WebSocket, id: u64, order: Option<ChannelOrder>) -> bool {
    let Some(ChannelOrder { order, reason, last }) = order else {
        close(socket, close_code::POLICY, "a newer channel took this one's place").await;
        return false;
    };
    if !send(socket, &ServerFrame::Order { id, order, reason }).await {
        return false;
    }
    if last {
        let acknowledgement = async {
            while let Some(Ok(frame)) = socket.recv().await {
                if acknowledged(&frame) == Some(id) {
                    break;
                }
            }
        };
        // Whether it came in time changes nothing: the identity has ended.
        timeout(GRACE, acknowledgement).await.unwrap_or_default();
        close(socket, close_code::NORMAL, "the identity has ended").await;
    }
    !last
}

fn acknowledged(frame: &Message) -> Option<u64> {
    match frame {
        Message::Text(text) => match serde_json::from_str(text.as_str()).ok()? {
            AgentFrame::Ack { id } => Some(id),
        },
        _ => None,
    }
}

async fn send(socket: &mut WebSocket, frame: &ServerFrame) -> bool {
    let json = serde_json::to_string(frame).expect("a frame is JSON");
    put(socket, Message::Text(json.into())).await
}
