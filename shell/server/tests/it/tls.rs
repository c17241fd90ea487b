//! What only real sockets show: who a TLS client is, and where one request ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use muster_issuer::ServerName;
use muster_model::Timestamp;
use muster_server::serve::{ALPN_MUSTER, Drained, Listener, ServeSettings, TlsConfigs, TlsMaterial, serve};
use muster_testkit::FixedClock;
use muster_testkit::world::{Device, World};
use muster_wire::enroll::Enrolled;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::face::Face;
use crate::mode::restored;

#[expect(clippy::disallowed_methods, reason = "the TLS library checks certificates by the real clock")]
fn real_now() -> Timestamp {
    Timestamp::now()
}

/// A face behind a TLS port.
struct Served {
    face: Face,
    address: SocketAddr,
    task: JoinHandle<Drained>,
}

impl Served {
    async fn new() -> Self {
        let world = World::on(FixedClock::new(real_now()), |_| {}).await;
        let face = Face::of(world, |_| {});
        let authority = face.world.app.authority();
        let names = [ServerName::try_from("localhost").expect("a name")];
        let certificate =
            authority.server_certificate(&names, face.world.clock.now()).expect("a certificate");
        let material = TlsMaterial {
            chain: certificate.chain,
            key: certificate.key,
            roots: authority.roots_der().into_iter().cloned().collect(),
            trust_domain: authority.trust_domain().to_string(),
        };
        let configs = TlsConfigs::new(material).expect("configurations").shared();
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("bound");
        let listener = Listener::tls(socket, configs);
        let settings = ServeSettings::default();
        let (router, acceptance) = (face.router.clone(), face.world.app.acceptance().clone());
        let task = tokio::spawn(serve(listener, router, acceptance, settings, face.draining.clone()));
        Self { face, address, task }
    }

    fn config(&self, alpn: &[u8], shown: Option<(&Device, &Enrolled)>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        for root in self.face.world.app.authority().roots_der() {
            roots.add(root.clone()).expect("a root");
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match shown {
            Some((device, enrolled)) => {
                let pem = enrolled.credential.certificate.as_deref().expect("a certificate");
                let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>();
                let key = PrivateKeyDer::try_from(device.key.serialize_der()).expect("a key");
                builder.with_client_auth_cert(chain.expect("a chain"), key).expect("they fit")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        config
    }

    async fn connect(&self, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = "localhost".try_into().expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn browser(&self) -> TlsStream<TcpStream> {
        self.connect(self.config(b"http/1.1", None)).await.expect("connected")
    }

    async fn agent(&self, device: &Device, enrolled: &Enrolled) -> TlsStream<TcpStream> {
        self.connect(self.config(ALPN_MUSTER, Some((device, enrolled)))).await.expect("connected")
    }

    async fn stop(self) {
        self.face.shutdown.trigger();
        self.task.await.expect("serving does not panic");
    }
}

/// Sends bytes as they are, and reads until the server closes.
async fn raw(mut stream: TlsStream<TcpStream>, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection stays open: {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

async fn ask(stream: TlsStream<TcpStream>, method: &str, path: &str) -> (StatusCode, Value) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let answer = raw(stream, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a status");
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect()
}

#[tokio::test]
async fn a_machine_is_known_by_the_certificate_of_its_connection() {
    let served = Served::new().await;
    let device = Device::new("web-1");
    let enrolled = served.face.world.enroll(&device).await;
    let (status, body) = ask(served.agent(&device, &enrolled).await, "GET", "/v1/machines/self").await;
    assert_eq!((status, &body["id"]), (StatusCode::OK, &Value::from(enrolled.machine.id.clone())));
    let (status, body) = ask(served.agent(&device, &enrolled).await, "POST", "/v1/machines/self/renew").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let (status, body) = ask(served.browser().await, "GET", "/v1/machines/self").await;
    assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &Value::from("not_authenticated")));
    let (status, _) = ask(served.browser().await, "GET", "/v1/trust").await;
    assert_eq!(status, StatusCode::OK);

    let id = enrolled.machine.id.parse().expect("an identifier");
    let world = &served.face.world;
    world.app.revoke(id, None, None, false, &world.admin()).await.expect("revoked");
    let (status, body) = ask(served.agent(&device, &enrolled).await, "GET", "/v1/machines/self").await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::FORBIDDEN, &Value::from("revoked")),
        "Q-14: it is told so"
    );
    served.stop().await;
}

#[tokio::test]
async fn q_08_what_a_machine_says_over_a_connection_of_before_a_restore_is_not_heard_and_it_connects_anew() {
    let served = Served::new().await;
    let device = Device::new("web-1");
    let enrolled = served.face.world.enroll(&device).await;
    let (mut kept, stranger) = (served.agent(&device, &enrolled).await, served.browser().await);
    let request = b"GET /v1/machines/self HTTP/1.1\r\nhost: localhost\r\n\r\n";
    kept.write_all(request).await.expect("sent");
    let mut first = [0; 12];
    kept.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200", "as long as nothing was accepted");
    let late = served.agent(&device, &enrolled).await;

    restored(&served.face).await;
    let world = &served.face.world;
    world.app.accept_restore(None, &world.admin()).await.expect("accepted");
    for (name, stream) in [("one that was used", kept), ("one whose request is late", late)] {
        let request = "POST /v1/machines/self/renew HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
        let answer = raw(stream, request.as_bytes()).await;
        assert!(answer.contains("HTTP/1.1 503") && answer.contains("restored"), "{name}: {answer}");
    }
    let (status, _) = ask(stranger, "GET", "/v1/trust").await;
    assert_eq!(status, StatusCode::OK, "what nobody is certified by goes on");
    let (status, body) = ask(served.agent(&device, &enrolled).await, "POST", "/v1/machines/self/renew").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    served.stop().await;
}

#[tokio::test]
async fn a_certificate_of_another_deployment_is_not_let_in() {
    let served = Served::new().await;
    let elsewhere = World::on(FixedClock::new(real_now()), |_| {}).await;
    let device = Device::new("web-1");
    let foreign = elsewhere.enroll(&device).await;
    let refused = match served.connect(served.config(ALPN_MUSTER, Some((&device, &foreign)))).await {
        Ok(mut stream) => stream.read_to_end(&mut Vec::new()).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    let without = match served.connect(served.config(ALPN_MUSTER, None)).await {
        Ok(mut stream) => stream.read_to_end(&mut Vec::new()).await.is_err(),
        Err(_) => true,
    };
    assert!(without, "nor one without any");
    served.stop().await;
}

/// Each is answered once at most, with a refusal, and the connection ends: what follows is nobody's request.
#[tokio::test]
async fn q_39_a_request_whose_end_is_in_doubt_is_refused_and_ends_its_connection() {
    let served = Served::new().await;
    let hidden = "GET /v1/trust HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let chunked = format!("0\r\n\r\n{hidden}");
    let body = format!("{}\r\n{hidden}", "x".repeat(3));
    let with = |headers: &str, body: &str| {
        format!(
            "POST /v1/session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}\r\n\r\n{body}"
        )
    };
    let cases = [
        ("length, then chunks", with("content-length: 6\r\ntransfer-encoding: chunked", &chunked)),
        ("chunks, then length", with("transfer-encoding: chunked\r\ncontent-length: 6", &chunked)),
        ("chunks", with("transfer-encoding: chunked", &chunked)),
        ("chunks under another name", with("transfer-encoding: xchunked", &chunked)),
        ("chunks, twice", with("transfer-encoding: chunked\r\ntransfer-encoding: identity", &chunked)),
        ("chunks in a list", with("transfer-encoding: identity, chunked", &chunked)),
        ("chunks behind a tab", with("transfer-encoding:\tchunked", &chunked)),
        ("two lengths", with("content-length: 3\r\ncontent-length: 60", &body)),
        ("two lengths in one", with("content-length: 3, 60", &body)),
        ("a signed length", with("content-length: +3", &body)),
        ("a negative length", with("content-length: -3", &body)),
        ("a length in hex", with("content-length: 0x3", &body)),
        ("an empty length", with("content-length: ", &body)),
        ("a folded line", with("x-a: b\r\n content-length: 60", &body)),
        ("a space before the colon", with("content-length : 3", &body)),
        ("a space in a name", with("content length: 3", &body)),
        ("a lone carriage return", with("x-a: b\rcontent-length: 60", &body)),
        ("a zero byte", with("x-a: \0", &body)),
        ("chunks in HTTP/1.0", with("transfer-encoding: chunked", &chunked).replacen("1.1", "1.0", 1)),
    ];
    for (what, request) in cases {
        let answer = raw(served.browser().await, request.as_bytes()).await;
        let statuses = statuses(&answer);
        assert!(statuses.len() <= 1, "{what}: {answer}");
        assert!(["400", "411"].contains(statuses.first().unwrap_or(&"400")), "{what}: {answer}");
        assert!(!answer.contains("trust_domain"), "{what}: the hidden request was answered: {answer}");
    }
    let plain =
        raw(served.browser().await, b"GET /v1/trust HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!(statuses(&plain), ["200"], "what is not in doubt is answered");
    served.stop().await;
}

#[tokio::test]
async fn headers_are_bounded_in_number_and_size() {
    let served = Served::new().await;
    let many: String = (0..65).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x-a: {}\r\n", "y".repeat(40 * 1024));
    for headers in [many, long] {
        let request = format!("GET /v1/trust HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n");
        let answer = raw(served.browser().await, request.as_bytes()).await;
        assert!(["431", "400"].contains(statuses(&answer).first().unwrap_or(&"431")), "{answer}");
    }
    served.stop().await;
}
