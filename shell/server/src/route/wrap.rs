//! Around every request: an id, a span, a time limit, headers, metrics, and problem documents for what failed.

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, StatusCode};
use muster_app::Error;
use muster_app::{Store, StoreError};
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use crate::console::page_of;
use crate::limits::BodyError;
use crate::problem::{Failed, Failure, Unreadable, written, wrong_method};
use crate::state::ServerState;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Marks the answer of a page: what goes wrong there is told to a person.
#[derive(Debug, Clone, Copy)]
pub(super) struct AsPage;

/// Headers of every answer. Pages load nothing from anywhere else and run no script that is not a file of ours.
const HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("strict-transport-security", "max-age=31536000"),
];

/// The routes with everything around them.
pub(crate) fn wrapped<S: Store>(router: Router<ServerState<S>>, state: ServerState<S>) -> Router {
    router
        .method_not_allowed_fallback(|| async { wrong_method() })
        .layer(from_fn_with_state(state.clone(), around::<S>))
        .with_state(state)
}

async fn around<S: Store>(State(state): State<ServerState<S>>, request: Request, next: Next) -> Response {
    let id = state.app.request_id();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", id, method = %request.method(), route);
    let started = Instant::now();
    let limit = state.shared.config.handler_time;
    let answered = timeout(limit, taken(request, next)).instrument(span.clone()).await;
    let response = answered.unwrap_or_else(|late| {
        let cause = StoreError::Unavailable { what: "answering in time", cause: Box::new(late) };
        Failure::from(Error::Store(cause)).into_response()
    });
    let response = finished(response, &id, &state);
    count(&route, response.status(), started);
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
    response
}

/// A body in chunks is refused, and its connection ends: two readers may disagree on where it stops, and what the
/// second takes for the next request is whatever the sender wrote (RFC 9112 §6.3, §11.2; Q-39).
async fn taken(request: Request, next: Next) -> Response {
    if request.headers().contains_key(TRANSFER_ENCODING) {
        let mut response = Unreadable(BodyError::Chunked).into_response();
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    next.run(request).await
}

/// Puts the id in, and a problem document in the place of a failure.
fn finished<S: Store>(mut response: Response, id: &str, state: &ServerState<S>) -> Response {
    if let Some(failed) = response.extensions_mut().remove::<Failed>() {
        let closing = response.headers_mut().remove(CONNECTION);
        let is_page = response.extensions().get::<AsPage>().is_some();
        let problem = failed.document(id, state.app.now());
        response = if is_page { page_of(problem) } else { written(&problem) };
        response.headers_mut().extend(closing.map(|close| (CONNECTION, close)));
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, HeaderValue::from_str(id).expect("an identifier is ASCII"));
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(http::header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn count(route: &str, status: StatusCode, started: Instant) {
    let class = match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    metrics::counter!("muster_requests_total", "route" => route.to_owned(), "status" => class).increment(1);
    metrics::histogram!("muster_request_seconds", "route" => route.to_owned())
        .record(started.elapsed().as_secs_f64());
}
