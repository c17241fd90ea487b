//! Requests to a whole server, in one process: what a route makes of a method, a path, headers and a body.
//!
//! An input is a request as it is written (RFC 9112), with words in braces for what cannot be guessed: `{token}`,
//! `{bearer}`, `{machine}`. A first line of its own, `as admin`, `as machine` or `as stranger`, says who sends it.
//! The server is made anew after a number of requests, since what is allowed changes it.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use muster_server::limits::{BodyLimits, TrustedProxies};
use muster_server::metrics::Metrics;
use muster_server::serve::{Draining, Peer, Shutdown, Transport, shutdown};
use muster_server::{Config, Router, ServerState, Wires, router};
use muster_testkit::world::{Device, FaultyStore, World, leaf};
use muster_wire::grant::CreateGrant;
use muster_wire::invite::Invite;
use muster_wire::machine::CreateMachine;
use rustls_pki_types::CertificateDer;
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// After so many requests, the server is made anew.
const LIFE: u32 = 500;
const OWN_UID: u32 = 990;
/// No answer is longer.
const LONGEST: usize = 1024 * 1024;

struct Face {
    runtime: Runtime,
    router: Router,
    draining: Draining,
    _shutdown: Shutdown,
    certificate: Arc<[CertificateDer<'static>]>,
    words: Vec<(&'static str, String)>,
    left: u32,
}

/// Muster's own routes: an error is a problem document.
pub(crate) fn native(bytes: &[u8]) {
    sent(bytes, true);
}

/// Those of existing clients: an error is what that client reads.
pub(crate) fn compat(bytes: &[u8]) {
    sent(bytes, false);
}

fn sent(bytes: &[u8], is_native: bool) {
    thread_local!(static FACE: RefCell<Option<Face>> = const { RefCell::new(None) });
    FACE.with_borrow_mut(|kept| {
        let mut face = kept.take().unwrap_or_else(Face::new);
        if let Some((peer, request)) = face.read(bytes) {
            let (method, uri) = (request.method().clone(), request.uri().clone());
            let answer = face.ask(peer, request);
            face.judge(&format!("{method} {uri}"), &answer, is_native);
            face.left -= 1;
        }
        *kept = (face.left > 0).then_some(face);
    });
}

impl Face {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (world, device, words) = runtime.block_on(founded());
        let state: ServerState<FaultyStore> = ServerState::new(world.app.clone(), config(&world));
        let (shutdown, draining) = shutdown();
        let certificate = Arc::new([CertificateDer::from(device)]);
        let router = router(&state);
        Self { runtime, router, draining, _shutdown: shutdown, certificate, words, left: LIFE }
    }

    /// The input as a request; none where it is not even one.
    fn read(&self, bytes: &[u8]) -> Option<(Peer, Request<Body>)> {
        let text =
            self.words.iter().fold(String::from_utf8_lossy(bytes).into_owned(), |text, (word, value)| {
                text.replace(word, value)
            });
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let first = lines.next()?;
        let (peer, line) = match first.strip_prefix("as ") {
            Some(who) => (self.peer(who), lines.next()?),
            None => (self.peer("stranger"), first),
        };
        let (method, target) = line.split_once(' ')?;
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).ok()?).uri(target);
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            request = request.header(name, HeaderValue::from_str(value.trim()).ok()?);
        }
        Some((peer, request.body(Body::from(body.to_owned())).ok()?))
    }

    fn peer(&self, who: &str) -> Peer {
        let address = "192.0.2.7:40000".parse().ok();
        match who.trim() {
            "admin" => Peer {
                address: None,
                transport: Transport::Unix { uid: OWN_UID, gid: OWN_UID, pid: Some(1) },
            },
            "machine" => {
                let certificates = Some(Arc::clone(&self.certificate));
                Peer { address, transport: Transport::Tls { certificates } }
            }
            _ => Peer { address, transport: Transport::Tls { certificates: None } },
        }
    }

    fn ask(&self, peer: Peer, mut request: Request<Body>) -> Response<Bytes> {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(self.draining.clone());
        self.runtime.block_on(async {
            let answer = async {
                let response = self.router.clone().oneshot(request).await.expect("a router always answers");
                let (parts, body) = response.into_parts();
                let body = body.collect().await.expect("a whole body").to_bytes();
                Response::from_parts(parts, body)
            };
            tokio::time::timeout(Duration::from_secs(60), answer).await.expect("an answer in time")
        })
    }

    fn judge(&self, asked: &str, answer: &Response<Bytes>, is_native: bool) {
        let body = String::from_utf8_lossy(answer.body());
        let status = answer.status();
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{asked}: {body}");
        assert!(answer.body().len() <= LONGEST, "{asked}: {} bytes", answer.body().len());
        if !(status.is_client_error() || status.is_server_error()) {
            return;
        }
        for (word, secret) in
            self.words.iter().filter(|(word, _)| ["{token}", "{bearer}", "{pending}"].contains(word))
        {
            assert!(!body.contains(secret), "{asked}: the error repeats {word}: {body}");
        }
        let media_type = answer.headers().get(http::header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if is_native && media_type == Some(b"application/problem+json") {
            let problem: muster_wire::Problem =
                serde_json::from_slice(answer.body()).expect("a problem document");
            assert_eq!(problem.status, status.as_u16(), "{asked}: {body}");
        }
    }
}

/// A server with a machine that has a certificate, one that has a bearer key, and a token for any number of others.
async fn founded() -> (World, Vec<u8>, Vec<(&'static str, String)>) {
    let world = World::new().await;
    let device = Device::new("one");
    let enrolled = world.enroll(&device).await;
    let certificate = leaf(enrolled.credential.certificate.as_deref().expect("a certificate"));
    let token = world.token(CreateGrant { uses: Some(0), ..CreateGrant::default() }).await;
    let keyless =
        muster_testkit::world::enrolled(world.ask(Device::new("two").keyless(&token)).await.expect("let in"));
    let made: CreateMachine = serde_json::from_str(r#"{"name":"web-7"}"#).expect("a machine to be");
    let made = world.app.create_machine(made, None, &world.admin()).await.expect("made");
    let invite: Invite = made.invite.parse().expect("an invite");
    let pending = invite.token.reveal();
    let csr = data_encoding::BASE64.encode(&Device::new("three").csr());
    let words = vec![
        ("{token}", token),
        ("{bearer}", keyless.credential.bearer.expect("a bearer key")),
        ("{machine}", enrolled.machine.id),
        ("{keyless}", keyless.machine.id),
        ("{csr}", csr),
        ("{pending}", pending),
    ];
    (world, certificate, words)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{corpus, target};

    /// What is refused at the door reaches little of what is behind it.
    #[test]
    fn most_of_the_corpus_is_understood() {
        for name in ["request", "compat"] {
            let inputs = corpus::inputs(target(name).expect("a target")).expect("its corpus");
            let face = Face::new();
            let (mut asked, mut good) = (0, 0);
            for (_, bytes) in &inputs {
                let Some((peer, request)) = face.read(bytes) else { continue };
                let answer = face.ask(peer, request);
                asked += 1;
                good += usize::from(answer.status().is_success());
            }
            assert!(good * 2 > asked, "{name}: {good} of {asked}");
        }
    }
}
