//! TLS that trusts exactly the roots it is given: no system store, no Web PKI.

use std::sync::Arc;

use muster_wire::invite::CaPin;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

use crate::ClientError;

/// TLS settings that trust these roots and nobody else. Fails closed without a root.
pub fn config_for_roots<'a>(
    roots: impl IntoIterator<Item = CertificateDer<'a>>,
) -> Result<ClientConfig, ClientError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.into_owned()).map_err(|error| ClientError::Certificate { source: Box::new(error) })?;
    }
    if store.is_empty() {
        return Err(ClientError::Certificate { source: "the trust bundle is empty".into() });
    }
    Ok(builder()?.with_root_certificates(store).with_no_client_auth())
}

/// The pin of a certificate: SHA-256 of its DER `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7).
pub fn pin_of(certificate: &CertificateDer<'_>) -> Result<CaPin, ClientError> {
    let parsed = ParsedCertificate::try_from(certificate)
        .map_err(|error| ClientError::Certificate { source: Box::new(error) })?;
    Ok(CaPin(Sha256::digest(parsed.subject_public_key_info().as_ref()).into()))
}

/// TLS settings for one question, who are you: the answer is compared with a pin before anything else is sent.
#[expect(clippy::disallowed_methods, reason = "first contact: no secret is sent before the pin was compared")]
pub(crate) fn config_for_first_contact() -> Result<ClientConfig, ClientError> {
    let verifier = Arc::new(Unverified(provider()));
    Ok(builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// TLS settings that trust nobody, for transports that use no TLS.
pub(crate) fn config_for_nobody() -> Result<ClientConfig, ClientError> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, ClientError> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Setup { source: Box::new(error) })
}

/// Takes any certificate. Used for `GET /v1/trust` alone, which carries no secret in either direction.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
