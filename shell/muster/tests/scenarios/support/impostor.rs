//! Something that stands where the server should: a web server, another CA, a proxy of the operator's own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use muster_issuer::{Authority, SealKey};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{SOON, Server, eventually, host_of, text};

const REVOKED: &str = r#"{"type":"urn:muster:problem:revoked","title":"This key or credential was revoked.","status":403,"code":"revoked","action":"enroll_again","help":"x"}"#;

/// What stands on the port.
#[derive(Clone)]
pub(crate) struct Stand {
    pub(crate) name: &'static str,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) answer: String,
}

/// Something on the server's port that is not the server.
pub(crate) struct Impostor {
    stand: Arc<Mutex<Stand>>,
    met: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<u8>>>,
    over: Arc<AtomicBool>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Impostor {
    pub(crate) fn at(address: &str, stand: Stand) -> Self {
        let listener = TcpListener::bind(address).expect("the server has gone");
        let address = listener.local_addr().expect("its address");
        let mut impostor = Self {
            stand: Arc::new(Mutex::new(stand)),
            met: Arc::default(),
            heard: Arc::default(),
            over: Arc::default(),
            address,
            thread: None,
        };
        let (stand, met, heard) = (impostor.stand.clone(), impostor.met.clone(), impostor.heard.clone());
        let over = impostor.over.clone();
        impostor.thread = Some(std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let stand = stand.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // Whoever hangs up early has been met all the same.
                let said = serve(stream, &stand).unwrap_or_default();
                heard.lock().unwrap_or_else(PoisonError::into_inner).extend(said);
                met.fetch_add(1, Ordering::SeqCst);
            }
        }));
        impostor
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn becomes(&self, stand: Stand) {
        *self.stand.lock().unwrap_or_else(PoisonError::into_inner) = stand;
        self.met.store(0, Ordering::SeqCst);
    }

    /// How many it has answered since it became what it is.
    pub(crate) fn met(&self) -> usize {
        self.met.load(Ordering::SeqCst)
    }

    pub(crate) fn is_met(&self) {
        let name = self.stand.lock().unwrap_or_else(PoisonError::into_inner).name;
        let met = || (self.met.load(Ordering::SeqCst) > 0).then_some(());
        eventually(&format!("an agent meets {name}"), SOON, met);
    }

    pub(crate) fn heard(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes it from waiting for somebody. Where nobody can connect any more it waits for nobody.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            thread.join().expect("it only ever answers");
        }
    }
}

/// Answers one request; gives what was said.
fn serve(stream: TcpStream, stand: &Stand) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    match &stand.tls {
        None => converse(stream, &stand.answer),
        Some(config) => {
            let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
            converse(StreamOwned::new(connection, stream), &stand.answer)
        }
    }
}

fn converse(mut stream: impl Read + Write, answer: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 64 * 1024];
    let read = stream.read(&mut bytes)?;
    bytes.truncate(read);
    stream.write_all(answer.as_bytes())?;
    stream.flush()?;
    Ok(bytes)
}

fn answer(status: &str, media_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\
         location: https://127.0.0.1:1/\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn tls(
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("TLS 1.3").with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.expect("a certificate");
    config.alpn_protocols = vec![muster_wire::ALPN.to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A certificate that nobody has a reason to trust.
pub(crate) fn another_ca(host: &str) -> Arc<ServerConfig> {
    let own = rcgen::generate_simple_self_signed(vec![host.to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    tls(vec![own.cert.der().clone()], key.into())
}

/// A certificate of the right CA, as a proxy of the operator's own would have.
fn right_ca(server: &Server) -> Arc<ServerConfig> {
    let authority = Authority::open(&server.dir().join("ca"), &SealKey::Beside).expect("its own files");
    let name = host_of(server.address()).to_owned().try_into().expect("an address");
    let now = text(&server.muster(&["status"])["server_time"]).parse().expect("a time");
    let own = authority.server_certificate(&[name], now).expect("a certificate");
    tls(own.chain, own.key)
}

/// Everything that may stand there.
pub(crate) fn stands(server: &Server) -> Vec<Stand> {
    let html = "<html><body>Please log in to the hotel's network.</body></html>";
    let other = another_ca(host_of(server.address()));
    let proxy = right_ca(server);
    let stand = |name, tls, answer| Stand { name, tls, answer };
    let behind =
        |name, status, media_type, body| stand(name, Some(proxy.clone()), answer(status, media_type, body));
    vec![
        stand("a plain web server", None, answer("200 OK", "text/html", html)),
        stand("another CA", Some(other), answer("403 Forbidden", "application/problem+json", REVOKED)),
        behind("404", "404 Not Found", "text/html", html),
        behind("a bare 404", "404 Not Found", "application/json", "{}"),
        behind("401", "401 Unauthorized", "text/html", html),
        behind("HTML", "200 OK", "text/html", html),
        behind("an empty 200", "200 OK", "application/json", "{}"),
        behind("302", "302 Found", "text/html", html),
        behind("403", "403 Forbidden", "text/html", html),
        behind("502", "502 Bad Gateway", "text/html", html),
    ]
}
