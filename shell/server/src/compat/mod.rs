//! The wires of four existing clients, which enroll here without any change.
//!
//! Each wire is an adapter over the same use cases and brings no rule of its own. It is told from the native interface by
//! the beginning of its paths, and may stand behind any prefix: clients keep what their base address says before it.
//! Routes declare their actions like all others; errors leave in the shape that the wire's clients read.

mod guruconnect;
mod scuttlebot;
mod studio_worker;
mod wrenn;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode, Uri};
use muster_app::{Error, Store};
use muster_model::Refusal;
use tower::ServiceExt;
use utoipa::openapi::OpenApi;

use crate::problem::{Failed, Failure, wrong_method};
use crate::route::{Mounted, Routes};
use crate::state::ServerState;

/// Which existing clients are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wires {
    /// studio-worker.
    pub studio_worker: bool,
    /// The wrenn host agent.
    pub wrenn: bool,
    /// The GuruConnect agent.
    pub guruconnect: bool,
    /// scuttlebot's `scuttlectl` and relay agents.
    pub scuttlebot: bool,
}

/// The wire of one client.
struct Wire<S> {
    /// As metrics call it.
    name: &'static str,
    /// How its paths begin. None is the beginning of another one's.
    roots: &'static [&'static str],
    /// Mounts its routes.
    mount: fn(Routes<S>) -> Routes<S>,
    /// Writes an error as its clients read it.
    told: fn(Failed) -> Response,
}

/// Every wire, and whether it is served.
fn wires<S: Store>(served: Wires) -> [(bool, Wire<S>); 4] {
    [
        (served.guruconnect, guruconnect::wire()),
        (served.scuttlebot, scuttlebot::wire()),
        (served.studio_worker, studio_worker::wire()),
        (served.wrenn, wrenn::wire()),
    ]
}

/// The wires, each with its routes.
///
/// One that is switched off answers that it cannot do so just now: clients take "not found" for the end of what they are,
/// and throw it away.
#[derive(Clone)]
pub(crate) struct Compat(Arc<[Served]>);

struct Served {
    roots: &'static [&'static str],
    router: Router,
}

impl Compat {
    pub(crate) fn new<S: Store>(state: &ServerState<S>) -> Self {
        let served = |(is_on, wire): (bool, Wire<S>)| {
            let Wire { name, told, roots, mount } = wire;
            let router = if is_on {
                let (router, _, _) = mount(Routes::new(Some(state.clone()), OpenApi::default())).finish();
                router
                    .fallback(|| async { Failure::from(Refusal::NotFound { what: "route" }) })
                    .method_not_allowed_fallback(|| async { wrong_method() })
            } else {
                Router::new().fallback(|| async { Failure::from(Error::Stale) })
            };
            let router = router
                .layer(map_response(move |response| async move { finished(name, told, response) }))
                .with_state(state.clone());
            Served { roots, router }
        };
        Self(wires(state.shared.config.wires).into_iter().map(served).collect())
    }

    /// Puts the wires behind a router: what it does not answer itself may belong to one of them.
    pub(crate) fn behind<S: Store>(self, router: Router<ServerState<S>>) -> Router<ServerState<S>> {
        router.fallback(move |request: Request| self.clone().answer(request))
    }

    /// Answers by the wire that the path belongs to.
    async fn answer(self, mut request: Request) -> Response {
        let found = self.0.iter().find_map(|wire| Some((wire, start(request.uri().path(), wire.roots)?)));
        let Some((wire, start)) = found else {
            return unknown(request.uri().path()).into_response();
        };
        *request.uri_mut() = without_prefix(request.uri(), start);
        let Ok(response) = wire.router.clone().oneshot(request).await;
        response
    }
}

/// What the wires of all clients mount, for the authorization matrix and the reviewed list of public routes.
pub(crate) fn mounted<S: Store>() -> Vec<Mounted> {
    let all = Wires { studio_worker: true, wrenn: true, guruconnect: true, scuttlebot: true };
    let routes = |(_, wire): (bool, Wire<S>)| {
        let (_, _, routes) = (wire.mount)(Routes::new(None, OpenApi::default())).finish();
        routes.into_iter().map(move |route| Mounted { wire: Some(wire.name), ..route })
    };
    wires(all).into_iter().flat_map(routes).collect()
}

fn finished(name: &'static str, told: fn(Failed) -> Response, mut response: Response) -> Response {
    if let Some(failed) = response.extensions_mut().remove::<Failed>() {
        let retry_after = failed.retry_after();
        response = told(failed);
        let headers = response.headers_mut();
        headers.extend(retry_after.map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds))));
        // RFC 9110 §15.5.2 asks for it.
        if response.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
    }
    let class = format!("{}xx", response.status().as_u16() / 100);
    metrics::counter!("muster_compat_requests_total", "wire" => name, "status" => class).increment(1);
    response
}

/// Where in a path one of these roots begins, with whatever prefix before it.
fn start(path: &str, roots: &[&str]) -> Option<usize> {
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    let begins = |at: &usize| {
        roots.iter().any(|root| {
            path[*at..].strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    slashes.find(begins)
}

/// A path that no wire knows. A proxy that rewrites paths may have made it of one at which clients take "not found" for the
/// end of what they are.
fn unknown(path: &str) -> Failure {
    let mut segments = path.rsplit('/');
    let ends_somebody = match segments.next() {
        Some("connect" | "heartbeat") => true,
        Some(_) => segments.next() == Some("register-requests"),
        None => false,
    };
    match ends_somebody {
        true => Error::Stale.into(),
        false => Refusal::NotFound { what: "route" }.into(),
    }
}

fn without_prefix(uri: &Uri, start: usize) -> Uri {
    let text = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = PathAndQuery::try_from(&text[start..]).expect("what follows a slash in a path is a path");
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(rest);
    Uri::from_parts(parts).expect("a shorter path changes nothing else")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_is_found_behind_any_prefix_and_at_whole_segments_alone() {
        const ROOTS: &[&str] = &["/graphics/api/workers", "/v1/hosts"];
        let table = [
            ("/graphics/api/workers/register-request", Some(0)),
            ("/x/y/graphics/api/workers/w/connect", Some(4)),
            ("//v1/hosts", Some(1)),
            ("/v1/hosts", Some(0)),
            ("/v1/hosts/v1/hosts", Some(0)),
            ("/v1/hostsx", None),
            ("/v1/host", None),
            ("/", None),
            ("", None),
        ];
        for (path, expected) in table {
            assert_eq!(start(path, ROOTS), expected, "{path:?}");
        }
    }

    #[test]
    fn what_is_before_the_wire_goes_and_the_query_stays() {
        let uri: Uri = "/x/v1/hosts/a%2Fb?force=true".parse().expect("a path");
        assert_eq!(without_prefix(&uri, 2), "/v1/hosts/a%2Fb?force=true");
    }
}
