//! The socket of a worker, `studio-worker-v1`: hello, welcome, then a heartbeat every five seconds and its answer.
//!
//! It carries presence. The key is shown twice, in the header and in the hello, and both must be of the same machine. A
//! newer socket takes the place of the older one; where two programs with one key do so in turn, one of them has to wait.

use std::time::Duration;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use muster_app::{Caller, Channel, MachineCaller, Origin, Store};
use muster_model::Refusal;
use muster_wire::channel::Order;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};

use super::said::{End, Heard, MAX_FRAME, Said, answer, text, welcome};
use super::shapes::Capabilities;
use crate::problem::Failure;
use crate::serve::Draining;
use crate::socket::{self, PATIENCE, bounded, ping, pings, put};
use crate::state::ServerState;

const SUBPROTOCOL: &str = "studio-worker-v1";
/// What it says of itself is written this often at most.
const DESCRIBED_EVERY: Duration = Duration::from_secs(300);

/// Hold the worker's socket.
#[utoipa::path(
    get, path = "/graphics/api/workers/{machine}/connect",
    responses((status = 101, description = "A WebSocket of the sub-protocol studio-worker-v1."))
)]
pub(super) async fn connect<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Extension(draining): Extension<Draining>,
    Path(worker): Path<String>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let caller = is_itself(&state, &origin, &worker).await?;
    if caller.suspended {
        return Err(Refusal::MachineSuspended.into());
    }
    state.app.may_push_off(&caller)?;
    let upgrade = bounded(upgrade, SUBPROTOCOL, MAX_FRAME)?;
    Ok(upgrade.on_upgrade(move |socket| held(state, caller, socket, draining)))
}

/// The machine that calls, which must be the one that the path names.
pub(super) async fn is_itself<S: Store>(
    state: &ServerState<S>,
    origin: &Origin,
    worker: &str,
) -> Result<MachineCaller, Failure> {
    let caller = *origin.caller.machine()?;
    if caller.machine.to_string() == worker {
        return Ok(caller);
    }
    let refusal = Refusal::IdentityMismatch;
    state.app.tell_refusal(origin, "worker.connect", &refusal).await;
    Err(refusal.into())
}

/// Holds the socket until either side ends it.
async fn held<S: Store>(
    state: ServerState<S>,
    caller: MachineCaller,
    mut socket: WebSocket,
    draining: Draining,
) {
    let opened = match hello(&state, &caller, &mut socket).await {
        Ok(said) => state
            .app
            .channel_open(&caller)
            .await
            .map(|channel| (channel, said))
            .map_err(|error| End::of(&error)),
        Err(end) => Err(end),
    };
    let end = match opened {
        Ok((mut channel, said)) => {
            let greeting = text(&welcome(&caller.machine.to_string(), state.app.now()));
            let end = match put(&mut socket, greeting).await {
                true => {
                    let mut worker = Worker { state: &state, caller, described: None };
                    worker.describe(&said).await;
                    worker.converse(&mut channel, &mut socket, draining).await
                }
                false => None,
            };
            state.app.channel_closed(channel).await;
            end
        }
        Err(end) => Some(end),
    };
    if let Some(end) = end {
        close(&mut socket, end).await;
    }
}

/// The first frame: the key once more. Nothing else is heard before it.
async fn hello<S: Store>(
    state: &ServerState<S>,
    caller: &MachineCaller,
    socket: &mut WebSocket,
) -> Result<Capabilities, End> {
    let first = timeout(PATIENCE, first_frame(socket)).await.unwrap_or(Err(End::Later("no hello")))?;
    let Said::Hello { auth_token, capabilities } = first else { return Err(End::Violation) };
    match state.app.by_secret(&auth_token).await {
        Ok(Caller::Machine(shown)) if shown.machine != caller.machine => Err(End::AuthFailed),
        Ok(Caller::Machine(shown)) if shown.suspended => Err(End::Later("suspended")),
        Ok(Caller::Machine(_)) => Ok(capabilities),
        Ok(Caller::Operator(_) | Caller::Anonymous) => Err(End::AuthFailed),
        Err(error) => Err(End::of(&error)),
    }
}

async fn first_frame(socket: &mut WebSocket) -> Result<Said, End> {
    while let Some(Ok(message)) = socket.recv().await {
        match Heard::of(&message) {
            Heard::Frame(said) => return Ok(said),
            Heard::Control => {}
            Heard::Wrong => return Err(End::Violation),
        }
    }
    Err(End::Later("no hello"))
}

/// A worker that was welcomed.
struct Worker<'s, S> {
    state: &'s ServerState<S>,
    caller: MachineCaller,
    /// What it last said of itself, and when that was written.
    described: Option<(Capabilities, Instant)>,
}

impl<S: Store> Worker<'_, S> {
    /// Serves the socket; says how to close it, unless it is gone.
    async fn converse(
        &mut self,
        channel: &mut Channel,
        socket: &mut WebSocket,
        mut draining: Draining,
    ) -> Option<End> {
        let mut pings = pings();
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            tokio::select! {
                _ = draining.started() => return Some(End::Later("the server stops")),
                () = sleep_until(deadline) => return Some(End::Later("silent")),
                _ = pings.tick() => if !ping(socket).await { return None },
                order = channel.orders.recv() => match order.map(|order| order.order) {
                    None => return Some(End::TakenOver),
                    Some(order) => if let Some(end) = ended_by(order) { return Some(end) },
                },
                message = socket.recv() => {
                    let Some(Ok(message)) = message else { return None };
                    channel.heard(self.state.app.now());
                    deadline = Instant::now() + PATIENCE;
                    let reply = match self.heard(&message).await {
                        Ok(reply) => reply,
                        Err(end) => return Some(end),
                    };
                    if let Some(reply) = reply && !put(socket, text(&reply)).await { return None }
                }
            }
        }
    }

    async fn heard(&mut self, message: &Message) -> Result<Option<Value>, End> {
        let said = match Heard::of(message) {
            Heard::Frame(said) => said,
            Heard::Control => return Ok(None),
            Heard::Wrong => return Err(End::Violation),
        };
        if let Said::Heartbeat { capabilities } = &said {
            self.describe(capabilities).await;
        }
        Ok(answer(&said))
    }

    /// Writes what the worker says of itself where that changed, and not more often than is of use: presence is known
    /// without any of it.
    async fn describe(&mut self, said: &Capabilities) {
        let now = Instant::now();
        if let Some((known, at)) = &self.described
            && (known == said || now.duration_since(*at) < DESCRIBED_EVERY)
        {
            return;
        }
        self.described = Some((said.clone(), now));
        let described = self.state.app.describe(&self.caller, said.hostname(), said.attributes()).await;
        if let Err(error) = described {
            tracing::debug!(%error, machine = %self.caller.machine, "what a worker says of itself was not written");
        }
    }
}

/// How an order ends the session, if it does. A worker has no key to renew, and is not told to go on.
fn ended_by(order: Order) -> Option<End> {
    match order {
        Order::Renew | Order::Rotate | Order::Resume => None,
        Order::Suspend => Some(End::Later("suspended")),
        Order::Revoked => Some(End::AuthFailed),
        Order::Retire => Some(End::Deleted),
    }
}

async fn close(socket: &mut WebSocket, end: End) {
    if let Some(frame) = end.frame() {
        put(socket, text(&frame)).await;
    }
    let (code, reason) = end.close();
    socket::close(socket, code, reason).await;
}
