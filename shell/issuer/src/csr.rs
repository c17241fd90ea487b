//! Certificate signing requests (PKCS #10, RFC 2986): proof that the sender holds a key, and nothing else.
//!
//! Takes the public key and checks the request's own signature. Subject, extensions and attributes are parsed as far
//! as DER demands and dropped here: no later code ever sees them.

use muster_model::{KeyAlgorithm, PublicKey};
use thiserror::Error;
use x509_parser::oid_registry::{OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ED25519};
use x509_parser::prelude::{FromDer, X509CertificationRequest, X509Version};
use x509_parser::x509::AlgorithmIdentifier;

use crate::key::{self, KeyError};

/// Longest request looked at, in bytes.
pub const MAX_CSR: usize = 8 * 1024;

/// Why a certificate signing request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CsrError {
    /// Longer than [`MAX_CSR`].
    #[error("is longer than {MAX_CSR} bytes")]
    TooLong,
    /// Not a PKCS #10 request in DER, or bytes after it.
    #[error("is not a DER PKCS #10 certificate signing request")]
    Malformed,
    /// Its public key is not taken.
    #[error("has a public key that {0}")]
    Key(#[source] KeyError),
    /// Signed by an algorithm that does not fit its key: P-256 signs with SHA-256, Ed25519 with itself.
    #[error("is signed with an algorithm that does not fit its key")]
    Algorithm,
    /// The signature is not that of its key: no proof that the sender holds it.
    #[error("is not signed by its own key")]
    Signature,
}

/// Reads the public key of a DER request whose own signature proves it.
pub fn read(der: &[u8]) -> Result<PublicKey, CsrError> {
    if der.len() > MAX_CSR {
        return Err(CsrError::TooLong);
    }
    let (rest, csr) = X509CertificationRequest::from_der(der).or(Err(CsrError::Malformed))?;
    let info = &csr.certification_request_info;
    // RFC 2986 §4.1: version is v1(0); RFC 5280 §4.1.1.3: signatures of these algorithms are whole octets.
    if !rest.is_empty() || info.version != X509Version::V1 || csr.signature_value.unused_bits != 0 {
        return Err(CsrError::Malformed);
    }
    let checked = key::check(info.subject_pki.raw).map_err(CsrError::Key)?;
    if !fits(&csr.signature_algorithm, checked.key.algorithm()) {
        return Err(CsrError::Algorithm);
    }
    if !checked.verify(info.raw, &csr.signature_value.data) {
        return Err(CsrError::Signature);
    }
    Ok(checked.key)
}

/// Both algorithms have no parameters (RFC 5758 §3.2, RFC 8410 §3).
fn fits(signature: &AlgorithmIdentifier<'_>, key: KeyAlgorithm) -> bool {
    let expected = match key {
        KeyAlgorithm::P256 => OID_SIG_ECDSA_WITH_SHA256,
        KeyAlgorithm::Ed25519 => OID_SIG_ED25519,
    };
    signature.algorithm == expected && signature.parameters.is_none()
}
