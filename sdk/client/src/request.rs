//! One request: address, token, idempotency key, bounded answer, and what the answer means.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use muster_wire::invite::CaPin;
use muster_wire::problem::MEDIA_TYPE;
use reqwest::{Method, RequestBuilder, Response};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ClientError, tls};

const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(30);
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// A client of one deployment. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Scheme, host, port and perhaps a path prefix, without a slash at the end.
    base: String,
    /// What errors call the server: its address or the path of its socket.
    server: String,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Client {
    /// Speaks over the server's Unix socket; the socket's peer credentials are the login.
    pub fn unix(socket: &Path) -> Result<Self, ClientError> {
        let http = builder(tls::config_for_nobody()?).unix_socket(socket);
        let server = socket.display().to_string();
        Ok(Self { http: build(http)?, base: "http://localhost".to_owned(), server })
    }

    /// Speaks TLS to an address whose certificate leads to one of these roots, with an API token where there is one.
    pub fn https<'a>(
        url: &str,
        roots: impl IntoIterator<Item = CertificateDer<'a>>,
        token: Option<&str>,
    ) -> Result<Self, ClientError> {
        Self::over_tls(url, tls::config_for_roots(roots)?, token)
    }

    /// Speaks TLS to an address whose root has this pin: asks it for the root first, then trusts that root alone.
    pub async fn pinned(url: &str, pin: CaPin, token: Option<&str>) -> Result<Self, ClientError> {
        let root = crate::pinned_root(url, pin).await?;
        Self::https(url, [root], token)
    }

    /// What errors call the server: its address or the path of its socket.
    pub fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn over_tls(url: &str, tls: ClientConfig, token: Option<&str>) -> Result<Self, ClientError> {
        let base = address(url)?;
        let mut http = builder(tls).https_only(true);
        if let Some(token) = token {
            http = http.default_headers(bearer(token)?);
        }
        Ok(Self { http: build(http)?, server: base.clone(), base })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.get_bounded(path, MAX_ANSWER).await
    }

    pub(crate) async fn get_bounded<T: DeserializeOwned>(
        &self,
        path: &str,
        max: usize,
    ) -> Result<T, ClientError> {
        self.read(self.request(Method::GET, path), max).await
    }

    pub(crate) async fn list<T: DeserializeOwned, Q: Serialize + Sync>(
        &self,
        path: &str,
        query: &Q,
    ) -> Result<T, ClientError> {
        self.read(self.request(Method::GET, path).query(query), MAX_ANSWER).await
    }

    /// A new thing or an act. See [`write`](Self::write).
    pub(crate) async fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        self.write(Method::POST, path, body).await
    }

    /// A change of what there is. See [`write`](Self::write).
    pub(crate) async fn patch<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        self.write(Method::PATCH, path, body).await
    }

    /// A write, under a fresh idempotency key. Where the connection breaks before the answer is complete, it is repeated
    /// once under the same key: the server then gives the same answer and does nothing twice.
    async fn write<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        let key = idempotency_key()?;
        let request = || self.request(method.clone(), path).header("Idempotency-Key", &key).json(body);
        match self.read(request(), MAX_ANSWER).await {
            Err(ClientError::Broken { source, .. }) => {
                tracing::debug!(error = %source, "the connection broke; repeating under the same idempotency key");
                self.read(request(), MAX_ANSWER).await
            }
            result => result,
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder, max: usize) -> Result<T, ClientError> {
        let response = request.send().await.map_err(|error| self.transport(error))?;
        let status = response.status();
        let content_type = content_type(&response);
        let body = self.body(response, max).await?;
        let shape = |source| ClientError::Shape { server: self.server.clone(), source };
        match content_type.as_str() {
            "application/json" if status.is_success() => serde_json::from_slice(&body).map_err(shape),
            MEDIA_TYPE => Err(ClientError::Problem(serde_json::from_slice(&body).map_err(shape)?)),
            _ => Err(self.foreign(status.as_u16(), content_type)),
        }
    }

    async fn body(&self, mut response: Response, max: usize) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(error))? {
            if body.len() + chunk.len() > max {
                return Err(ClientError::TooLarge { server: self.server.clone(), max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn foreign(&self, status: u16, content_type: String) -> ClientError {
        ClientError::Foreign { server: self.server.clone(), status, content_type }
    }

    fn transport(&self, source: reqwest::Error) -> ClientError {
        let server = self.server.clone();
        if is_tls(&source) {
            ClientError::Untrusted { server, source }
        } else if source.is_connect() || source.is_timeout() {
            ClientError::Unreachable { server, source }
        } else if source.is_builder() {
            ClientError::Setup { source: Box::new(source) }
        } else {
            ClientError::Broken { server, source }
        }
    }
}

fn builder(tls: ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, ClientError> {
    builder.build().map_err(|error| ClientError::Setup { source: Box::new(error) })
}

/// The address without a slash at its end. Only `https://` is taken (Q-43), without user, query or fragment.
fn address(text: &str) -> Result<String, ClientError> {
    let wrong = || ClientError::Address { url: text.to_owned() };
    let url = reqwest::Url::parse(text).or(Err(wrong()))?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if url.scheme() != "https" || !url.has_host() || !plain {
        return Err(wrong());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn bearer(token: &str) -> Result<HeaderMap, ClientError> {
    let text = format!("Bearer {}", token.trim());
    let mut value = HeaderValue::from_str(&text).or(Err(ClientError::Token))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

fn idempotency_key() -> Result<String, ClientError> {
    let mut bytes = [0; 16];
    let random = tls::provider().secure_random.fill(&mut bytes);
    let failed = || ClientError::Setup { source: "no random numbers from the operating system".into() };
    random.or(Err(failed()))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

fn content_type(response: &Response) -> String {
    let value = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("no content type");
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(_)) = tls_error(error) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An `io::Error` hides what it was made of from `source()`, and may be made of another one.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => tls_error(io.get_ref()?),
        None => error.downcast_ref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_43_only_plain_https_addresses_are_taken() {
        assert_eq!(address("https://a:8443/").expect("an address"), "https://a:8443");
        assert_eq!(address("https://a/muster/").expect("an address"), "https://a/muster");
        for bad in
            ["http://a", "a:8443", "https://", "https://u:p@a", "https://a/?x", "https://a/#x", "ftp://a", ""]
        {
            assert!(matches!(address(bad), Err(ClientError::Address { .. })), "{bad}");
        }
    }

    #[test]
    fn every_write_has_a_key_of_its_own() {
        let (one, two) = (idempotency_key().expect("random"), idempotency_key().expect("random"));
        assert!(one != two && one.len() == 32);
    }

    #[test]
    fn q_27_a_token_never_shows_in_debug_and_line_ends_are_refused() {
        let headers = bearer(" mst_api_x_y\n").expect("trimmed");
        assert_eq!(format!("{headers:?}"), r#"{"authorization": Sensitive}"#);
        assert!(matches!(bearer("a\r\nX: y"), Err(ClientError::Token)));
    }

    #[test]
    fn no_socket_at_all_is_unreachable_not_an_answer() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let client = Client::unix(Path::new("/nonexistent/muster.sock")).expect("set up");
        let error =
            runtime.block_on(client.get::<serde_json::Value>("/v1/status")).expect_err("nobody there");
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    }
}
