//! Servers of a few lines: each connection is one request and one canned answer.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

/// The requests that came, as text, and the answers still to give. An empty answer closes the connection instead.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<String>>>,
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = String>) -> Self {
        let script = Self::default();
        script.answers.lock().expect("not poisoned").extend(answers);
        script
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }

    /// The value of a header in the nth request.
    pub(crate) fn header(&self, nth: usize, name: &str) -> Option<String> {
        let requests = self.requests();
        let lines = requests.get(nth)?.lines();
        let mut pairs = lines.filter_map(|line| line.split_once(": "));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let request = read_request(&mut stream).await?;
        self.requests.lock().expect("not poisoned").push(request);
        let answer = self.answers.lock().expect("not poisoned").pop_front().unwrap_or_default();
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }
}

pub(crate) fn answer(status: u16, content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn json(body: &serde_json::Value) -> String {
    answer(200, "application/json", &body.to_string())
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Ok(text);
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(text);
        }
    }
}

/// A socket that is removed with its directory.
pub(crate) struct Socket {
    pub(crate) path: PathBuf,
    _dir: tempfile::TempDir,
}

/// Serves a script on a Unix socket.
pub(crate) fn unix(script: &Script) -> Socket {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("muster.sock");
    let listener = UnixListener::bind(&path).expect("a new path");
    let script = script.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that hangs up is part of some tests.
            script.serve(stream).await.ok();
        }
    });
    Socket { path, _dir: dir }
}

/// A CA of a deployment and a server certificate for 127.0.0.1 below it.
pub(crate) struct Deployment {
    root: CertifiedIssuer<'static, KeyPair>,
}

impl Deployment {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self { root: CertifiedIssuer::self_signed(params, key).expect("a root") }
    }

    pub(crate) fn pem(&self) -> String {
        self.root.pem()
    }

    pub(crate) fn pin(&self) -> [u8; 32] {
        use rcgen::PublicKeyData;
        Sha256::digest(self.root.key().subject_public_key_info()).into()
    }

    fn config(&self) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        let leaf = params.signed_by(&key, &self.root).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions we know").with_no_client_auth();
        builder.with_single_cert(vec![leaf.der().clone()], key).expect("a key that fits")
    }
}

/// Serves a script over TLS as this deployment; gives the address.
pub(crate) async fn tls(deployment: &Deployment, script: &Script) -> String {
    let acceptor = TlsAcceptor::from(Arc::new(deployment.config()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let script = script.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that refuses our certificate is part of some tests.
            if let Ok(stream) = acceptor.accept(stream).await {
                script.serve(stream).await.ok();
            }
        }
    });
    format!("https://{address}")
}
