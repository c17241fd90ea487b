//! HTTP on one connection: the protocol that ALPN named (never sniffed), every request with its peer, and a watch
//! over silence. Without ALPN it is HTTP/1.1.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use muster_app::Acceptance;
use muster_model::IncarnationId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tower::ServiceExt;

use super::activity::Activity;
use super::admission::Permit;
use super::outcome::Outcome;
use super::peer::Peer;
use super::settings::ServeSettings;
use super::shutdown::Draining;
use super::socket::Socket;

/// How often a busy HTTP/2 connection is asked whether its client is still there, and how long it may think.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// What HTTP/1.1 reads ahead.
const READ_BUFFER: usize = 32 * 1024;

/// In a response that is not to be given: the connection ends instead, or the one stream of it that asked. For clients that
/// do on silence what they do on no answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HangUp;

/// A connection that ended by [`HangUp`].
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("hung up on purpose")]
struct HungUp;

/// In every request: when an older database had last been accepted here as its connection was made. What it carries was not said
/// before that, but may be late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since(pub(crate) Option<IncarnationId>);

/// What all connections of a listener share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) router: Router,
    pub(super) acceptance: Acceptance,
    pub(super) settings: ServeSettings,
    pub(super) draining: Draining,
}

/// Serves one connection to its end or to its upgrade.
pub(super) async fn drive<S>(stream: S, http2: bool, peer: Peer, permit: Permit, shared: &Shared) -> Outcome
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Activity::new(&shared.settings);
    let io = TokioIo::new(Socket::new(stream, (!http2).then(|| activity.clone()), permit));
    let since = Since(shared.acceptance.last());
    let service = service_fn(|request| answer(request, &peer, since, shared, &activity));
    if http2 {
        let connection = http2_builder(&shared.settings).serve_connection(io, service);
        watch(connection, http2::Connection::graceful_shutdown, &activity, shared.draining.clone()).await
    } else {
        let connection = http1_builder(&shared.settings).serve_connection(io, service).with_upgrades();
        watch(connection, http1::UpgradeableConnection::graceful_shutdown, &activity, shared.draining.clone())
            .await
    }
}

fn answer(
    request: Request<Incoming>,
    peer: &Peer,
    since: Since,
    shared: &Shared,
    activity: &Activity,
) -> impl Future<Output = Result<Response, HungUp>> + Send + 'static {
    let running = activity.request();
    let activity = activity.clone();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer.clone());
    request.extensions_mut().insert(shared.draining.clone());
    request.extensions_mut().insert(since);
    let response = shared.router.clone().oneshot(request);
    async move {
        let Ok(response) = response.await;
        let is_given = response.extensions().get::<HangUp>().is_none();
        let response = response.map(|body| activity.watch_body(body));
        drop(running);
        if is_given { Ok(response) } else { Err(HungUp) }
    }
}

fn http1_builder(settings: &ServeSettings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // hyper's own clock runs between requests too; ours tells idle from slow.
        .header_read_timeout(None)
        .max_headers(settings.max_headers)
        .max_header_size(settings.max_header_bytes as usize)
        .max_buf_size(READ_BUFFER);
    builder
}

fn http2_builder(settings: &ServeSettings) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.max_streams)
        .max_pending_accept_reset_streams(settings.max_pending_resets)
        .max_local_error_reset_streams(settings.max_pending_resets)
        .max_header_list_size(settings.max_header_bytes)
        .max_send_buf_size(READ_BUFFER)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1);
    builder
}

/// Drives a connection until it ends, is silent for too long, or has finished what it did when draining began.
async fn watch<C>(
    connection: C,
    finish: fn(Pin<&mut C>),
    activity: &Activity,
    mut draining: Draining,
) -> Outcome
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    let outcome = tokio::select! {
        biased;
        ended = connection.as_mut() => return describe(ended),
        () = draining.started() => Outcome::Drained,
        () = overdue(activity) => if activity.is_reading() { Outcome::HeaderTimeout } else { Outcome::Idle },
    };
    activity.close();
    finish(connection.as_mut());
    tokio::select! {
        biased;
        ended = connection => if let Err(error) = ended { tracing::debug!(%error, "connection broke while closing") },
        () = overdue(activity) => {}
    }
    outcome
}

/// Ends when the connection's deadline passed. Polled whenever the connection is, so it follows every change.
async fn overdue(activity: &Activity) {
    let mut sleep = pin!(sleep_until(activity.deadline().unwrap_or_else(Instant::now)));
    poll_fn(|cx| {
        let Some(deadline) = activity.deadline() else { return Poll::Pending };
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(())
    })
    .await;
}

fn describe(ended: hyper::Result<()>) -> Outcome {
    match ended {
        Ok(()) => Outcome::Served,
        Err(error) => {
            tracing::debug!(%error, "connection broke");
            Outcome::Broken
        }
    }
}
