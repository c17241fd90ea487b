//! A world with its HTTP face, asked without a socket.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use muster_app::{Caller, Origin};
use muster_server::limits::{BodyLimits, TrustedProxies};
use muster_server::metrics::Metrics;
use muster_server::serve::{Draining, Peer, Shutdown, Transport, shutdown};
use muster_server::{Config, Router, ServerState, Wires, router};
use muster_testkit::world::{FaultyStore, World};
use muster_wire::access::Login;
use rustls_pki_types::CertificateDer;
use serde_json::Value;
use tower::ServiceExt;

/// The user that the server runs as.
pub(crate) const OWN_UID: u32 = 990;

pub(crate) struct Face {
    pub(crate) world: World,
    pub(crate) router: Router,
    pub(crate) state: ServerState<FaultyStore>,
    pub(crate) shutdown: Shutdown,
    pub(crate) draining: Draining,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Face {
    pub(crate) async fn new() -> Self {
        Self::of(World::new().await, |_| {})
    }

    pub(crate) fn of(world: World, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(&world);
        change(&mut config);
        let state: ServerState<FaultyStore> = ServerState::new(world.app.clone(), config);
        let (shutdown, draining) = shutdown();
        Self { router: router(&state), state, world, shutdown, draining }
    }

    /// Sends a request as it comes from this peer.
    pub(crate) async fn send(&self, peer: Peer, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(self.draining.clone());
        let response = self.router.clone().oneshot(request).await.expect("a router always answers");
        let (parts, body) = response.into_parts();
        // A stream of events is open for as long as somebody listens.
        let is_stream =
            parts.headers.get(header::CONTENT_TYPE).is_some_and(|said| said == "text/event-stream");
        let body = if is_stream { Body::empty() } else { body };
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Sends what a stranger sends over TLS.
    pub(crate) async fn stranger(&self, request: Request<Body>) -> Answer {
        self.send(stranger(), request).await
    }

    /// Sends what the admin sends over the local socket.
    pub(crate) async fn admin(&self, request: Request<Body>) -> Answer {
        self.send(local(OWN_UID), request).await
    }
}

fn config(world: &World) -> Config {
    let many = NonZeroU32::new(1_000_000).expect("not zero");
    Config {
        trusted_proxies: TrustedProxies::default(),
        anonymous_per_second: many,
        anonymous_burst: many,
        body: BodyLimits::default(),
        handler_time: Duration::from_secs(30),
        own_uid: OWN_UID,
        admin: world.founded.admin,
        metrics: Metrics::none(),
        wires: Wires { studio_worker: true, wrenn: true, guruconnect: true, scuttlebot: true },
        request_site: None,
    }
}

/// What the browser of an admin sends from one of our pages.
pub(crate) async fn browser(face: &Face) -> Vec<(&'static str, String)> {
    let app = &face.world.app;
    let link = app.login_link(face.world.founded.admin).await.expect("a link");
    let login = Login { login: link.split_once('#').expect("the secret is in the fragment").1.to_owned() };
    let anonymous = Origin { caller: Caller::Anonymous, source: None };
    let (session, _) = app.login(&login, &anonymous).await.expect("a session");
    vec![
        ("muster-csrf", app.csrf(&session)),
        ("cookie", format!("__Host-muster-session={session}")),
        ("sec-fetch-site", "same-origin".to_owned()),
    ]
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("UTF-8")
    }

    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    /// The code of the problem document that this must be, or of the envelope of an existing client's wire.
    pub(crate) fn code(&self) -> String {
        self.code_if_any().unwrap_or_else(|| panic!("no error: {self:?}"))
    }

    /// The code, if it tells of an error.
    pub(crate) fn code_if_any(&self) -> Option<String> {
        let code = match self.is_problem() {
            true => self.problem()["code"].clone(),
            false => self.envelope()?["code"].clone(),
        };
        code.as_str().map(ToOwned::to_owned)
    }

    /// What an existing client reads of an error.
    fn envelope(&self) -> Option<Value> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        body.get("error").filter(|error| error["message"].is_string()).cloned()
    }

    pub(crate) fn is_problem(&self) -> bool {
        self.header(header::CONTENT_TYPE) == Some("application/problem+json")
    }

    /// The problem document that this must be, whole and in agreement with its status line.
    pub(crate) fn problem(&self) -> Value {
        assert!(self.is_problem(), "not a problem document: {self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        let code = problem["code"].as_str().expect("a code");
        assert_eq!(problem["type"], format!("urn:muster:problem:{code}"));
        assert!(problem["title"].is_string() && problem["help"].is_string() && problem["action"].is_string());
        if let Some(id) = problem.get("request_id") {
            assert_eq!(id.as_str(), self.header("x-request-id"));
        }
        problem
    }

    /// The body without what differs from request to request.
    pub(crate) fn without_id(&self) -> Value {
        if let Some(envelope) = self.envelope() {
            return envelope;
        }
        let mut problem = self.problem();
        problem.as_object_mut().expect("an object").remove("request_id");
        problem
    }
}

pub(crate) fn stranger() -> Peer {
    Peer { address: Some(address()), transport: Transport::Tls { certificates: None } }
}

pub(crate) fn with_certificate(der: Vec<u8>) -> Peer {
    let chain: Arc<[CertificateDer<'static>]> = Arc::new([CertificateDer::from(der)]);
    Peer { address: Some(address()), transport: Transport::Tls { certificates: Some(chain) } }
}

pub(crate) fn local(uid: u32) -> Peer {
    Peer { address: None, transport: Transport::Unix { uid, gid: uid, pid: Some(1) } }
}

fn address() -> SocketAddr {
    "192.0.2.7:40000".parse().expect("an address")
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a request")
}

/// A request without a body.
pub(crate) fn bare(path: &str) -> Request<Body> {
    Request::post(path).body(Body::empty()).expect("a request")
}

pub(crate) fn post(path: &str, json: &Value) -> Request<Body> {
    post_as(path, "application/json", json.to_string())
}

pub(crate) fn post_as(path: &str, media_type: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header(header::CONTENT_TYPE, media_type);
    request.body(body.into()).expect("a request")
}

pub(crate) fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().append(name, value.parse().expect("a header value"));
    request
}
