//! The two TLS configurations of the one port, and which of them a ClientHello gets; and the one of a listener that has
//! a certificate of the operator's own.
//!
//! A client that offers the ALPN protocol `muster/1` (RFC 7301) is an agent: TLS 1.3 only, a client certificate
//! is required, nothing is resumed, so no ticket ever stands in for a certificate. Everybody else gets the
//! open configuration, which never asks for a certificate: a browser sees no prompt.
//!
//! Invariant: the choice is made once, from the ClientHello, before any key is exchanged; SNI plays no part.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, VerifierBuilderError};
use rustls::{RootCertStore, ServerConfig, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use super::verifier::MachineVerifier;

/// The ALPN protocol of agents: HTTP/1.1 over TLS with a machine certificate.
pub const ALPN_MUSTER: &[u8] = b"muster/1";
/// The ALPN protocol of HTTP/2.
pub(super) const ALPN_H2: &[u8] = b"h2";
const ALPN_HTTP11: &[u8] = b"http/1.1";

/// What the configurations are made of.
#[derive(Debug)]
pub struct TlsMaterial {
    /// The server's certificate chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the leaf.
    pub key: PrivateKeyDer<'static>,
    /// The roots machine certificates must chain to: the active and the standby one.
    pub roots: Vec<CertificateDer<'static>>,
    /// The trust domain machine certificates must name.
    pub trust_domain: String,
}

/// Why there is no TLS configuration, and hence no listener.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The trust bundle is empty.
    #[error("the trust bundle holds no root certificate; refusing to listen")]
    NoRoots,
    /// A root of the bundle cannot be used; one bad root makes the bundle bad.
    #[error("root certificate {index} of the trust bundle cannot be used")]
    Root {
        /// Place in the bundle, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// Chain and key do not make a server certificate.
    #[error("the server certificate and its key cannot be used")]
    Certificate(#[source] rustls::Error),
    /// The verifier refused the roots.
    #[error("the client certificate verifier cannot be built")]
    Verifier(#[from] VerifierBuilderError),
    /// The provider lacks a version or the random generator failed.
    #[error("the TLS provider cannot be set up")]
    Provider(#[source] rustls::Error),
}

/// What a listener offers; replaced as one when a certificate is renewed.
#[derive(Debug)]
pub struct TlsConfigs {
    /// None where no machine certificates are taken: a client that offers `muster/1` alone is refused there.
    machine: Option<Arc<ServerConfig>>,
    open: Arc<ServerConfig>,
}

/// The configurations behind a swap: a renewal takes effect with the next handshake.
pub type SharedTls = Arc<ArcSwap<TlsConfigs>>;

impl TlsConfigs {
    /// Builds both from the same material.
    pub fn new(material: TlsMaterial) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(root_store(&material.roots)?);
        let verifier = MachineVerifier::new(roots, material.trust_domain, provider.clone())?;
        let machine = machine_config(&provider, verifier, material.chain.clone(), material.key.clone_key())?;
        let open = open_config(&provider, material.chain, material.key, &[ALPN_H2, ALPN_HTTP11])?;
        Ok(Self { machine: Some(Arc::new(machine)), open: Arc::new(open) })
    }

    /// HTTP/1.1 for clients that trust whoever certified this chain. Nobody is asked for a certificate.
    pub(super) fn public(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let open = open_config(&provider, chain, key, &[ALPN_HTTP11])?;
        Ok(Self { machine: None, open: Arc::new(open) })
    }

    /// Behind a swap, as [`super::Listener::tls`] takes them.
    pub fn shared(self) -> SharedTls {
        Arc::new(ArcSwap::from_pointee(self))
    }

    /// The configuration this client gets.
    pub(super) fn choose(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let agent = hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ALPN_MUSTER));
        self.machine.as_ref().filter(|_| agent).unwrap_or(&self.open).clone()
    }
}

fn root_store(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for (index, root) in roots.iter().enumerate() {
        store.add(root.clone()).map_err(|source| TlsError::Root { index, source })?;
    }
    Ok(store)
}

fn machine_config(
    provider: &Arc<CryptoProvider>,
    verifier: MachineVerifier,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(TlsError::Provider)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain, key)
        .map_err(TlsError::Certificate)?;
    config.alpn_protocols = vec![ALPN_MUSTER.to_vec()];
    // A resumed session skips the certificate; revocation and expiry would have to wait for its end.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn open_config(
    provider: &Arc<CryptoProvider>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    alpn: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(TlsError::Provider)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Certificate)?;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Provider)?;
    // Tickets hold the state themselves, so the server remembers nothing per client.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}
