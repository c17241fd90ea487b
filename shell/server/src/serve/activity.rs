//! What happens on one connection, and from that the moment at which nothing happening becomes too long.
//!
//! A running handler is never cut here (routes have their own time-outs). A response is cut when the client does
//! not take it for the idle time. A request must have sent its headers within the header time of its first byte
//! — the first request of a connection: of the connection — and between requests the idle time counts.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::settings::ServeSettings;

/// What a closing connection gets to send its last bytes.
const CLOSING: Duration = Duration::from_secs(1);

/// Shared by the socket, the service and the watch of one connection.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    header: Duration,
    idle: Duration,
    handlers: usize,
    responses: usize,
    last: Instant,
    /// When the first byte of a request came whose headers are not complete.
    reading: Option<Instant>,
    closing: Option<Instant>,
}

impl State {
    fn quiet_deadline(&self) -> Instant {
        match (self.closing, self.reading) {
            (Some(since), _) => self.last.max(since) + CLOSING,
            (None, Some(since)) => since + self.header,
            (None, None) => self.last + self.idle,
        }
    }
}

impl Activity {
    pub(super) fn new(settings: &ServeSettings) -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(State {
            header: settings.header_timeout,
            idle: settings.idle_timeout,
            handlers: 0,
            responses: 0,
            last: now,
            reading: Some(now),
            closing: None,
        })))
    }

    /// Bytes came from the client.
    pub(super) fn received(&self) {
        let mut state = self.lock();
        if state.handlers == 0 && state.responses == 0 && state.reading.is_none() {
            state.reading = Some(Instant::now());
        }
    }

    /// A request's headers are complete; it runs until the guard is dropped.
    pub(super) fn request(&self) -> Running {
        let mut state = self.lock();
        state.handlers += 1;
        state.reading = None;
        Running(self.clone())
    }

    /// The response's body, watched until its end.
    pub(super) fn watch_body(&self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        self.lock().responses += 1;
        Body::new(Watched { body, activity: self.clone() })
    }

    /// When the connection must end if nothing changes; none while a handler runs.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        match (state.handlers, state.responses) {
            (0, 0) => Some(state.quiet_deadline()),
            (0, _) => Some(state.last + state.idle),
            _ => None,
        }
    }

    /// Whether headers are awaited that began to come, or that a new connection owes.
    pub(super) fn is_reading(&self) -> bool {
        self.lock().reading.is_some()
    }

    /// From now on the connection ends as soon as it is not busy any more, after a moment for the last bytes.
    pub(super) fn close(&self) {
        self.lock().closing = Some(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handler at work.
#[derive(Debug)]
pub(super) struct Running(Activity);

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.handlers -= 1;
        state.last = Instant::now();
    }
}

struct Watched {
    body: Body,
    activity: Activity,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        // hyper asks for a frame only when it has room, that is, when the client took the one before.
        if polled.is_ready() {
            self.activity.lock().last = Instant::now();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        state.responses -= 1;
        state.last = Instant::now();
    }
}
