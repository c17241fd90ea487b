//! TLS of the clients, as the agent has it: version 1.3, the deployment's roots alone, nothing resumed. And both ends
//! of a handshake without a network between them.

use std::sync::Arc;

use anyhow::Result;
use muster_issuer::Authority;
use muster_model::Timestamp;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, ServerConfig, ServerConnection,
    WantsVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// The name of the servers that are measured.
pub(crate) const NAME: &str = "127.0.0.1";

/// Shows no certificate.
pub(crate) fn client(authority: &Authority) -> Result<Arc<ClientConfig>> {
    trusting(&authority.roots_der().into_iter().cloned().collect::<Vec<_>>())
}

/// Shows no certificate, and trusts these roots.
pub(crate) fn trusting(roots_der: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>> {
    let config = builder()?.with_root_certificates(roots(roots_der)?).with_no_client_auth();
    Ok(finished(config, b"http/1.1"))
}

/// Shows a machine's certificate.
pub(crate) fn machine(
    roots_der: &[CertificateDer<'static>],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ClientConfig>> {
    let config = builder()?.with_root_certificates(roots(roots_der)?).with_client_auth_cert(chain, key)?;
    Ok(finished(config, muster_server::serve::ALPN_MUSTER))
}

/// A server's configuration like that of the port that asks nobody for a certificate.
pub(crate) fn server(authority: &Authority, now: Timestamp) -> Result<Arc<ServerConfig>> {
    let certificate = authority.server_certificate(&[NAME.try_into()?], now)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificate.chain, certificate.key)?;
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// Both ends of one handshake, in memory.
pub(crate) fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Result<()> {
    let mut client = ClientConnection::new(client.clone(), ServerName::try_from(NAME)?)?;
    let mut server = ServerConnection::new(server.clone())?;
    let mut wire = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        wire.clear();
        client.write_tls(&mut wire)?;
        let mut sent = wire.as_slice();
        while !sent.is_empty() {
            server.read_tls(&mut sent)?;
            server.process_new_packets()?;
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire)?;
        }
        let mut sent = wire.as_slice();
        while !sent.is_empty() {
            client.read_tls(&mut sent)?;
            client.process_new_packets()?;
        }
    }
    Ok(())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    Ok(builder.with_protocol_versions(&[&rustls::version::TLS13])?)
}

fn roots(roots: &[CertificateDer<'static>]) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    roots.iter().try_for_each(|root| store.add(root.clone()))?;
    Ok(store)
}

fn finished(mut config: ClientConfig, alpn: &[u8]) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}
