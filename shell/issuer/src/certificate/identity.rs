//! Who a machine's certificate says it is.
//!
//! Parses and demands what our template always writes; the chain to our roots, the signature and the dates are the
//! TLS library's to check before (Q-02: identity comes from here and never from a request).

use jiff::Timestamp;
use muster_model::{CredentialId, MachineId, PublicKey, TenantId};
use thiserror::Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::key::{self, KeyError};
use crate::spiffe::{SpiffeError, SpiffeId, TrustDomain};

/// The machine behind a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineIdentity {
    /// Its tenant.
    pub tenant: TenantId,
    /// The machine.
    pub machine: MachineId,
    /// The credential, from the serial number.
    pub credential: CredentialId,
    /// The certified key.
    pub key: PublicKey,
    /// Start of the certificate's life.
    pub not_before: Timestamp,
    /// End of the certificate's life.
    pub not_after: Timestamp,
}

/// Why a certificate is not one of a machine of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// Not a DER certificate, or bytes after it.
    #[error("is not a DER certificate")]
    Malformed,
    /// A certificate of an authority.
    #[error("is the certificate of an authority, not of a machine")]
    Authority,
    /// Its extended key usage is not `clientAuth` alone.
    #[error("is not for client authentication alone")]
    Usage,
    /// Its names are not exactly one URI.
    #[error("does not have exactly one URI name")]
    Names,
    /// Its name is not a machine's.
    #[error("has a name that {0}")]
    Name(#[source] SpiffeError),
    /// Its name is of another trust domain.
    #[error("belongs to the trust domain {found:?}")]
    Foreign {
        /// The trust domain found.
        found: TrustDomain,
    },
    /// Its serial number is longer than a credential's identifier, or not positive.
    #[error("has a serial number that is not a credential's")]
    Serial,
    /// Its key is not taken.
    #[error("has a public key that {0}")]
    Key(#[source] KeyError),
}

impl MachineIdentity {
    /// Reads the identity out of a DER certificate whose chain was verified.
    pub fn from_certificate(der: &[u8], trust_domain: &TrustDomain) -> Result<Self, IdentityError> {
        let (rest, certificate) = X509Certificate::from_der(der).or(Err(IdentityError::Malformed))?;
        if !rest.is_empty() {
            return Err(IdentityError::Malformed);
        }
        check_purpose(&certificate)?;
        let id = name(&certificate)?;
        if id.trust_domain != *trust_domain {
            return Err(IdentityError::Foreign { found: id.trust_domain });
        }
        Ok(Self {
            tenant: id.tenant,
            machine: id.machine,
            credential: serial(certificate.raw_serial())?,
            key: key::parse_spki(certificate.public_key().raw).map_err(IdentityError::Key)?,
            not_before: time(certificate.validity().not_before.timestamp())?,
            not_after: time(certificate.validity().not_after.timestamp())?,
        })
    }
}

/// RFC 5280 §4.2.1.9, §4.2.1.12. A repeated extension reads as malformed.
fn check_purpose(certificate: &X509Certificate<'_>) -> Result<(), IdentityError> {
    let basic = certificate.basic_constraints().or(Err(IdentityError::Malformed))?;
    if basic.is_some_and(|basic| basic.value.ca) {
        return Err(IdentityError::Authority);
    }
    let usage = certificate.extended_key_usage().or(Err(IdentityError::Malformed))?;
    let usage = usage.ok_or(IdentityError::Usage)?.value;
    let others = usage.any
        || usage.server_auth
        || usage.code_signing
        || usage.email_protection
        || usage.time_stamping
        || usage.ocsp_signing
        || !usage.other.is_empty();
    if usage.client_auth && !others { Ok(()) } else { Err(IdentityError::Usage) }
}

fn name(certificate: &X509Certificate<'_>) -> Result<SpiffeId, IdentityError> {
    let names = certificate.subject_alternative_name().or(Err(IdentityError::Malformed))?;
    let names = names.ok_or(IdentityError::Names)?;
    let [GeneralName::URI(uri)] = names.value.general_names[..] else {
        return Err(IdentityError::Names);
    };
    uri.parse().map_err(IdentityError::Name)
}

/// DER writes the sixteen bytes without leading zeros, or with one more where the first bit is set.
fn serial(der: &[u8]) -> Result<CredentialId, IdentityError> {
    let first = der.iter().position(|b| *b != 0).ok_or(IdentityError::Serial)?;
    let digits = &der[first..];
    let is_negative = der[0] & 0x80 != 0;
    if is_negative || digits.len() > 16 {
        return Err(IdentityError::Serial);
    }
    let mut bytes = [0; 16];
    bytes[16 - digits.len()..].copy_from_slice(digits);
    Ok(CredentialId::from_bytes(bytes))
}

fn time(unix: i64) -> Result<Timestamp, IdentityError> {
    Timestamp::from_second(unix).or(Err(IdentityError::Malformed))
}
