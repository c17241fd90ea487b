//! First contact: finding the root that a pin names.
//!
//! Connects without verifying anybody, asks for the roots and nothing else, sends nothing secret, and keeps the one
//! root whose key has the pinned hash. Everything after that is verified against this root. No such root: it fails
//! closed.

use muster_agent_core::Verdict;
use muster_wire::invite::CaPin;
use muster_wire::trust::Trust;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::net::client::{Call, Client};
use crate::net::endpoint::Endpoint;
use crate::net::tls;
use crate::ports::Ports;

/// The root that the pin names, in PEM.
pub(crate) async fn pinned_root(ports: &Ports, endpoint: &Endpoint, pin: CaPin) -> Result<String, Verdict> {
    let mut client = Client::unverified(ports, endpoint, tls::first_contact(&ports.clock)?);
    let reply = client.send(Call::get("/v1/trust")).await?;
    // Whatever a stranger says instead of roots is trouble with the address, never a word about the identity.
    let trust: Trust = reply.json().map_err(|verdict| Verdict::later(format!("first contact: {verdict}")))?;
    trust.roots.into_iter().find(|pem| is_pinned(pem, pin)).ok_or_else(|| Verdict::Untrusted {
        what: format!(
            "{} is not the server of this invite: none of its roots has the pin {pin}. Either it is another server, or \
             the invite is from before its certificate authority was changed: ask for a new invite",
            endpoint.authority()
        ),
    })
}

/// Whether a bundle has a root with this pin, by its own computation.
pub(crate) fn holds(trust: &Trust, pin: CaPin) -> bool {
    trust.roots.iter().any(|pem| is_pinned(pem, pin))
}

fn is_pinned(pem: &str, pin: CaPin) -> bool {
    let root = CertificateDer::from_pem_slice(pem.as_bytes());
    root.is_ok_and(|root| key_hash(&root) == Some(pin.0))
}

/// SHA-256 over the DER `SubjectPublicKeyInfo` of a certificate.
pub(crate) fn key_hash(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Sha256::digest(parsed.tbs_certificate.subject_pki.raw).into())
}
