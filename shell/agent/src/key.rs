//! The machine key: made here, kept here, its private half never leaves.

use muster_model::{KeyAlgorithm, KeyFingerprint};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData, SigningKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

/// A key pair.
pub(crate) struct MachineKey {
    pair: KeyPair,
    fingerprint: KeyFingerprint,
}

impl MachineKey {
    /// Makes one.
    pub(crate) fn generate(algorithm: KeyAlgorithm) -> Result<Self, rcgen::Error> {
        let algorithm = match algorithm {
            KeyAlgorithm::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
        };
        KeyPair::generate_for(algorithm).map(Self::new)
    }

    /// Makes another one of the same kind.
    pub(crate) fn successor(&self) -> Result<Self, rcgen::Error> {
        KeyPair::generate_for(self.pair.algorithm()).map(Self::new)
    }

    /// Reads one (PKCS #8, PEM).
    pub(crate) fn from_pem(pem: &str) -> Result<Self, rcgen::Error> {
        KeyPair::from_pem(pem).map(Self::new)
    }

    fn new(pair: KeyPair) -> Self {
        let fingerprint = KeyFingerprint(Sha256::digest(pair.subject_public_key_info()).into());
        Self { pair, fingerprint }
    }

    /// As PKCS #8, PEM. For its own file alone.
    pub(crate) fn to_pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// For TLS.
    pub(crate) fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pair.serialize_der()).into()
    }

    /// The short name of its public half.
    pub(crate) fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }

    /// The words people compare.
    pub(crate) fn words(&self) -> Vec<String> {
        self.fingerprint.short_words().map(str::to_owned).to_vec()
    }

    /// A certification request (RFC 2986) with nothing in it but the key.
    pub(crate) fn csr(&self) -> Result<Vec<u8>, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&self.pair)?.der().to_vec())
    }

    /// Signs: ECDSA with SHA-256 (ASN.1) or Ed25519, as the key is.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.pair.sign(bytes)
    }
}

impl std::fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MachineKey({:?})", self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_keeps_its_name() {
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Ed25519] {
            let key = MachineKey::generate(algorithm).expect("a key");
            let back = MachineKey::from_pem(&key.to_pem()).expect("its own PEM");
            assert_eq!(key.fingerprint(), back.fingerprint());
            assert_eq!(key.words().len(), 5);
        }
    }

    #[test]
    fn a_request_names_nothing_but_the_key() {
        let key = MachineKey::generate(KeyAlgorithm::P256).expect("a key");
        let csr = key.csr().expect("a request");
        let (_, parsed) =
            <x509_parser::prelude::X509CertificationRequest<'_> as x509_parser::prelude::FromDer<_>>::from_der(&csr)
                .expect("DER");
        let info = &parsed.certification_request_info;
        assert_eq!(info.subject.iter().count(), 0);
        assert_eq!(KeyFingerprint(Sha256::digest(info.subject_pki.raw).into()), key.fingerprint());
        assert!(parsed.requested_extensions().is_none_or(|mut all| all.next().is_none()));
        assert!(parsed.verify_signature().is_ok());
    }

    #[test]
    fn q_27_a_key_shows_no_secret() {
        let key = MachineKey::generate(KeyAlgorithm::P256).expect("a key");
        assert!(format!("{key:?}").len() < 40);
    }
}
