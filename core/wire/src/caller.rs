//! Certificates of whoever calls machines that serve others.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::enroll::{MAX_CSR, decode};
use crate::{FieldErrors, Fields};

/// The longest name, in bytes: a common name holds no more (RFC 5280, appendix A).
const MAX_NAME: usize = 64;
/// How long a certificate may live, in seconds.
const LIVES: std::ops::RangeInclusive<u32> = 60..=7 * DAY;
const DAY: u32 = 24 * 3600;

/// A request for a caller's certificate.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CertifyCaller {
    /// Who calls: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// A PKCS #10 certification request, DER in base64. Only its public key is used.
    pub csr: String,
    /// How long it is good for, in seconds: one minute to a week; one day where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
}

/// [`CertifyCaller`] as values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifyCallerFields {
    /// Who calls.
    pub name: String,
    /// DER of the request.
    pub csr: Vec<u8>,
    /// How long it is good for, in seconds.
    pub expires_in: u32,
}

/// A caller's certificate, and what it needs to know those it calls.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CertifiedCaller {
    /// Who calls.
    pub name: String,
    /// The serial number, as the audit log tells it.
    pub serial: String,
    /// PEM of the certificate. It chains directly to the authority that machines were given for their callers.
    pub certificate: String,
    /// PEM of the authorities that the certificates of machines chain to.
    pub authorities: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

impl TryFrom<CertifyCaller> for CertifyCallerFields {
    type Error = FieldErrors;

    fn try_from(request: CertifyCaller) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let name = request.name;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_plain) {
            fields.wrong("name", format!("is not 1 to {MAX_NAME} letters, digits, `-`, `_` and `.`"));
        }
        let expires_in = request.expires_in.unwrap_or(DAY);
        if !LIVES.contains(&expires_in) {
            fields.wrong("expires_in", "is not between one minute and a week");
        }
        let csr = decode(&mut fields, "csr", &request.csr, MAX_CSR);
        fields.finish(csr.map(|csr| Self { name, csr, expires_in }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(name: &str, csr: &str, expires_in: Option<u32>) -> Vec<String> {
        let request = CertifyCaller { name: name.to_owned(), csr: csr.to_owned(), expires_in };
        match CertifyCallerFields::try_from(request) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.0.into_iter().map(|error| error.path).collect(),
        }
    }

    #[test]
    fn q_46_a_name_and_a_life_are_taken_up_to_their_bounds_and_no_further() {
        assert_eq!(wrong("wrenn-cp_1.x", "AAAA", None), [""; 0]);
        assert_eq!(wrong(&"x".repeat(64), "AAAA", Some(604_800)), [""; 0]);
        assert_eq!(wrong(&"x".repeat(65), "AAAA", Some(604_801)), ["name", "expires_in"]);
        assert_eq!(wrong("", "?", Some(59)), ["name", "expires_in", "csr"]);
        for name in ["a/b", "a b", "a\n", "ü", "a%2f"] {
            assert_eq!(wrong(name, "AAAA", Some(60)), ["name"], "{name:?}");
        }
        assert_eq!(wrong("x", &"A".repeat(4 * MAX_CSR), None), ["csr"]);
    }
}
