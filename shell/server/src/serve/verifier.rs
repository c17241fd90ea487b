//! The client certificates a machine may show: a chain to our roots, extended key usage clientAuth, and exactly
//! one URI SAN that names a machine of our trust domain.
//!
//! webpki checks chain, dates and signature (RFC 5280 §6) but lets a certificate *without* extended key usage
//! pass and knows no URI names, so both are checked here. It never looks a machine up: whether the named machine
//! still exists is asked for every request, not for every connection.

use std::sync::Arc;

use muster_model::{MachineId, TenantId};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use thiserror::Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::tls::TlsError;

/// The machine a certificate names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MachineIdentity {
    /// The tenant of the machine.
    pub tenant: TenantId,
    /// The machine.
    pub machine: MachineId,
}

/// A certificate that names no machine of the trust domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// Not an X.509 certificate, or with broken extensions.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// Extended key usage is absent or lacks clientAuth.
    #[error("the certificate is not meant for clients")]
    NotForClients,
    /// No URI name, more than one, or one of another form or trust domain.
    #[error("the certificate does not name exactly one machine of this trust domain")]
    Name,
}

/// Reads the machine out of a certificate. Proves nothing by itself: call it for a certificate whose chain
/// was verified.
pub fn identity_of(
    certificate: &CertificateDer<'_>,
    trust_domain: &str,
) -> Result<MachineIdentity, IdentityError> {
    let (rest, parsed) = X509Certificate::from_der(certificate).or(Err(IdentityError::Unreadable))?;
    if !rest.is_empty() {
        return Err(IdentityError::Unreadable);
    }
    let usage = parsed.extended_key_usage().or(Err(IdentityError::Unreadable))?;
    if !usage.is_some_and(|usage| usage.value.client_auth) {
        return Err(IdentityError::NotForClients);
    }
    let names = parsed.subject_alternative_name().or(Err(IdentityError::Unreadable))?;
    let mut uris = names.iter().flat_map(|san| &san.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => parse_uri(uri, trust_domain).ok_or(IdentityError::Name),
        _ => Err(IdentityError::Name),
    }
}

fn parse_uri(uri: &str, trust_domain: &str) -> Option<MachineIdentity> {
    let path = uri.strip_prefix("spiffe://")?.strip_prefix(trust_domain)?.strip_prefix("/t/")?;
    let (tenant, machine) = path.split_once("/m/")?;
    let identity = MachineIdentity { tenant: tenant.parse().ok()?, machine: machine.parse().ok()? };
    // Identifiers read leniently (case, look-alikes); a name in a certificate has one spelling.
    let canonical = format!("spiffe://{trust_domain}/t/{}/m/{}", identity.tenant, identity.machine);
    (canonical == uri).then_some(identity)
}

/// Demands a certificate of a machine of one trust domain.
#[derive(Debug)]
pub struct MachineVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    trust_domain: String,
}

impl MachineVerifier {
    /// A verifier over these roots. No roots, no verifier.
    pub fn new(
        roots: Arc<RootCertStore>,
        trust_domain: String,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let chain = WebPkiClientVerifier::builder_with_provider(roots, provider).build()?;
        Ok(Self { chain, trust_domain })
    }
}

impl ClientCertVerifier for MachineVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        identity_of(end_entity, &self.trust_domain).map_err(|error| {
            Error::InvalidCertificate(match error {
                IdentityError::Unreadable => CertificateError::BadEncoding,
                IdentityError::NotForClients => CertificateError::InvalidPurpose,
                IdentityError::Name => CertificateError::ApplicationVerificationFailure,
            })
        })?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
