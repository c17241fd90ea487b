//! Passwords that people type, and the hashes by which they are kept.
//!
//! A password is prepared as RFC 8265 §4.2 says (OpaqueString): every space becomes the plain one, nothing else is mapped,
//! the form is NFC, and what cannot be typed is refused. Whoever types it on another keyboard types the same password. Its
//! Debug form shows nothing, and it is wiped when it is dropped.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::{ImportedHash, ImportedHashError};

/// How many characters a password has at least.
const LEAST: usize = 12;
/// How many bytes one has at most.
const MOST: usize = 1024;

/// A password as it is hashed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

/// What is wrong with a password that somebody chose. It says nothing of the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PasswordError {
    /// Too few characters.
    #[error("needs at least {LEAST} characters")]
    Short,
    /// Too many bytes.
    #[error("may have at most {MOST} bytes")]
    Long,
    /// Characters that cannot be typed.
    #[error("may hold no control characters")]
    Control,
}

impl Password {
    /// A password as somebody shows it. Without what a chosen one needs it fits no hash, at the same cost.
    pub fn shown(text: &str) -> Self {
        // Cut before it is worked on: what is longer was never chosen.
        let is_long = text.len() > MOST;
        let plain = |c: char| if c.is_whitespace() && !c.is_control() { ' ' } else { c };
        let prepared: String = if is_long { String::new() } else { text.chars().map(plain).nfc().collect() };
        Self(Zeroizing::new(prepared))
    }
}

/// What is hashed.
impl AsRef<[u8]> for Password {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Of one that somebody chooses.
impl FromStr for Password {
    type Err = PasswordError;

    fn from_str(text: &str) -> Result<Self, PasswordError> {
        let password = Self::shown(text);
        match () {
            () if text.len() > MOST || password.0.len() > MOST => Err(PasswordError::Long),
            () if password.0.chars().any(char::is_control) => Err(PasswordError::Control),
            () if password.0.chars().count() < LEAST => Err(PasswordError::Short),
            () => Ok(password),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The Argon2id hash of a password, of the one cost that is taken: no row can ask for more memory or time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash(ImportedHash);

impl PasswordHash {
    /// In PHC form.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// As whoever checks it takes it.
    pub fn phc(&self) -> &ImportedHash {
        &self.0
    }
}

impl FromStr for PasswordHash {
    type Err = ImportedHashError;

    fn from_str(text: &str) -> Result<Self, ImportedHashError> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_take_for_one_password_is_one() {
        for [one, other] in [
            ["Zo\u{eb} likes cheese", "Zoe\u{308} likes cheese"],
            ["twelve\u{a0}and more", "twelve and more"],
            ["ideographic\u{3000}space", "ideographic space"],
        ] {
            assert_eq!(one.parse::<Password>(), other.parse::<Password>(), "{other}");
            assert_eq!(Ok(Password::shown(one)), other.parse(), "{other}");
        }
        // Case and width count: OpaqueString maps neither.
        for other in ["Correct horse", "correct horse "] {
            assert_ne!(Password::shown("correct horse"), Password::shown(other), "{other}");
        }
    }

    #[test]
    fn a_chosen_one_is_long_enough_and_not_too_long_and_can_be_typed() {
        assert_eq!("elevenchars".parse::<Password>(), Err(PasswordError::Short));
        assert!("twelve chars".parse::<Password>().is_ok());
        assert_eq!("e\u{308}".repeat(11).parse::<Password>(), Err(PasswordError::Short), "as one reads it");
        assert!("x".repeat(MOST).parse::<Password>().is_ok());
        assert_eq!("x".repeat(MOST + 1).parse::<Password>(), Err(PasswordError::Long));
        // One character that becomes three: the bound holds of what is hashed as well.
        assert_eq!("\u{fb2c}".repeat(MOST / 3).parse::<Password>(), Err(PasswordError::Long));
        for control in ["\0", "\n", "\t", "\u{7f}", "\u{85}"] {
            let text = format!("twelve chars{control}");
            assert_eq!(text.parse::<Password>(), Err(PasswordError::Control), "{control:?}");
        }
    }

    #[test]
    fn neither_shows_in_its_debug_form() {
        let password: Password = "correct horse".parse().expect("long enough");
        assert_eq!(format!("{password:?}"), "Password(…)");
        let hash: PasswordHash = ImportedHash::stand_in().as_str().parse().expect("its form");
        assert!(!format!("{hash:?}").contains("argon"));
    }
}
