//! A small HTTP/1.1 client over TLS that sends exactly what it is told: one request, one connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned, WantsVerifier};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// A way to a server.
#[derive(Clone)]
pub(crate) struct Http {
    address: String,
    config: Arc<ClientConfig>,
}

/// A connection to a server.
pub(crate) type Connection = StreamOwned<ClientConnection, TcpStream>;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// `127.0.0.1` of `127.0.0.1:8443`.
pub(crate) fn host_of(address: &str) -> &str {
    address.rsplit_once(':').expect("an address has a port").0
}

impl Http {
    /// Trusts the deployment of a data directory; shows no certificate.
    pub(crate) fn trusting(address: &str, dir: &Path) -> Self {
        let config = builder().with_root_certificates(roots(dir)).with_no_client_auth();
        Self::with(address, config, b"http/1.1")
    }

    /// Trusts who certifies by this root alone, and speaks what is given here.
    pub(crate) fn public(address: &str, root: &str, alpn: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).expect("a root")).expect("a certificate");
        Self::with(address, builder().with_root_certificates(roots).with_no_client_auth(), alpn)
    }

    /// The same, with a machine's certificate.
    pub(crate) fn mutual(address: &str, dir: &Path, certificate: &str, key: &str) -> Self {
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let config = builder().with_root_certificates(roots(dir));
        let config = config.with_client_auth_cert(chain.expect("certificates"), key).expect("they fit");
        Self::with(address, config, muster_wire::ALPN)
    }

    /// A client that would be asked for a certificate if the server wanted one.
    pub(crate) fn asked(
        address: &str,
        dir: &Path,
        resolver: Arc<dyn ResolvesClientCert>,
        alpn: &[u8],
    ) -> Self {
        let config = builder().with_root_certificates(roots(dir)).with_client_cert_resolver(resolver);
        Self::with(address, config, alpn)
    }

    fn with(address: &str, mut config: ClientConfig, alpn: &[u8]) -> Self {
        config.alpn_protocols = vec![alpn.to_vec()];
        Self { address: address.to_owned(), config: Arc::new(config) }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// A request that must be answered, whatever the answer.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(method, path, headers, body).expect("an answer")
    }

    /// A request that may find nobody, or lose its answer.
    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let is_stated = headers.iter().any(|(name, _)| *name == "content-length");
        if !is_stated && (method != "GET" || !body.is_empty()) {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut stream = self.connect()?;
        stream.write_all(head.as_bytes())?;
        // A server that has seen enough answers before the end; its answer is what counts.
        stream.write_all(body).and_then(|()| stream.flush()).ok();
        read_answer(&mut stream)
    }

    /// Sends the head of a request and gives what comes back: the head of an answer, and the connection.
    pub(crate) fn upgrade(&self, path: &str, headers: &[(&str, &str)]) -> io::Result<(String, Connection)> {
        let mut head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = self.connect()?;
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        let (mut answer, mut byte) = (Vec::new(), [0]);
        while !answer.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        Ok((String::from_utf8_lossy(&answer).into_owned(), stream))
    }

    fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(host_of(&self.address).to_owned()).expect("an address");
        let connection = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, stream))
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Status and stable code of a problem document.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        (self.status, self.json()["code"].as_str().expect("a problem has a code").to_owned())
    }
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS 1.3")
}

fn roots(dir: &Path) -> RootCertStore {
    let mut store = RootCertStore::empty();
    for name in ["root-a.crt", "root-b.crt"] {
        let root = CertificateDer::from_pem_file(dir.join("ca").join(name)).expect("a root");
        store.add(root).expect("a certificate");
    }
    store
}

fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let lost = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut");
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some(answer) = parse(&bytes) {
            return Ok(answer);
        }
        match stream.read(&mut chunk)? {
            0 => return Err(lost()),
            read => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

/// The answer, once all of it is there. Every answer of this server says how long it is.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
    let header = |line: &str| {
        let (name, value) = line.split_once(':').expect("a header has a colon");
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    let headers: Vec<(String, String)> = lines.map(header).collect();
    let mut answer = Answer { status, headers, body: Vec::new() };
    let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    assert!(answer.header("transfer-encoding").is_none(), "{head}");
    answer.body = bytes[end + 4..].get(..length)?.to_vec();
    Some(answer)
}
