//! What every WebSocket of ours has in common (RFC 6455): one sub-protocol, small buffers, and bounds of time. A fleet holds
//! thousands of idle ones.

use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use muster_wire::channel::{PING_EVERY, SERVER_PATIENCE};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::problem::Failure;
use crate::route::wrong_field;

/// How long a peer may be silent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(SERVER_PATIENCE);
/// How long it may take to take a frame, or to answer the last one.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
const BUFFER: usize = 1024;

/// An upgrade to a sub-protocol that the peer must offer, with frames up to this many bytes.
pub(crate) fn bounded(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    protocol: &'static str,
    max_frame: usize,
) -> Result<WebSocketUpgrade, Failure> {
    let upgrade = upgrade.map_err(|rejection| wrong_field("Upgrade", &rejection.body_text()))?;
    let upgrade = upgrade
        .protocols([protocol])
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * max_frame)
        .max_message_size(max_frame)
        .max_frame_size(max_frame);
    match upgrade.selected_protocol() {
        Some(_) => Ok(upgrade),
        None => Err(wrong_field("Sec-WebSocket-Protocol", &format!("does not offer {protocol}"))),
    }
}

/// When to ping the peer.
pub(crate) fn pings() -> Interval {
    let mut pings = interval(Duration::from_secs(PING_EVERY));
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}

/// Whether the peer took the frame in time.
pub(crate) async fn put(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(GRACE, socket.send(message)).await, Ok(Ok(())))
}

/// Whether the peer took a ping in time.
pub(crate) async fn ping(socket: &mut WebSocket) -> bool {
    put(socket, Message::Ping(Vec::new().into())).await
}

/// Says why it closes. What a peer makes of it changes nothing.
pub(crate) async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    put(socket, Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}
