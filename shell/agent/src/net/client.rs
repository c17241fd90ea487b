//! One HTTP/1.1 connection over TLS: bounded bodies, bounded times, no redirects followed, no proxies.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use muster_agent_core::{Answer, Verdict};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::net::endpoint::Endpoint;
use crate::net::fault::judge;
use crate::ports::Ports;

/// No answer is larger.
const MAX_BODY: usize = 256 * 1024;
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const AGENT: &str = concat!("muster-agent/", env!("CARGO_PKG_VERSION"));

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) headers: HeaderMap,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    authenticated: bool,
}

/// A connection that is opened when it is needed and kept.
pub(crate) struct Client {
    ports: Ports,
    endpoint: Endpoint,
    config: Arc<ClientConfig>,
    authenticated: bool,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<Result<(), hyper::Error>>,
}

impl<'a> Call<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, headers: HeaderMap::new() }
    }

    pub(crate) fn post(path: &'a str, body: Option<Vec<u8>>) -> Self {
        Self { method: Method::POST, path, body, headers: HeaderMap::new() }
    }
}

impl Client {
    /// A connection to a server that `config` verifies.
    pub(crate) fn verified(ports: &Ports, endpoint: &Endpoint, config: Arc<ClientConfig>) -> Self {
        Self { ports: ports.clone(), endpoint: endpoint.clone(), config, authenticated: true, open: None }
    }

    /// A connection to whoever answers. Its answers end nothing.
    pub(crate) fn unverified(ports: &Ports, endpoint: &Endpoint, config: Arc<ClientConfig>) -> Self {
        Self { authenticated: false, ..Self::verified(ports, endpoint, config) }
    }

    /// The path as it goes over the wire, with the server's prefix.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint.prefix)
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&mut self, call: Call<'_>) -> Result<Reply, Verdict> {
        let authenticated = self.authenticated;
        let whole = async {
            let (head, body) = self.exchange(call).await?.into_parts();
            let body = Limited::new(body, MAX_BODY).collect().await;
            let body = body.map_err(|error| judge("reading the answer", error.as_ref()))?.to_bytes();
            Ok(Reply { status: head.status, headers: head.headers, body, authenticated })
        };
        let result = timeout(ANSWER_LIMIT, whole).await.unwrap_or_else(|_| Err(too_slow()));
        if result.is_err() {
            self.open = None;
        }
        result
    }

    /// Sends a request that turns the connection into something else (RFC 9110 §7.8).
    pub(crate) async fn upgrade(mut self, call: Call<'_>) -> Result<(Response<Incoming>, Self), Verdict> {
        let response =
            timeout(ANSWER_LIMIT, self.exchange(call)).await.unwrap_or_else(|_| Err(too_slow()))?;
        Ok((response, self))
    }

    /// Reads what came instead of an upgrade.
    pub(crate) async fn refused(&self, response: Response<Incoming>) -> Verdict {
        let (head, body) = response.into_parts();
        let body = match timeout(ANSWER_LIMIT, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => return judge("reading the answer", error.as_ref()),
            Err(_) => return too_slow(),
        };
        let authenticated = self.authenticated;
        Reply { status: head.status, headers: head.headers, body, authenticated }.verdict()
    }

    async fn exchange(&mut self, call: Call<'_>) -> Result<Response<Incoming>, Verdict> {
        let request = self.request(call)?;
        if self.open.as_ref().is_none_or(|open| open.sender.is_closed()) {
            self.open = Some(self.connect().await?);
        }
        let open = self.open.as_mut().expect("it was opened above");
        match open.sender.send_request(request).await {
            Ok(response) => Ok(response),
            Err(error) => {
                // The connection knows better than the sender why it ended: a TLS alert, for one.
                let cause = timeout(Duration::from_millis(100), &mut open.connection).await;
                self.open = None;
                match cause {
                    Ok(Ok(Err(cause))) => Err(judge("sending the request", &cause)),
                    _ => Err(judge("sending the request", &error)),
                }
            }
        }
    }

    fn request(&self, call: Call<'_>) -> Result<Request<Full<Bytes>>, Verdict> {
        let mut request = Request::builder()
            .method(call.method)
            .uri(self.path(call.path))
            .header(HOST, self.endpoint.authority())
            .header(USER_AGENT, AGENT);
        if call.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(call.body.unwrap_or_default()));
        let mut request = request.body(body).map_err(|error| judge("making the request", &error))?;
        request.headers_mut().extend(call.headers);
        Ok(request)
    }

    async fn connect(&self) -> Result<Open, Verdict> {
        let doing = format!("connecting to {}", self.endpoint.authority());
        let Endpoint { host, port, .. } = self.endpoint.clone();
        let stream = self.ports.dial.dial(host, port).await.map_err(|error| judge(&doing, &error))?;
        let name = self.endpoint.server_name().map_err(Verdict::later)?;
        let handshake = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream);
        let stream = match timeout(HANDSHAKE_LIMIT, handshake).await {
            Ok(stream) => stream.map_err(|error| judge(&doing, &error))?,
            Err(_) => return Err(Verdict::later(format!("{doing}: the TLS handshake takes too long"))),
        };
        let wanted = self.config.alpn_protocols.first().map(Vec::as_slice);
        if wanted == Some(muster_wire::ALPN) && stream.get_ref().1.alpn_protocol() != wanted {
            // Whoever ends TLS there did not ask for our certificate and will not know us by it.
            let what = format!("{doing}: the server does not speak muster/1");
            return Err(Verdict::Untrusted { what });
        }
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| judge(&doing, &error))?;
        Ok(Open { sender, connection: tokio::spawn(connection.with_upgrades()) })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Reply {
    /// The value of a success, or what the failure means.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Verdict> {
        if !self.status.is_success() {
            return Err(self.verdict());
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Verdict::later(format!("answered {} with something odd: {error}", self.status)))
    }

    /// What a failure means.
    pub(crate) fn verdict(&self) -> Verdict {
        let text = |name| self.headers.get(name).and_then(|value| value.to_str().ok());
        Answer {
            status: self.status.as_u16(),
            content_type: text(CONTENT_TYPE),
            retry_after: text(RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok()),
            body: &self.body,
            authenticated: self.authenticated,
        }
        .classify()
    }
}

fn too_slow() -> Verdict {
    Verdict::later("the server takes too long to answer")
}
