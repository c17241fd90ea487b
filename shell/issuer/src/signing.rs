//! The key pairs that authorities and our own server sign with: P-256, made by the operating system's generator.
//!
//! A pair is decoded once and kept prepared; its private half leaves this module only as PKCS #8 on its way into a
//! sealed file or into TLS, in memory that is wiped.

use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use muster_model::{KeyAlgorithm, PublicKey};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SignatureAlgorithm, SigningKey};
use zeroize::Zeroizing;

use crate::key;

/// A key pair that signs certificates.
pub(crate) struct CaKey(EcdsaKeyPair);

/// A checked public key in the shape in which the certificate writer takes it.
pub(crate) struct Subject<'a>(pub(crate) &'a PublicKey);

impl CaKey {
    pub(crate) fn generate() -> Result<Self, Unspecified> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Self)
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, KeyRejected> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der).map(Self)
    }

    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        Ok(Zeroizing::new(self.0.to_pkcs8v1()?.as_ref().to_vec()))
    }

    /// The form of RFC 5915, with its curve: what existing clients parse.
    pub(crate) fn to_sec1(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let der: EcPrivateKeyRfc5915Der<'_> = self.0.private_key().as_der()?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        PublicKeyData::subject_public_key_info(self)
    }
}

impl PublicKeyData for CaKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for CaKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.0.sign(&SystemRandom::new(), message).or(Err(rcgen::Error::RemoteKeyError))?;
        Ok(signature.as_ref().to_vec())
    }
}

impl PublicKeyData for Subject<'_> {
    fn subject_public_key_info(&self) -> Vec<u8> {
        self.0.spki().to_vec()
    }

    fn der_bytes(&self) -> &[u8] {
        key::subject_public_key(self.0)
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.0.algorithm() {
            KeyAlgorithm::P256 => &PKCS_ECDSA_P256_SHA256,
            KeyAlgorithm::Ed25519 => &PKCS_ED25519,
        }
    }
}
