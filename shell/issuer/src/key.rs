//! Public keys as bytes from outside: which are taken, and what they prove.
//!
//! Owns the allow-list: P-256 as an uncompressed point (RFC 5480 §2.1.1, §2.2) and Ed25519 (RFC 8410 §4), both in
//! their one canonical DER form. Everything else is refused by name.
//!
//! Invariant: a [`PublicKey`] from [`parse_spki`] is in canonical form, so two different byte strings are never the
//! same key; a P-256 key is on its curve. Whether an Ed25519 key is, shows at its first signature, which every use has.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm,
};
use muster_model::{KeyAlgorithm, PublicKey};
use thiserror::Error;
use x509_parser::oid_registry as oid;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};

/// DER of a P-256 `SubjectPublicKeyInfo` up to and including the octet `04` of an uncompressed point.
const P256: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
/// DER of an Ed25519 `SubjectPublicKeyInfo` up to the key.
const ED25519_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Longest `SubjectPublicKeyInfo` looked at in order to name what is wrong with it.
const MAX_SPKI: usize = 4096;

/// Why a public key is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// RSA of any size.
    #[error("is an RSA key; use P-256 or Ed25519")]
    Rsa,
    /// An elliptic curve other than P-256.
    #[error("is on another curve than P-256")]
    Curve,
    /// A P-256 point in compressed, hybrid or no point form.
    #[error("is not an uncompressed P-256 point")]
    PointForm,
    /// An algorithm that is neither.
    #[error("is of an algorithm that is not taken; use P-256 or Ed25519")]
    Algorithm,
    /// The coordinates are not a point of the curve.
    #[error("is not a point on its curve")]
    NotOnCurve,
    /// A point with which anybody can sign.
    #[error("is a weak key (a point of small order)")]
    SmallOrder,
    /// Bytes after the key.
    #[error("has bytes after its end")]
    TrailingBytes,
    /// Not DER, or not the canonical DER of this key.
    #[error("is not a canonical DER SubjectPublicKeyInfo")]
    Malformed,
}

/// A key that was checked, and prepared so that checking a signature does not decode it again.
pub(crate) struct Checked {
    pub(crate) key: PublicKey,
    prepared: ParsedPublicKey,
}

/// Reads a DER `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7).
pub fn parse_spki(der: &[u8]) -> Result<PublicKey, KeyError> {
    check(der).map(|checked| checked.key)
}

/// Whether `signature` over `message` was made by the holder of `key`: ECDSA with SHA-256 in DER (RFC 3279 §2.2.3),
/// or Ed25519 (RFC 8032).
pub fn verify_signature(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let Some(point) = key.spki().get(head_len(key.algorithm())..) else { return false };
    UnparsedPublicKey::new(scheme(key.algorithm()), point).verify(message, signature).is_ok()
}

impl Checked {
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.prepared.verify_sig(message, signature).is_ok()
    }
}

pub(crate) fn check(der: &[u8]) -> Result<Checked, KeyError> {
    let algorithm = algorithm_of(der).ok_or_else(|| blame(der))?;
    let point = &der[head_len(algorithm)..];
    if algorithm == KeyAlgorithm::Ed25519 {
        check_ed25519(point)?;
    }
    let prepared = ParsedPublicKey::new(scheme(algorithm), point).or(Err(KeyError::NotOnCurve))?;
    Ok(Checked { key: PublicKey::new(algorithm, der.to_vec()), prepared })
}

/// The bytes of a key as certificates carry them: without the algorithm.
pub(crate) fn subject_public_key(key: &PublicKey) -> &[u8] {
    let head = head_len(key.algorithm());
    key.spki().get(head..).unwrap_or_default()
}

fn algorithm_of(der: &[u8]) -> Option<KeyAlgorithm> {
    if der.len() == P256.len() + 64 && der.starts_with(&P256) {
        Some(KeyAlgorithm::P256)
    } else if der.len() == ED25519_HEAD.len() + 32 && der.starts_with(&ED25519_HEAD) {
        Some(KeyAlgorithm::Ed25519)
    } else {
        None
    }
}

/// Where the public key itself begins; the octet `04` is part of a P-256 point.
fn head_len(algorithm: KeyAlgorithm) -> usize {
    match algorithm {
        KeyAlgorithm::P256 => P256.len() - 1,
        KeyAlgorithm::Ed25519 => ED25519_HEAD.len(),
    }
}

fn scheme(algorithm: KeyAlgorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        KeyAlgorithm::P256 => &ECDSA_P256_SHA256_ASN1,
        KeyAlgorithm::Ed25519 => &ED25519,
    }
}

/// The y coordinates, without the sign of x, of the points of order 1, 2, 4 and 8 (RFC 7748 §5, edwards25519).
/// With such a key everybody can make a signature that fits.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// Refuses what RFC 8032 §5.1.3 does not decode (y ≥ p) and points of small order.
fn check_ed25519(point: &[u8]) -> Result<(), KeyError> {
    let mut y: [u8; 32] = point.try_into().or(Err(KeyError::Malformed))?;
    y[31] &= 0x7f;
    if y[31] == 0x7f && y[1..31].iter().all(|b| *b == 0xff) && y[0] >= 0xed {
        return Err(KeyError::Malformed);
    }
    if SMALL_ORDER.contains(&y) { Err(KeyError::SmallOrder) } else { Ok(()) }
}

/// Names what is wrong with bytes that are none of the two forms.
fn blame(der: &[u8]) -> KeyError {
    let Some((rest, spki)) =
        der.get(..der.len().min(MAX_SPKI)).and_then(|d| SubjectPublicKeyInfo::from_der(d).ok())
    else {
        return KeyError::Malformed;
    };
    let algorithm = &spki.algorithm.algorithm;
    if *algorithm == oid::OID_PKCS1_RSAENCRYPTION {
        KeyError::Rsa
    } else if *algorithm == oid::OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = spki.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
        blame_curve(curve == Some(oid::OID_EC_P256), rest, &spki.subject_public_key.data)
    } else if *algorithm != oid::OID_SIG_ED25519 {
        KeyError::Algorithm
    } else if rest.is_empty() {
        KeyError::Malformed
    } else {
        KeyError::TrailingBytes
    }
}

fn blame_curve(is_p256: bool, rest: &[u8], point: &[u8]) -> KeyError {
    if !is_p256 {
        KeyError::Curve
    } else if !rest.is_empty() {
        KeyError::TrailingBytes
    } else if point.first() == Some(&4) && point.len() == 65 {
        KeyError::Malformed
    } else {
        KeyError::PointForm
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    use rcgen::{
        KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData, SigningKey,
    };

    use super::*;

    fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> KeyPair {
        KeyPair::generate_for(algorithm).expect("a key pair")
    }

    fn ed25519(y: [u8; 32]) -> Vec<u8> {
        [&ED25519_HEAD[..], &y].concat()
    }

    #[test]
    fn both_algorithms_are_taken_and_prove_what_they_signed() {
        let cases = [(&PKCS_ECDSA_P256_SHA256, KeyAlgorithm::P256), (&PKCS_ED25519, KeyAlgorithm::Ed25519)];
        for (scheme, algorithm) in cases {
            let pair = pair(scheme);
            let key = parse_spki(&pair.subject_public_key_info()).expect("a good key");
            assert_eq!((key.algorithm(), key.spki()), (algorithm, &pair.subject_public_key_info()[..]));
            let signature = pair.sign(b"message").expect("signed");
            assert!(verify_signature(&key, b"message", &signature));
            assert!(!verify_signature(&key, b"other", &signature));
            assert!(!verify_signature(&key, b"message", &signature[1..]));
            let other = parse_spki(&self::pair(scheme).subject_public_key_info()).expect("a good key");
            assert!(!verify_signature(&other, b"message", &signature));
        }
    }

    #[test]
    fn other_algorithms_and_forms_are_refused_by_name() {
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key pair");
        let rsa: PublicKeyX509Der<'_> = rsa.public_key().as_der().expect("encoded");
        let p256 = pair(&PKCS_ECDSA_P256_SHA256).subject_public_key_info();
        let mut compressed = p256[..27 + 32].to_vec();
        (compressed[1], compressed[24], compressed[26]) = (0x39, 0x22, 0x02);
        let mut off_curve = p256.clone();
        off_curve[90] ^= 1;
        let infinity = [&P256[..1], &[0x19], &P256[2..23], &[0x03, 0x02, 0x00, 0x00]].concat();
        let mut x25519 = ed25519([9; 32]);
        x25519[8] = 0x6e;
        let long_form = [&[0x30, 0x81, 0x59], &p256[2..]].concat();
        let trailing = [&p256[..], &[0]].concat();
        let cases = [
            ("rsa", rsa.as_ref(), KeyError::Rsa),
            ("p-384", &pair(&PKCS_ECDSA_P384_SHA384).subject_public_key_info(), KeyError::Curve),
            ("compressed", &compressed, KeyError::PointForm),
            ("infinity", &infinity, KeyError::PointForm),
            ("off curve", &off_curve, KeyError::NotOnCurve),
            ("x25519", &x25519, KeyError::Algorithm),
            ("trailing", &trailing, KeyError::TrailingBytes),
            ("trailing", &[&ed25519([9; 32])[..], &[0]].concat(), KeyError::TrailingBytes),
            ("long form", &long_form, KeyError::Malformed),
            ("cut", &p256[..90], KeyError::Malformed),
            ("empty", &[], KeyError::Malformed),
        ];
        for (name, der, error) in cases {
            assert_eq!(parse_spki(der), Err(error), "{name}");
        }
    }

    #[test]
    fn a_key_with_which_everybody_can_sign_is_refused() {
        let identity = SMALL_ORDER[1];
        let mut forged = [0; 64];
        forged[0] = 1;
        let weak = PublicKey::new(KeyAlgorithm::Ed25519, ed25519(identity));
        assert!(verify_signature(&weak, b"anything", &forged), "why the check is needed");
        for mut y in SMALL_ORDER {
            for sign in [0, 0x80] {
                y[31] = y[31] & 0x7f | sign;
                assert_eq!(parse_spki(&ed25519(y)), Err(KeyError::SmallOrder), "{y:02x?}");
            }
        }
    }

    #[test]
    fn an_ed25519_key_has_one_encoding() {
        let mut y = [0xff; 32];
        for (low, error) in
            [(0xed, KeyError::Malformed), (0xff, KeyError::Malformed), (0xec, KeyError::SmallOrder)]
        {
            (y[0], y[31]) = (low, 0x7f);
            assert_eq!(parse_spki(&ed25519(y)), Err(error), "{low:x}");
        }
        y[0] = 0xeb;
        assert!(parse_spki(&ed25519(y)).is_ok());
    }
}
