//! What the tests of the serve loop share: an authority made for the test, a server, a client.

mod bounds;
mod drain;
mod tls;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{Message, WebSocket};
use axum::routing::get;
use axum::{Extension, Router};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType, date_time_ymd,
};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

const TRUST_DOMAIN: &str = "fleet.test";
const MACHINE_URI: &str =
    "spiffe://fleet.test/t/tnt_00000000000000000000000000/m/mch_00000000000000000000000004";

/// A root that signs what a test asks for.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
    root: Certificate,
}

impl Authority {
    fn new() -> Self {
        Self::named("root")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let root = params.self_signed(&key).expect("a root");
        Self { params, key, root }
    }

    fn sign(&self, params: &CertificateParams) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("a key");
        let issuer = Issuer::from_params(&self.params, &self.key);
        let leaf = params.signed_by(&key, &issuer).expect("a leaf");
        (leaf.der().clone(), key.serialize_der().try_into().expect("a private key"))
    }

    fn server(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    fn configs(&self) -> TlsConfigs {
        let (leaf, key) = self.server();
        TlsConfigs::new(self.material(leaf, key, vec![self.root.der().clone()])).expect("configurations")
    }

    fn material(
        &self,
        leaf: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
        roots: Vec<CertificateDer<'static>>,
    ) -> TlsMaterial {
        TlsMaterial { chain: vec![leaf], key, roots, trust_domain: TRUST_DOMAIN.to_owned() }
    }
}

/// A machine's certificate, as the template makes it.
fn machine(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names =
        uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("ascii"))).collect();
    params
}

/// Shows one certificate or none, and remembers whether it was asked.
#[derive(Debug, Default)]
struct Shown {
    identity: Option<Arc<CertifiedKey>>,
    asked: Mutex<bool>,
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.asked.lock().expect("not poisoned") = true;
        self.identity.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Shown {
    fn new((leaf, key): (CertificateDer<'static>, PrivateKeyDer<'static>)) -> Arc<Self> {
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(key).expect("a usable key");
        Arc::new(Self {
            identity: Some(Arc::new(CertifiedKey::new(vec![leaf], key))),
            asked: Mutex::default(),
        })
    }

    fn was_asked(&self) -> bool {
        *self.asked.lock().expect("not poisoned")
    }
}

fn client(authority: &Authority, alpn: &[&[u8]], shown: Arc<Shown>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root.der().clone()).expect("a root");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_cert_resolver(shown);
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

async fn connect_tls(address: SocketAddr, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = "localhost".try_into().expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// A server that runs, and the way to end it.
struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    served: JoinHandle<Drained>,
}

impl Running {
    async fn plain(settings: ServeSettings, router: Router) -> Self {
        Self::start(settings, router, Listener::plain).await
    }

    async fn tls(authority: &Authority) -> Self {
        let configs = authority.configs().shared();
        Self::start(ServeSettings::default(), router(), |socket| Listener::tls(socket, configs)).await
    }

    async fn start(
        settings: ServeSettings,
        router: Router,
        listener: impl FnOnce(TcpListener) -> Listener,
    ) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("bound");
        let (shutdown, draining) = shutdown();
        let served = tokio::spawn(serve(listener(socket), router, Acceptance::default(), settings, draining));
        Self { address, shutdown, served }
    }

    async fn stop(self) -> Drained {
        self.shutdown.trigger();
        self.served.await.expect("serve does not panic")
    }
}

/// `/` tells what the server knows of its peer; `/ws` echoes until draining.
fn router() -> Router {
    async fn echo(
        upgrade: WebSocketUpgrade,
        Extension(draining): Extension<Draining>,
    ) -> axum::response::Response {
        upgrade.on_upgrade(move |socket| echo_until(socket, draining))
    }
    Router::new()
        .route("/", get(|Extension(peer): Extension<Peer>| async move { tell(&peer) }))
        .route("/ws", get(echo))
}

async fn echo_until(mut socket: WebSocket, mut draining: Draining) {
    loop {
        let message = tokio::select! {
            () = draining.started() => return,
            message = socket.recv() => message,
        };
        let Some(Ok(Message::Text(text))) = message else { return };
        if socket.send(Message::Text(text)).await.is_err() {
            return;
        }
    }
}

fn tell(peer: &Peer) -> String {
    match &peer.transport {
        Transport::Tls { certificates: None } => "tls".to_owned(),
        Transport::Tls { certificates: Some(chain) } => {
            let identity = identity_of(&chain[0], TRUST_DOMAIN).expect("a verified chain names a machine");
            format!("machine {}", identity.machine)
        }
        Transport::Unix { uid, gid, pid } => format!("unix {uid} {gid} {}", pid.unwrap_or(0)),
        Transport::Plain => "plain".to_owned(),
    }
}

/// One HTTP/1.1 request and everything that comes back.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
