//! Certificate signing requests (PKCS #10, RFC 2986): proof that the sender holds a key, and nothing else.
//!
//! Takes the public key and checks the request's own signature. Subject, extensions and attributes are parsed as far
//! as DER demands and dropped here: no later code ever sees them. The other side is here too, for our own command
//! line: a key in a private file, and the request that proves it.

use std::path::Path;

use muster_model::{KeyAlgorithm, PublicKey};
use rcgen::{CertificateParams, DistinguishedName};
use thiserror::Error;
use x509_parser::oid_registry::{OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ED25519};
use x509_parser::prelude::{FromDer, X509CertificationRequest, X509Version};
use x509_parser::x509::AlgorithmIdentifier;

use crate::authority::AuthorityError;
use crate::certificate::IssueError;
use crate::files::{self, FileError, FileProblem};
use crate::key::{self, KeyError};
use crate::seal;
use crate::signing::CaKey;

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

/// The label of a private key's file (PKCS #8).
const PRIVATE_KEY: &str = "PRIVATE KEY";

/// A key pair that lies in a private file of its owner.
pub struct OwnKey(CaKey);

impl std::fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnKey(…)")
    }
}

impl OwnKey {
    /// The key in this file; where there is no file, one is made and written first.
    pub fn at(path: &Path) -> Result<Self, AuthorityError> {
        match seal::from_pem(path, PRIVATE_KEY) {
            Ok(der) => {
                let key = CaKey::from_pkcs8(&der);
                Ok(Self(key.or(Err(FileProblem::Damaged("it is not a P-256 key").at(path)))?))
            }
            Err(FileError { problem: FileProblem::Missing, .. }) => {
                let key = CaKey::generate()?;
                let pem = seal::to_pem(PRIVATE_KEY, key.to_pkcs8()?.to_vec());
                files::write_new(path, pem.as_bytes())?;
                Ok(Self(key))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A request (DER) with nothing in it but the key.
    pub fn request(&self) -> Result<Vec<u8>, IssueError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.0).map_err(IssueError::Sign)?;
        Ok(request.der().to_vec())
    }
}
