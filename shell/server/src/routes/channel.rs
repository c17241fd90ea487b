//! The channel of a machine: `GET /v1/machines/self/channel`, a WebSocket (RFC 6455).
//!
//! It carries presence and orders. The server pings; whoever has been silent for too long is offline.

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use http::HeaderMap;
use muster_app::Store;
use muster_app::{Channel, ChannelOrder, MachineCaller, Origin};
use muster_wire::channel::{AgentFrame, MAX_FRAME, SUBPROTOCOL, ServerFrame};
use muster_wire::trust::BUNDLE_HEADER;
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
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let caller = *origin.caller.machine()?;
    let upgrade = bounded(upgrade, SUBPROTOCOL, MAX_FRAME)?;
    let holds = holds(&headers);
    Ok(upgrade.on_upgrade(move |socket| held(state, (caller, holds), socket, draining)))
}

/// The version of the bundle of roots that the machine says it holds. One that says nothing, or something odd, is not sent
/// a newer one: it would not understand.
fn holds(headers: &HeaderMap) -> Option<u64> {
    headers.get(BUNDLE_HEADER)?.to_str().ok()?.parse().ok().filter(|bundle| *bundle > 0)
}

/// Holds the channel until either side ends it.
async fn held<S: Store>(
    state: ServerState<S>,
    (caller, holds): (MachineCaller, Option<u64>),
    mut socket: WebSocket,
    draining: Draining,
) {
    let Ok(mut channel) = state.app.channel_open_holding(&caller, holds).await else {
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
    let mut steps = state.app.ca_steps();
    loop {
        tokio::select! {
            _ = draining.started() => return close(socket, close_code::AWAY, "the server stops").await,
            () = sleep_until(deadline) => return,
            _ = pings.tick() => if !ping(socket).await { return },
            order = channel.orders.recv() => {
                next += 1;
                if !give(socket, next, order).await { return }
            }
            Ok(()) = steps.changed() => if !entrust(state, channel, socket).await { return },
            frame = socket.recv() => {
                let Some(Ok(frame)) = frame else { return };
                deadline = Instant::now() + PATIENCE;
                if !hear(state, channel, &frame).await {
                    return close(socket, close_code::PROTOCOL, "not a frame of muster.channel.v1").await;
                }
            }
        }
    }
}

/// Hears a frame; false where no agent sends one like it.
async fn hear<S: Store>(state: &ServerState<S>, channel: &Channel, frame: &Message) -> bool {
    channel.heard(state.app.now());
    match said(frame) {
        Said::Holds(bundle) => state.app.channel_holds(channel, bundle).await,
        Said::Nothing => {}
        Said::Odd => return false,
    }
    true
}

/// Gives the newest bundle of roots to a machine that holds an older one, over a connection that the one it holds vouches
/// for.
async fn entrust<S: Store>(state: &ServerState<S>, channel: &Channel, socket: &mut WebSocket) -> bool {
    let trust = state.app.trust();
    match channel.bundle() {
        Some(bundle) if bundle < trust.version => send(socket, &ServerFrame::Trust { trust }).await,
        Some(_) | None => true,
    }
}

/// What a frame says.
enum Said {
    /// The machine holds this version.
    Holds(u64),
    /// Nothing that changes anything here. What follows a closing frame is the end of the stream.
    Nothing,
    /// What no agent says.
    Odd,
}

fn said(frame: &Message) -> Said {
    match frame {
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Said::Nothing,
        Message::Text(text) => match serde_json::from_str(text.as_str()) {
            Ok(AgentFrame::Holds { bundle }) => Said::Holds(bundle),
            Ok(AgentFrame::Ack { .. }) => Said::Nothing,
            Err(_) => Said::Odd,
        },
        Message::Binary(_) => Said::Odd,
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
            AgentFrame::Holds { .. } => None,
        },
        _ => None,
    }
}

async fn send(socket: &mut WebSocket, frame: &ServerFrame) -> bool {
    let json = serde_json::to_string(frame).expect("a frame is JSON");
    put(socket, Message::Text(json.into())).await
}
