//! The key of the signature that verifiers of an older kind check: HMAC-SHA-256 (RFC 2104) under the *text* of a
//! hexadecimal number, which is not decoded. Whoever can check such a signature can make one; the JWS beside it has no
//! such flaw.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::Pepper;

/// The key of the older signature.
#[derive(Clone)]
pub struct PayloadKey(Zeroizing<String>);

/// A text that is no such key. Says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not 32 to 256 hexadecimal digits")]
pub struct PayloadKeyError;

impl PayloadKey {
    /// The key of a deployment that brought none along: it follows from the pepper, so that all its servers have the same.
    pub fn of(pepper: &Pepper) -> Self {
        Self(Zeroizing::new(HEXLOWER.encode(&pepper.mac(&[b"engagement payload"]).0)))
    }

    /// The signature of these bytes, in lower case hexadecimal.
    pub fn sign(&self, bytes: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(bytes);
        HEXLOWER.encode(&mac.finalize().into_bytes())
    }

    /// The text, in the clear. Call it only where it is handed to a verifier.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for PayloadKey {
    type Err = PayloadKeyError;

    /// The text of the file that the key was kept in before, without the space around it.
    fn from_str(text: &str) -> Result<Self, PayloadKeyError> {
        let text = text.trim();
        let fits = (32..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fits { Ok(Self(Zeroizing::new(text.to_owned()))) } else { Err(PayloadKeyError) }
    }
}

impl fmt::Debug for PayloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayloadKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "000102030405060708090a0b0c0d0e0f";

    #[test]
    fn the_text_is_the_key_and_is_not_decoded() {
        let key: PayloadKey = format!("{TEXT}\n").parse().expect("a key");
        let mut mac = Hmac::<Sha256>::new_from_slice(TEXT.as_bytes()).expect("a key");
        mac.update(b"{}");
        assert_eq!(key.sign(b"{}"), HEXLOWER.encode(&mac.finalize().into_bytes()));
    }

    #[test]
    fn servers_with_one_pepper_have_one_key() {
        let key = |n: u8| PayloadKey::of(&Pepper::new([n; 32])).sign(b"x");
        assert_eq!(key(1), key(1));
        assert_ne!(key(1), key(2));
    }

    #[test]
    fn what_is_no_key_is_refused_and_nothing_is_shown() {
        for bad in ["", "0011", "zz0102030405060708090a0b0c0d0e0f", &"0".repeat(257)] {
            assert_eq!(bad.parse::<PayloadKey>().err(), Some(PayloadKeyError), "{bad}");
        }
        assert_eq!(format!("{:?}", TEXT.parse::<PayloadKey>()), "Ok(PayloadKey(…))");
    }
}
