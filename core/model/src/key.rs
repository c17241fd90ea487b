//! The public half of a key pair that a machine made itself: its identity.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{MachineId, Timestamp};

/// The key algorithms that Muster certifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on NIST P-256 with SHA-256 (FIPS 186-5).
    P256,
    /// Ed25519 (RFC 8032).
    Ed25519,
}

/// A public key whose holder has proved possession of its private half.
///
/// Invariant: `spki` is the canonical DER `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7) of a valid key of `algorithm`;
/// only code that has parsed and checked it builds one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    spki: Vec<u8>,
}

/// SHA-256 over the DER `SubjectPublicKeyInfo`: the short name of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyFingerprint(pub [u8; 32]);

/// The record of a key that a machine enrolled with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The key.
    pub key: PublicKey,
    /// Whose it is or was.
    pub machine: MachineId,
    /// The generation of the machine it belongs to.
    pub generation: u32,
    /// Whether it still counts.
    pub standing: KeyStanding,
    /// When an operator asked for its replacement.
    pub ordered_at: Option<Timestamp>,
}

/// Whether a key still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyStanding {
    /// It is its machine's key.
    Current,
    /// It was certified as the next one. It works, and its first use makes it the current one.
    Proposed,
    /// The one before the current one, while its machine still has it in its durable slot. It may ask for a rotation, and
    /// nothing else.
    Previous,
    /// A newer key took its place.
    Superseded,
    /// It was revoked, or its machine was ended.
    Revoked,
}

impl KeyStanding {
    /// Every standing.
    pub const ALL: [Self; 5] =
        [Self::Current, Self::Proposed, Self::Previous, Self::Superseded, Self::Revoked];

    /// Whether it is good for anything.
    pub fn counts(self) -> bool {
        match self {
            Self::Current | Self::Proposed | Self::Previous => true,
            Self::Superseded | Self::Revoked => false,
        }
    }

    /// The name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Proposed => "proposed",
            Self::Previous => "previous",
            Self::Superseded => "superseded",
            Self::Revoked => "revoked",
        }
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not a key fingerprint (64 hexadecimal digits)")]
pub struct FingerprintError;

impl KeyAlgorithm {
    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl FromStr for KeyAlgorithm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::P256, Self::Ed25519].into_iter().find(|a| a.as_str() == text).ok_or(())
    }
}

impl PublicKey {
    /// Wraps a key that the caller has parsed and checked.
    pub fn new(algorithm: KeyAlgorithm, spki: Vec<u8>) -> Self {
        Self { algorithm, spki }
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The DER `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Its short name.
    pub fn fingerprint(&self) -> KeyFingerprint {
        KeyFingerprint(Sha256::digest(&self.spki).into())
    }
}

impl KeyFingerprint {
    /// How many words [`Self::short_words`] gives.
    pub const WORDS: usize = 5;

    /// Five words (55 bits) that agent and console both derive from the key, for people to compare by eye or ear.
    pub fn short_words(&self) -> [&'static str; Self::WORDS] {
        let list = bip39::Language::English.word_list();
        let bits = self.0[..8].iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        std::array::from_fn(|i| list[(bits >> (53 - 11 * i)) as usize & 0x7ff])
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key:{}", HEXLOWER.encode(&self.0[..6]))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}", self.algorithm.as_str(), self.fingerprint())
    }
}

impl FromStr for KeyFingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).or(Err(FingerprintError))?;
        bytes.try_into().map(Self).or(Err(FingerprintError))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_follow_the_leading_bits_of_the_fingerprint() {
        let mut bytes = [0; 32];
        assert_eq!(KeyFingerprint(bytes).short_words(), ["abandon"; 5]);
        bytes[0] = 0xff;
        bytes[1] = 0xe0;
        assert_eq!(KeyFingerprint(bytes).short_words(), ["zoo", "abandon", "abandon", "abandon", "abandon"]);
    }

    #[test]
    fn fingerprint_reads_back() {
        let print = PublicKey::new(KeyAlgorithm::P256, vec![1, 2, 3]).fingerprint();
        assert_eq!(print.to_string().parse(), Ok(print));
        assert_eq!("zz".parse::<KeyFingerprint>(), Err(FingerprintError));
    }
}
