//! Typed, prefixed identifiers: `mch_01jd…` is a machine and nothing else.
//!
//! The text form is the prefix and a UUIDv7 (RFC 9562 §5.7) in lower-case Crockford base32, 26 characters.
//! An identifier is drawn outside the core from the time and ten random bytes, and is never used twice.

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};
use thiserror::Error;

/// A text that is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("is not an identifier of the form {prefix}_ and 26 characters")]
pub struct IdError {
    /// The prefix that was expected, without its underscore.
    pub prefix: &'static str,
}

/// What can be drawn from the time and ten random bytes.
pub trait Draw {
    /// Builds an identifier from milliseconds since the Unix epoch and ten random bytes.
    fn draw(unix_millis: u64, random: [u8; 10]) -> Self;
}

/// Crockford's alphabet, lower case out, either case and his look-alikes in.
pub(crate) static CROCKFORD: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("0123456789abcdefghjkmnpqrstvwxyz");
    spec.translate.from.push_str("ABCDEFGHJKMNPQRSTVWXYZoOiIlL");
    spec.translate.to.push_str("abcdefghjkmnpqrstvwxyz001111");
    spec.encoding().expect("the alphabet has 32 distinct symbols")
});

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// The prefix of the text form, without its underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Builds an identifier from milliseconds since the Unix epoch and ten random bytes.
            pub fn new(unix_millis: u64, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid())
            }

            /// The sixteen bytes, as they are stored.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// When it was drawn, to the millisecond (RFC 9562 §5.7).
            pub fn drawn_at(&self) -> jiff::Timestamp {
                let millis = self.as_bytes()[..6].iter().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
                jiff::Timestamp::from_millisecond(millis).unwrap_or_default()
            }

            /// Reads back what [`Self::as_bytes`] gave.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(uuid::Uuid::from_bytes(bytes))
            }
        }

        impl Draw for $name {
            fn draw(unix_millis: u64, random: [u8; 10]) -> Self {
                Self::new(unix_millis, random)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}_{}", $prefix, CROCKFORD.encode(self.0.as_bytes()))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                decode(text, $prefix).map(Self::from_bytes).ok_or(IdError { prefix: $prefix })
            }
        }
    )+};
}

ids! {
    /// Names a tenant.
    TenantId = "tnt";
    /// Names a site.
    SiteId = "ste";
    /// Names a machine.
    MachineId = "mch";
    /// Names a grant.
    GrantId = "grt";
    /// Names a hold.
    HoldId = "hld";
    /// Names a credential.
    CredentialId = "crd";
    /// Names an operator.
    OperatorId = "usr";
    /// Names a token or session of an operator.
    AccessTokenId = "tok";
    /// Names an account of a machine in another system.
    AccountId = "acc";
    /// Names an audit entry.
    AuditId = "aud";
    /// A server process, from its start to its end.
    ReplicaId = "rep";
    /// A deployment: one database and every server on it.
    DeploymentId = "dep";
    /// A stretch of a deployment's history: a new one begins where a restored database was accepted.
    IncarnationId = "inc";
}

fn decode(text: &str, prefix: &str) -> Option<[u8; 16]> {
    let body = text.strip_prefix(prefix)?.strip_prefix('_')?;
    if body.len() != 26 {
        return None;
    }
    CROCKFORD.decode(body.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_reads_back() {
        let id = MachineId::new(1_763_000_000_000, [7; 10]);
        let text = id.to_string();
        assert!(text.starts_with("mch_") && text.len() == 30, "{text}");
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().replace("MCH_", "mch_").parse(), Ok(id));
    }

    #[test]
    fn another_kind_of_identifier_is_refused() {
        let text = MachineId::new(1, [0; 10]).to_string();
        assert_eq!(text.parse::<GrantId>(), Err(IdError { prefix: "grt" }));
    }

    #[test]
    fn q_11_paths_and_odd_bytes_are_not_identifiers() {
        for bad in
            ["", "mch_", "mch_../../etc/passwd", "mch_%2e%2e", "mch_0\u{0}", "mch_01jd01jd01jd01jd01jd01jd0u"]
        {
            assert!(bad.parse::<MachineId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn later_identifiers_sort_after_earlier_ones() {
        assert!(MachineId::new(1, [255; 10]) < MachineId::new(2, [0; 10]));
    }
}
