//! What the connectors have in common: a client that goes nowhere by itself, and answers of bounded size.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster_model::text::is_printable;
use muster_model::{Mishap, MishapKind, MishapText};
use reqwest::{Client, Response, StatusCode, Url};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;
use thiserror::Error;

/// More of an answer is not read.
const MOST: usize = 64 * 1024;

/// Why a connector cannot be made.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The address is not one.
    #[error("is not an address of the form https://host/path without user and fragment")]
    Address,
    /// Secrets would be sent over plain HTTP to another host.
    #[error("is http:// to another host: what is sent can be read on the way")]
    Plain,
    /// The secret of a webhook is not one.
    #[error("is not a secret of the form whsec_ and base64 of at least 24 bytes")]
    Secret,
    /// The roots to trust cannot be read.
    #[error("cannot read the certificates to trust")]
    Roots(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client cannot be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An address to send secrets to: `https`, or `http` on this host.
pub(crate) fn address(text: &str) -> Result<Url, SetupError> {
    let url = Url::parse(text).or(Err(SetupError::Address))?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    match url.scheme() {
        "https" if url.has_host() && plain => Ok(url),
        "http" if is_here(&url) && plain => Ok(url),
        "http" if url.has_host() && plain => Err(SetupError::Plain),
        _ => Err(SetupError::Address),
    }
}

fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// TLS that trusts these roots, or those of the system where there are none.
pub(crate) fn tls(roots: Option<&[u8]>) -> Result<ClientConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let failed = |error: rustls::Error| SetupError::Roots(Box::new(error));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let Some(pem) = roots else {
        return Ok(builder.with_platform_verifier().map_err(failed)?.with_no_client_auth());
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| SetupError::Roots(Box::new(error)))?;
        store.add(certificate).map_err(failed)?;
    }
    if store.is_empty() {
        return Err(SetupError::Roots("there is no certificate".into()));
    }
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}

/// A client; one that is to reach a host at an address asks nobody where the host is.
pub(crate) fn client(
    tls: ClientConfig,
    whole: Duration,
    at: Option<(&str, SocketAddr)>,
) -> Result<Client, SetupError> {
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
        .timeout(whole);
    if let Some((host, address)) = at {
        builder = builder.resolve(host, address);
    }
    builder.build().map_err(|error| SetupError::Client(Box::new(error)))
}

/// The body of an answer, if it is not too long.
pub(crate) async fn body(mut response: Response) -> Result<Vec<u8>, Mishap> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreached(&error))? {
        if body.len() + chunk.len() > MOST {
            return Err(mishap(MishapKind::Failed, "its answer is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A failure on the way: what the other system did is unknown. The error's address may hold what is not to be shown.
pub(crate) fn unreached(error: &reqwest::Error) -> Mishap {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    mishap(MishapKind::Unreachable, what)
}

/// What a status that is no success means.
pub(crate) fn denied(status: StatusCode) -> Mishap {
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => MishapKind::Unauthorized,
        _ => MishapKind::Failed,
    };
    mishap(kind, &format!("HTTP {}", status.as_u16()))
}

/// A failure, with as much of what was said as can be shown.
pub(crate) fn mishap(kind: MishapKind, said: &str) -> Mishap {
    let shown: String = said.chars().filter(|c| is_printable(*c)).take(MishapText::MAX).collect();
    Mishap { kind, text: shown.parse().ok() }
}
