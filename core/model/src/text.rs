//! Bounded pieces of text that come from outside: names, codes, labels, reasons.
//!
//! Every one is trimmed, not longer than its bound and free of control, bidirectional and other invisible
//! characters, so that it can stand in a log line, a table or a terminal as it is.
//! They are hints for people, never authority.

use std::collections::BTreeMap;

use thiserror::Error;

/// Why a piece of text was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TextError {
    /// Nothing is left after trimming.
    #[error("must not be empty")]
    Empty,
    /// More characters than the bound allows.
    #[error("is longer than {max} characters")]
    TooLong {
        /// The bound, in characters.
        max: usize,
    },
    /// A character that this kind of text may not hold.
    #[error("holds the character {found:?}, which is not allowed here")]
    Character {
        /// The first such character.
        found: char,
    },
    /// A map with more entries than the bound allows.
    #[error("has more than {max} entries")]
    TooMany {
        /// The bound, in entries.
        max: usize,
    },
}

fn bounded(text: &str, max: usize, allowed: fn(char) -> bool) -> Result<String, TextError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    if text.chars().count() > max {
        return Err(TextError::TooLong { max });
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(found) => Err(TextError::Character { found }),
        None => Ok(text.to_owned()),
    }
}

/// Whether a character may be shown to a person as it is: no control, format, bidi or line separator character, and none of the
/// letters that show nothing (Unicode: `Default_Ignorable_Code_Point`).
pub fn is_printable(c: char) -> bool {
    !(c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{3164}' | '\u{ffa0}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'))
}

fn is_code(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn is_nick(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.[]\\`^{}|~".contains(c)
}

fn is_token(c: char) -> bool {
    c.is_ascii_graphic()
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident, $max:literal, $allowed:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The longest text taken, in characters.
            pub const MAX: usize = $max;

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                bounded(text, Self::MAX, $allowed).map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
    )+};
}

texts! {
    /// What a machine calls itself. Never authority.
    Hostname, 253, is_printable;
    /// What operators call a machine.
    MachineName, 128, is_printable;
    /// A stable, hashed signal of the hardware (`hw_…`) or a value the operator chose. Never authority.
    HardwareId, 128, is_token;
    /// The short name of a site or tenant, as people type it.
    SiteCode, 64, is_code;
    /// A role stamped on a machine.
    Role, 64, is_code;
    /// The name of a join method.
    MethodName, 64, is_code;
    /// A sentence an operator gives for what they did.
    ReasonText, 500, is_printable;
    /// The name of an operator or an API token.
    DisplayName, 128, is_printable;
    /// The name of a team of software agents.
    Team, 64, is_code;
    /// Something that a software agent can do.
    Skill, 64, is_printable;
    /// The name of a configured provisioner.
    ProvisionerName, 64, is_code;
    /// What an account is called in another system: nothing in it could end a word or stand for more than itself.
    AccountName, 64, is_nick;
    /// What another system said of a failure.
    MishapText, 200, is_printable;
}

/// A pair of a map. A value may be empty, a key may not.
fn entry(key: &str, max_key: usize, value: &str, max_value: usize) -> Result<(String, String), TextError> {
    let key = bounded(key, max_key, is_code)?;
    let value = if value.is_empty() { String::new() } else { bounded(value, max_value, is_printable)? };
    Ok((key, value))
}

macro_rules! maps {
    ($($(#[$doc:meta])* $name:ident, $entries:literal, $key:literal, $value:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name(BTreeMap<String, String>);

        impl $name {
            /// The most entries taken.
            pub const MAX_ENTRIES: usize = $entries;

            /// Takes the pairs, or names every key whose entry is not acceptable.
            pub fn new<K: AsRef<str>, V: AsRef<str>>(
                pairs: impl IntoIterator<Item = (K, V)>,
            ) -> Result<Self, Vec<(String, TextError)>> {
                let (mut map, mut wrong) = (BTreeMap::new(), Vec::new());
                for (key, value) in pairs {
                    let (key, value) = (key.as_ref(), value.as_ref());
                    match entry(key, $key, value, $value) {
                        Ok((key, value)) => drop(map.insert(key, value)),
                        Err(error) => wrong.push((key.escape_default().to_string(), error)),
                    }
                    if map.len() + wrong.len() > Self::MAX_ENTRIES {
                        wrong.push((key.escape_default().to_string(), TextError::TooMany { max: Self::MAX_ENTRIES }));
                        break;
                    }
                }
                if wrong.is_empty() { Ok(Self(map)) } else { Err(wrong) }
            }

            /// The pairs in order of their keys.
            pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
                self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
            }

            /// The value under a key.
            pub fn get(&self, key: &str) -> Option<&str> {
                self.0.get(key).map(String::as_str)
            }

            /// Whether there are no entries.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }
    )+};
}

maps! {
    /// Labels that a grant stamps on its machines and operators select by.
    Labels, 32, 64, 128;
    /// What a machine says of itself (operating system, agent version, …). Evidence for people, never authority.
    Attributes, 32, 64, 256;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_46_every_bound_is_held_at_its_edge() {
        let at = |n: usize| "x".repeat(n);
        assert!(at(Hostname::MAX).parse::<Hostname>().is_ok());
        for n in [Hostname::MAX + 1, 100 * Hostname::MAX] {
            assert_eq!(at(n).parse::<Hostname>(), Err(TextError::TooLong { max: Hostname::MAX }));
        }
        let many = |n: usize| (0..n).map(|i| (format!("k{i}"), "v".to_owned()));
        assert!(Labels::new(many(Labels::MAX_ENTRIES)).is_ok());
        assert!(Labels::new(many(Labels::MAX_ENTRIES + 1)).is_err());
    }

    #[test]
    fn q_26_control_and_bidi_characters_are_refused() {
        for c in [
            '\r', '\n', '\u{1b}', '\u{2028}', '\u{202e}', '\0', '\u{7f}', '\u{9b}', '\u{200b}', '\u{3164}',
            '\u{34f}',
        ] {
            let text = format!("a{c}b");
            assert_eq!(text.parse::<Hostname>(), Err(TextError::Character { found: c }), "{text:?}");
            assert!(Attributes::new([("os", text.as_str())]).is_err());
        }
    }

    #[test]
    fn every_wrong_entry_of_a_map_is_named() {
        let wrong = Labels::new([("a", "x\ny"), ("b", "fine"), ("c d", "z")]).expect_err("two are wrong");
        let keys: Vec<&str> = wrong.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a", "c d"]);
    }

    #[test]
    fn text_is_trimmed_and_must_not_be_empty() {
        assert_eq!(" web-1 ".parse::<Hostname>().map(|h| h.to_string()), Ok("web-1".to_owned()));
        assert_eq!("  ".parse::<Hostname>(), Err(TextError::Empty));
    }
}
