//! What an operator shows beside its password: the code of a moment (RFC 6238), or one of ten codes that are good once.
//!
//! The key is kept nowhere. It follows from the pepper, the operator and a salt of which the row knows alone, so that
//! neither the database nor the pepper is worth anything without the other.

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::id::CROCKFORD;
use crate::{OperatorId, Pepper, SecretHash};

/// How many codes are given for the day on which the device is lost.
pub const RECOVERY_CODES: usize = 10;
/// Bytes of a key: those of SHA-1's digest (RFC 4226 §4, R6).
const KEY: usize = 20;
/// Characters of a recovery code: sixty bits.
const RECOVERY: usize = 12;

/// The second factor of an operator, as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecondFactor {
    /// A key was shown, and no code of it so far: nobody is asked for one.
    Proposed {
        /// By which the key is found again.
        salt: FactorSalt,
        /// When.
        at: Timestamp,
    },
    /// A code is asked for beside the password.
    Confirmed {
        /// By which the key is found again.
        salt: FactorSalt,
        /// Since when.
        since: Timestamp,
        /// The newest step whose code was used. No code of it or of an earlier one counts (RFC 6238 §5.2).
        step: u64,
        /// Hashes of the recovery codes that are not spent.
        recovery: Vec<SecretHash>,
    },
}

/// Tells the keys of one operator apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactorSalt(pub [u8; 16]);

/// A code that is good once, for whoever lost their device.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(Zeroizing<String>);

impl SecondFactor {
    /// By which its key is found again.
    pub fn salt(&self) -> FactorSalt {
        match self {
            Self::Proposed { salt, .. } | Self::Confirmed { salt, .. } => *salt,
        }
    }

    /// Whether a code of it is asked for.
    pub fn is_confirmed(&self) -> bool {
        matches!(self, Self::Confirmed { .. })
    }
}

impl FactorSalt {
    /// The key of this operator under this salt.
    pub fn key(&self, operator: OperatorId, pepper: &Pepper) -> Zeroizing<[u8; KEY]> {
        let mac = Zeroizing::new(pepper.mac(&[b"second factor", operator.as_bytes(), &self.0]).0);
        Zeroizing::new(std::array::from_fn(|i| mac[i]))
    }
}

impl RecoveryCode {
    /// A code out of random bytes: of their sixteen characters the last ones.
    pub fn new(random: [u8; 10]) -> Self {
        let text = Zeroizing::new(CROCKFORD.encode(&random));
        Self(Zeroizing::new(text[text.len() - RECOVERY..].to_owned()))
    }

    /// A code as somebody typed it: in any case, with or without hyphens and spaces, and with the look-alikes that people
    /// read. Nothing where it is none.
    pub fn shown(text: &str) -> Option<Self> {
        let plain = |c: char| match c.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        };
        let typed = text.chars().filter(|c| !c.is_whitespace() && *c != '-').take(RECOVERY + 1);
        let text: Zeroizing<String> = Zeroizing::new(typed.map(plain).collect());
        let is_one = text.len() == RECOVERY
            && text.bytes().all(|byte| b"0123456789abcdefghjkmnpqrstvwxyz".contains(&byte));
        is_one.then_some(Self(text))
    }

    /// What is kept of it. The same code of another operator is kept as something else.
    pub fn hash(&self, operator: OperatorId, pepper: &Pepper) -> SecretHash {
        pepper.mac(&[b"recovery code", operator.as_bytes(), self.0.as_bytes()])
    }

    /// As people read it, this once.
    pub fn reveal(&self) -> String {
        let groups: Vec<&str> = (0..RECOVERY).step_by(4).map(|at| &self.0[at..at + 4]).collect();
        groups.join("-")
    }
}

impl std::fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecoveryCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(n: u8) -> OperatorId {
        OperatorId::from_bytes([n; 16])
    }

    #[test]
    fn q_28_the_key_needs_the_row_the_operator_and_the_pepper() {
        let (salt, pepper) = (FactorSalt([1; 16]), Pepper::new([1; 32]));
        let key = salt.key(operator(1), &pepper);
        assert_eq!(key, salt.key(operator(1), &pepper));
        let others = [
            FactorSalt([2; 16]).key(operator(1), &pepper),
            salt.key(operator(2), &pepper),
            salt.key(operator(1), &Pepper::new([2; 32])),
        ];
        assert!(others.iter().all(|other| *other != key));
    }

    #[test]
    fn a_recovery_code_is_read_as_people_type_it_and_nothing_else_is_one() {
        let code = RecoveryCode::new([0x08, 0x42, 0x10, 0x84, 0x21, 0x08, 0x42, 0x10, 0x84, 0x21]);
        let text = code.reveal();
        assert_eq!(text, "1111-1111-1111", "twelve characters of five bits");
        for typed in ["1111 1111 1111", "llll-iiii-LLLL", " 1111--11111111 "] {
            assert_eq!(RecoveryCode::shown(typed), Some(code.clone()), "{typed}");
        }
        let random = RecoveryCode::new([0xde, 0xad, 0xbe, 0xef, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55]);
        assert_eq!(RecoveryCode::shown(&random.reveal().to_uppercase()), Some(random.clone()));
        for odd in ["", "123456", "1111-1111-111", "1111-1111-11111", "1111-1111-111u", "1111-1111-111é"] {
            assert_eq!(RecoveryCode::shown(odd), None, "{odd}");
        }
        assert_eq!(format!("{random:?}"), "RecoveryCode(…)");
        let pepper = Pepper::new([1; 32]);
        assert_ne!(code.hash(operator(1), &pepper), code.hash(operator(2), &pepper));
    }
}
