//! A server in this process that does what a test tells it to.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use data_encoding::BASE64;
use futures_util::future::BoxFuture;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONTENT_TYPE, LOCATION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use muster_model::KeyFingerprint;
use muster_wire::channel::{AgentFrame, Order, PING_EVERY, ServerFrame};
use muster_wire::invite::CaPin;
use muster_wire::rotate::{self, RotateFields, RotateRequest, SLOT_HEADER, Slot};
use muster_wire::signature::{HEADER, SignedHeader};
use muster_wire::trust::{BUNDLE_HEADER, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData, SignatureAlgorithm,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use super::ring::{Ring, Stands};
use crate::ports::{Clock, Dial, Now, Ports, Stream};

/// How the server behaves.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mode {
    /// As it should.
    Well,
    /// Nobody answers the port.
    Down,
    /// This, to everything.
    Says { status: u16, content_type: &'static str, body: String },
}

/// What an enrollment leads to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Door {
    Open,
    /// A hold that is decided after so many questions.
    Hold(u32),
    /// This problem.
    Problem(u16, &'static str, &'static str),
}

pub(super) struct Inner {
    pub(super) mode: Mode,
    pub(super) door: Door,
    /// A problem in answer to whatever needs an identity.
    pub(super) machine_problem: Option<(u16, &'static str)>,
    /// So many answers are lost after the work was done.
    pub(super) lose: u32,
    /// Method, path and the key it was asked by.
    pub(super) seen: Vec<(String, Option<KeyFingerprint>)>,
    pub(super) bodies: Vec<Value>,
    pub(super) acknowledged: Vec<u64>,
    /// The bundles of roots that it said it holds.
    pub(super) held: Vec<u64>,
    /// The same, said when it opened a channel.
    pub(super) announced: Vec<u64>,
    /// The version of the bundle that comes with a next key's certificate.
    pub(super) next_bundle: Option<u64>,
    pub(super) state: &'static str,
    pub(super) channels: u32,
    /// So many channels are cut before the greeting, after the key counted as used.
    pub(super) cut: u32,
    pub(super) ring: Ring,
    /// What the machine said of its slot, by whom, in order.
    pub(super) said: Vec<(KeyFingerprint, Slot)>,
    csrs: Vec<(KeyFingerprint, Value)>,
    issued: u32,
}

/// The server.
#[derive(Clone)]
pub(super) struct Stub {
    inner: Arc<Mutex<Inner>>,
    authority: Arc<Authority>,
    orders: broadcast::Sender<ServerFrame>,
    hour: Hour,
    /// What this machine's clock is off by.
    skew: SignedDuration,
    dialed: Arc<Mutex<VecDeque<Instant>>>,
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    acceptor: TlsAcceptor,
}

/// The true hour: a fixed one, and what tokio's clock has gone on since.
#[derive(Debug, Clone, Copy)]
struct Hour {
    begun: Instant,
}

#[derive(Debug)]
struct LocalClock {
    hour: Hour,
    skew: SignedDuration,
}

const BEGIN: i64 = 1_793_000_000;
const LIFE: SignedDuration = SignedDuration::from_hours(24);

impl Hour {
    fn now(self) -> Timestamp {
        let on = SignedDuration::try_from(self.begun.elapsed()).expect("a test is short");
        Timestamp::from_second(BEGIN).expect("in range") + on
    }
}

impl Now for LocalClock {
    fn now(&self) -> Timestamp {
        self.hour.now() + self.skew
    }
}

impl Stub {
    pub(super) fn new() -> Self {
        let inner = Inner {
            mode: Mode::Well,
            door: Door::Open,
            machine_problem: None,
            lose: 0,
            seen: Vec::new(),
            bodies: Vec::new(),
            held: Vec::new(),
            announced: Vec::new(),
            next_bundle: None,
            acknowledged: Vec::new(),
            state: "active",
            channels: 0,
            cut: 0,
            ring: Ring::default(),
            said: Vec::new(),
            csrs: Vec::new(),
            issued: 0,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            authority: Arc::new(Authority::new()),
            orders: broadcast::channel(16).0,
            hour: Hour { begun: Instant::now() },
            skew: SignedDuration::ZERO,
            dialed: Arc::default(),
        }
    }

    /// The same server, for a machine whose clock is off.
    pub(super) fn with_skew(&self, skew: SignedDuration) -> Self {
        Self { skew, ..self.clone() }
    }

    /// Another server, of another deployment, on the same address.
    pub(super) fn take_over(&mut self, other: &Self) {
        self.inner = Arc::clone(&other.inner);
        self.authority = Arc::clone(&other.authority);
    }

    pub(super) fn get(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panicked with it")
    }

    pub(super) fn now(&self) -> Timestamp {
        self.hour.now()
    }

    pub(super) fn pin(&self) -> CaPin {
        let root = self.authority.issuer.der();
        CaPin(crate::net::trust::key_hash(root).expect("a certificate"))
    }

    pub(super) fn ports(&self) -> Ports {
        let clock = Clock::new(LocalClock { hour: self.hour, skew: self.skew });
        Ports { clock: Arc::new(clock), dial: Arc::new(self.clone()) }
    }

    pub(super) fn order(&self, id: u64, order: Order) {
        self.orders.send(ServerFrame::Order { id, order, reason: None }).expect("a channel is open");
    }

    /// Gives a bundle of roots down the channel.
    pub(super) fn entrust(&self, version: u64, change: impl FnOnce(&mut Trust)) {
        let mut trust: Trust = serde_json::from_value(self.trust()).expect("a bundle");
        trust.version = version;
        change(&mut trust);
        self.orders.send(ServerFrame::Trust { trust }).expect("a channel is open");
    }

    /// When the agent connected.
    pub(super) fn dials(&self) -> Vec<Instant> {
        self.dialed.lock().expect("no test panicked with it").iter().copied().collect()
    }

    /// The key that it enrolled with, and the one that is proposed.
    pub(super) fn proposed(&self) -> (KeyFingerprint, KeyFingerprint) {
        let inner = self.get();
        (inner.ring.keys[0].0, inner.ring.at(Stands::Proposed).expect("one is proposed"))
    }

    /// The key that the server takes the machine by.
    pub(super) fn key(&self) -> String {
        self.get().ring.at(Stands::Current).expect("it enrolled").to_string()
    }

    pub(super) fn count(&self, path: &str) -> usize {
        self.get().seen.iter().filter(|(seen, _)| seen == path).count()
    }
}

impl Dial for Stub {
    fn dial(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        assert_eq!((host.as_str(), port), ("muster.test", 8443));
        self.dialed.lock().expect("no test panicked with it").push_back(Instant::now());
        let stub = self.clone();
        Box::pin(async move {
            if stub.get().mode == Mode::Down {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(stub.serve(theirs));
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

impl Stub {
    async fn serve(self, stream: tokio::io::DuplexStream) {
        let Ok(stream) = self.authority.acceptor.accept(stream).await else { return };
        let peer = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let peer = peer.and_then(crate::net::trust::key_hash).map(KeyFingerprint);
        let service = hyper::service::service_fn(move |request| {
            let stub = self.clone();
            async move { stub.answer(request, peer).await.ok_or_else(|| io::Error::other("the answer is lost")) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "the stub's connection ended");
        }
    }

    async fn answer(
        self,
        request: Request<Incoming>,
        peer: Option<KeyFingerprint>,
    ) -> Option<Response<Full<Bytes>>> {
        let path = request.uri().path().to_owned();
        let text = |name| request.headers().get(name).map(|value| value.to_str().expect("ascii"));
        let signed =
            text(HEADER).map(|text| text.parse::<SignedHeader>().expect("a signed header").statement);
        let key = peer.or(signed.as_ref().map(|statement| statement.key));
        self.get().seen.push((path.clone(), key));
        let slot = match (&signed, text(SLOT_HEADER)) {
            (Some(said), _) => Some(Slot { base: said.base, boot: said.boot, counter: said.counter }),
            (None, said) => said.map(|text| text.parse().expect("a slot")),
        };
        if let Mode::Says { status, content_type, body } = self.get().mode.clone() {
            let response = Response::builder().status(status).header(CONTENT_TYPE, content_type);
            let response = response.header(LOCATION, "https://elsewhere.test/").header("retry-after", "30");
            return Some(response.body(Full::from(body)).expect("a response"));
        }
        if let Some(problem) = self.refusal(&path, key, slot) {
            return Some(problem);
        }
        if path.ends_with("/channel") {
            let bundle = text(BUNDLE_HEADER).map(|text| text.parse::<u64>().expect("a number"));
            self.get().announced.extend(bundle);
            return Some(self.channel(request, key));
        }
        let body = request.into_body().collect().await.ok()?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        self.get().bodies.push(body.clone());
        let response = self.route(&path, &body, key);
        let mut inner = self.get();
        if inner.lose > 0 && path != "/v1/trust" && path != "/v1/nonce" {
            inner.lose -= 1;
            return None;
        }
        Some(response)
    }

    /// What is wrong with the key of a request that needs one.
    fn refusal(
        &self,
        path: &str,
        key: Option<KeyFingerprint>,
        slot: Option<Slot>,
    ) -> Option<Response<Full<Bytes>>> {
        if !path.starts_with("/v1/machines/self") {
            return None;
        }
        let (key, slot) =
            (key.expect("a key"), slot.expect("what is in the durable slot is said with each key"));
        let mut inner = self.get();
        inner.said.push((key, slot));
        // Who vouches is seen by the proposal itself.
        if path == rotate::PATH || inner.machine_problem.is_some() {
            return None;
        }
        inner.ring.shown(key, slot.base).err().map(|(status, code)| problem(status, code, "stop"))
    }

    /// Takes a proposal whose answer nobody hears.
    pub(super) fn propose(&self, body: &Value, by: KeyFingerprint) {
        assert_eq!(self.rotate(body, by).status(), StatusCode::OK);
    }

    fn rotate(&self, body: &Value, by: KeyFingerprint) -> Response<Full<Bytes>> {
        let request: RotateRequest = serde_json::from_value(body.clone()).expect("a rotation");
        let fields = RotateFields::try_from(request).expect("good fields");
        let csr = &body["csr"];
        let statement = rotate::statement(by, &fields.rotation, &fields.csr);
        assert!(is_signed(csr, &statement, &fields.signature), "the next key signs who vouches for it");
        let next = KeyFingerprint(key_of(csr));
        if let Err((status, code)) = self.get().ring.proposes(by, next) {
            return problem(status, code, "stop");
        }
        self.get().csrs.push((next, csr.clone()));
        let mut trust = self.trust();
        if let Some(version) = self.get().next_bundle {
            trust["version"] = version.into();
        }
        reply(200, json!({"credential": self.credential(csr), "trust": trust, "server_time": self.now()}))
    }

    fn route(&self, path: &str, body: &Value, key: Option<KeyFingerprint>) -> Response<Full<Bytes>> {
        match path {
            "/v1/trust" => reply(200, self.trust()),
            "/v1/nonce" => reply(200, json!({"nonce": "n-1", "server_time": self.now()})),
            "/v1/enroll" => self.enroll(body),
            "/v1/machines/self/renew" => match (self.machine_problem(), key) {
                (Some(problem), _) => problem,
                (None, None) => problem(401, "not_authenticated", "retry"),
                (None, Some(key)) => {
                    let credential = self.credential(&self.csr_of(key));
                    reply(
                        200,
                        json!({"credential": credential, "trust": self.trust(), "server_time": self.now()}),
                    )
                }
            },
            rotate::PATH => self.machine_problem().unwrap_or_else(|| self.rotate(body, key.expect("a key"))),
            "/v1/machines/self" => self.machine_problem().unwrap_or_else(|| reply(200, json!({}))),
            "/v1/machines/self/leave" => reply(200, json!({})),
            _ if path.starts_with("/v1/enroll/") => {
                assert!(key.is_some(), "a hold is polled with a proof");
                let csr = json!({"csr": self.last_csr()});
                self.enroll(&csr)
            }
            _ => problem(404, "not_found", "stop"),
        }
    }

    fn last_csr(&self) -> Value {
        self.get().bodies.iter().rev().find_map(|body| body.get("csr").cloned()).expect("it enrolled")
    }

    fn enroll(&self, body: &Value) -> Response<Full<Bytes>> {
        let door = self.get().door.clone();
        match door {
            Door::Problem(status, code, action) => problem(status, code, action),
            Door::Hold(questions) if questions > 0 => {
                self.get().door = Door::Hold(questions - 1);
                let expires = self.now() + LIFE;
                let held = json!({"outcome": "held", "hold": "hld_1", "reason": "approval", "poll_after": 5,
                    "expires_at": expires});
                reply(202, held)
            }
            Door::Open | Door::Hold(_) => {
                let machine = json!({"id": "mch_1", "name": "web-1", "tenant": "default", "site": "main",
                    "state": self.get().state, "generation": 1});
                let key = KeyFingerprint(key_of(&body["csr"]));
                self.get().ring.enroll(key);
                self.get().csrs.push((key, body["csr"].clone()));
                let credential = self.credential(&body["csr"]);
                let answer = json!({"outcome": "enrolled", "machine": machine, "credential": credential,
                    "trust": self.trust(), "server_time": self.now()});
                reply(201, answer)
            }
        }
    }

    fn machine_problem(&self) -> Option<Response<Full<Bytes>>> {
        self.get().machine_problem.map(|(status, code)| problem(status, code, "stop"))
    }

    fn trust(&self) -> Value {
        let root = self.authority.issuer.pem();
        json!({"trust_domain": "muster.test", "roots": [root], "pins": [self.pin().to_string()]})
    }

    fn csr_of(&self, key: KeyFingerprint) -> Value {
        let inner = self.get();
        let csr = inner.csrs.iter().find(|(known, _)| *known == key);
        csr.expect("a known key").1.clone()
    }

    fn credential(&self, csr: &Value) -> Value {
        let der = BASE64.decode(csr.as_str().expect("text").as_bytes()).expect("base64");
        let (not_before, not_after) = (self.now(), self.now() + LIFE);
        let mut inner = self.get();
        inner.issued += 1;
        let certificate = self.authority.issue(&der, not_before, not_after);
        json!({"id": format!("crd_{}", inner.issued), "certificate": certificate,
            "not_before": not_before, "not_after": not_after})
    }

    fn channel(&self, mut request: Request<Incoming>, key: Option<KeyFingerprint>) -> Response<Full<Bytes>> {
        if let Some(problem) = self.machine_problem() {
            return problem;
        }
        assert!(key.is_some(), "the channel needs the machine's certificate");
        let accept = derive_accept_key(request.headers()[SEC_WEBSOCKET_KEY].as_bytes());
        let stub = self.clone();
        tokio::spawn(async move {
            let upgraded = hyper::upgrade::on(&mut request).await.expect("an upgrade");
            if std::mem::take(&mut stub.get().cut) > 0 {
                return;
            }
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            stub.get().channels += 1;
            stub.talk(socket).await;
            stub.get().channels -= 1;
        });
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, accept)
            .body(Full::default())
            .expect("a response")
    }

    async fn talk<S: Stream>(&self, mut socket: WebSocketStream<S>) {
        let mut orders = self.orders.subscribe();
        let hello = ServerFrame::Hello {
            machine: "mch_1".into(),
            state: self.get().state.into(),
            server_time: self.now(),
        };
        let text = |frame: &ServerFrame| Message::text(serde_json::to_string(frame).expect("JSON"));
        if socket.send(text(&hello)).await.is_err() {
            return;
        }
        let mut ping = tokio::time::interval(Duration::from_secs(PING_EVERY));
        loop {
            let sent = tokio::select! {
                order = orders.recv() => socket.send(text(&order.expect("an order"))).await,
                _ = ping.tick() => {
                    if self.get().mode != Mode::Well {
                        return;
                    }
                    socket.send(Message::Ping(Bytes::new())).await
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        match serde_json::from_str(&text).expect("a frame") {
                            AgentFrame::Ack { id } => self.get().acknowledged.push(id),
                            AgentFrame::Holds { bundle } => self.get().held.push(bundle),
                        }
                        Ok(())
                    }
                    Some(Ok(_)) => Ok(()),
                    Some(Err(_)) | None => return,
                },
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

struct Spki(Vec<u8>);

impl PublicKeyData for Spki {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a root");
        let server_key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["muster.test".into()]).expect("a name");
        // The server's certificate is good for half a year around the hour: wrong clocks meet a wrong date.
        params.not_before = date(BEGIN - 90 * 86_400);
        params.not_after = date(BEGIN + 90 * 86_400);
        let certificate = params.signed_by(&server_key, &issuer).expect("a certificate");
        let acceptor = acceptor(issuer.der().clone(), certificate.der().clone(), &server_key);
        Self { issuer, acceptor }
    }

    fn issue(&self, csr: &[u8], not_before: Timestamp, not_after: Timestamp) -> String {
        let (_, csr) = X509CertificationRequest::from_der(csr).expect("a request");
        csr.verify_signature().expect("signed by its own key");
        let key = &csr.certification_request_info.subject_pki.subject_public_key.data;
        let mut params = CertificateParams::default();
        params.not_before = date(not_before.as_second() - 600);
        params.not_after = date(not_after.as_second());
        params.signed_by(&Spki(key.to_vec()), &self.issuer).expect("a certificate").pem()
    }
}

fn acceptor(
    root: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: &KeyPair,
) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("a root");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .expect("a verifier");
    let verifier = Arc::new(AnyDate(verifier));
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key.into())
        .expect("a certificate");
    config.alpn_protocols = vec![muster_wire::ALPN.to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// The stub's clock is the test's, webpki's the machine's: dates of client certificates are not looked at.
#[derive(Debug)]
struct AnyDate(Arc<dyn rustls::server::danger::ClientCertVerifier>);

impl rustls::server::danger::ClientCertVerifier for AnyDate {
    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: rustls_pki_types::UnixTime,
    ) -> Result<rustls::server::danger::ClientCertVerified, rustls::Error> {
        Ok(rustls::server::danger::ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn date(second: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(second).expect("in range")
}

fn reply(status: u16, body: Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(Full::from(body.to_string())).expect("a response")
}

fn problem(status: u16, code: &str, action: &str) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/problem+json");
    response.body(Full::from(problem_text(status, code, action))).expect("a response")
}

/// A problem document.
pub(super) fn problem_text(status: u16, code: &str, action: &str) -> String {
    json!({"type": format!("/problems/{code}"), "title": "T", "status": status, "code": code, "action": action,
        "help": "H"})
    .to_string()
}

/// Whether a CSR's key signed this.
fn is_signed(csr: &Value, statement: &[u8], signature: &[u8]) -> bool {
    let der = BASE64.decode(csr.as_str().expect("text").as_bytes()).expect("base64");
    let (_, csr) = X509CertificationRequest::from_der(&der).expect("a request");
    let point = &csr.certification_request_info.subject_pki.subject_public_key.data;
    let algorithm = &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1;
    aws_lc_rs::signature::UnparsedPublicKey::new(algorithm, point).verify(statement, signature).is_ok()
}

/// SHA-256 of the public key in a CSR.
pub(super) fn key_of(csr: &Value) -> [u8; 32] {
    let der = BASE64.decode(csr.as_str().expect("text").as_bytes()).expect("base64");
    let (_, csr) = X509CertificationRequest::from_der(&der).expect("a request");
    Sha256::digest(csr.certification_request_info.subject_pki.raw).into()
}
