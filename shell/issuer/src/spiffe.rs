//! Names of machines as they stand in certificates and tokens: `spiffe://<trust domain>/t/<tenant>/m/<machine>`.
//!
//! The form follows the SPIFFE ID standard (§2: lower-case trust domain, no port, no query, no empty segment).
//! Invariant: one identity has one text; look-alikes that an identifier's own reader forgives are refused here.

use std::fmt;
use std::str::FromStr;

use muster_model::{MachineId, TenantId};
use thiserror::Error;

const SCHEME: &str = "spiffe://";

/// Why a text is not a trust domain or not a machine's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SpiffeError {
    /// Not a trust domain.
    #[error("is not a trust domain (1 to 255 of a-z, 0-9, '.', '-', '_')")]
    TrustDomain,
    /// Not `spiffe://<trust domain>/t/<tenant>/m/<machine>` in its one form.
    #[error("is not of the form spiffe://<trust domain>/t/<tenant>/m/<machine>")]
    Form,
}

/// The name under which all machines of a deployment stand.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrustDomain(String);

/// A machine's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    /// The deployment.
    pub trust_domain: TrustDomain,
    /// The tenant.
    pub tenant: TenantId,
    /// The machine.
    pub machine: MachineId,
}

impl TrustDomain {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the domain itself, as authorities carry it.
    pub(crate) fn uri(&self) -> String {
        format!("{SCHEME}{self}")
    }

    /// Reads back [`Self::uri`].
    pub(crate) fn from_uri(uri: &str) -> Result<Self, SpiffeError> {
        uri.strip_prefix(SCHEME).ok_or(SpiffeError::Form)?.parse()
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if (1..=255).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(SpiffeError::TrustDomain)
        }
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        let mut parts = text.strip_prefix(SCHEME).ok_or(SpiffeError::Form)?.split('/');
        let (Some(domain), Some("t"), Some(tenant), Some("m"), Some(machine), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SpiffeError::Form);
        };
        let id = Self {
            trust_domain: domain.parse()?,
            tenant: tenant.parse().or(Err(SpiffeError::Form))?,
            machine: machine.parse().or(Err(SpiffeError::Form))?,
        };
        if id.to_string() == text { Ok(id) } else { Err(SpiffeError::Form) }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/t/{}/m/{}", self.trust_domain, self.tenant, self.machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_one_name_and_it_reads_back() {
        let id = SpiffeId {
            trust_domain: "fleet.example".parse().expect("a trust domain"),
            tenant: TenantId::new(1, [1; 10]),
            machine: MachineId::new(2, [2; 10]),
        };
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        for other in [
            text.replace("/t/", "//t/"),
            text.replace("spiffe:", "SPIFFE:"),
            text.replace("fleet", "Fleet"),
            text.replace("fleet.example", "fleet.example:443"),
            text.replace("mch_0", "mch_o"),
            format!("{text}/"),
            format!("{text}?x"),
            text[..text.len() - 1].to_owned(),
        ] {
            assert!(other.parse::<SpiffeId>().is_err(), "{other}");
        }
    }

    #[test]
    fn q_46_a_trust_domain_is_bounded_at_its_edge() {
        assert!("a".repeat(255).parse::<TrustDomain>().is_ok());
        for bad in
            [String::new(), "a".repeat(256), "a".repeat(25_500), "a b".into(), "a/b".into(), "ä".into()]
        {
            assert_eq!(bad.parse::<TrustDomain>(), Err(SpiffeError::TrustDomain));
        }
    }
}
