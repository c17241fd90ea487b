//! The hash by which another server knew a key: all that an operator who moves here can bring along of it.
//!
//! A site's enrollment key of a GuruConnect server exists there as an Argon2id hash in PHC form and nowhere else. Just the
//! parameters that such a server writes are taken, so that checking a key costs the same whichever hash it is checked
//! against, and no hash that somebody brings can ask for more memory or time (RFC 9106 §4).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Algorithm, version and parameters: 19 MiB, two passes, one lane.
const PARAMETERS: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
/// Unpadded Base64 of 16 to 32 bytes of salt.
const SALT: std::ops::RangeInclusive<usize> = 22..=43;
/// Unpadded Base64 of 32 bytes.
const HASH: usize = 43;

/// An Argon2id hash of a key, in PHC form.
#[derive(Clone, PartialEq, Eq)]
pub struct ImportedHash(Box<str>);

/// A text that is no such hash. It says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ImportedHashError {
    /// Another algorithm, version or cost.
    #[error("must begin with {PARAMETERS}: no other hash is taken")]
    Parameters,
    /// Cut short, or not Base64.
    #[error("is damaged: salt and hash do not follow the parameters, copy it again as a whole")]
    Form,
}

impl ImportedHash {
    /// What stands for a hash where there is none, at the same cost. Nobody knows what it would be the hash of.
    pub fn stand_in() -> Self {
        Self(format!("{PARAMETERS}{}${}", "bXVzdGVyLXN0YW5kLWluLg", "A".repeat(HASH)).into())
    }

    /// As it was brought.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImportedHash {
    type Err = ImportedHashError;

    fn from_str(text: &str) -> Result<Self, ImportedHashError> {
        let text = text.trim();
        let rest = text.strip_prefix(PARAMETERS).ok_or(ImportedHashError::Parameters)?;
        let (salt, hash) = rest.split_once('$').ok_or(ImportedHashError::Form)?;
        let is_base64 =
            |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
        let is_whole = SALT.contains(&salt.len()) && hash.len() == HASH;
        if is_whole && is_base64(salt) && is_base64(hash) {
            Ok(Self(text.into()))
        } else {
            Err(ImportedHashError::Form)
        }
    }
}

impl fmt::Debug for ImportedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportedHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$rlH7kRbX9mD0v1BzTzXyLrhKtkzN2f3r0ZbO6bqQ1xY";

    #[test]
    fn a_hash_reads_back_and_its_debug_form_shows_nothing_of_it() {
        let hash: ImportedHash = format!(" {GOOD}\n").parse().expect("as its server wrote it");
        assert_eq!(hash.as_str(), GOOD);
        assert_eq!(format!("{hash:?}"), "ImportedHash(…)");
    }

    /// An imported hash must not burn memory: for each parameter a case beside the one that is taken.
    #[test]
    fn q_46_no_hash_of_other_parameters_is_taken() {
        for (from, to) in [
            ("argon2id", "argon2i"),
            ("argon2id", "argon2d"),
            ("v=19", "v=16"),
            ("m=19456", "m=19457"),
            ("m=19456", "m=4194304"),
            ("m=19456", "m=8"),
            ("t=2", "t=3"),
            ("p=1", "p=2"),
            ("p=1", "p=1,keyid=eA"),
        ] {
            let other = GOOD.replacen(from, to, 1);
            assert_eq!(other.parse::<ImportedHash>(), Err(ImportedHashError::Parameters), "{other}");
        }
    }

    #[test]
    fn what_was_cut_short_or_lengthened_is_not_taken() {
        let long_salt = GOOD.replace("c2FsdHNhbHRzYWx0c2FsdA", &"c".repeat(44));
        for bad in
            [&GOOD[..GOOD.len() - 1], &GOOD[..50], &format!("{GOOD}A"), &GOOD.replace('l', "-"), &long_salt]
        {
            assert_eq!(bad.parse::<ImportedHash>(), Err(ImportedHashError::Form), "{bad}");
        }
    }

    #[test]
    fn the_stand_in_is_of_the_form_of_every_other() {
        let stand_in = ImportedHash::stand_in();
        assert_eq!(stand_in.as_str().parse(), Ok(stand_in));
    }
}
