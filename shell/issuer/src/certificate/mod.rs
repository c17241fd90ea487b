//! Machine certificates: the one template, and signing it (RFC 5280).
//!
//! Subject `CN=<machine id>`, one URI SAN, key usage `digitalSignature`, extended key usage `clientAuth`, no CA. Of the
//! machine only its checked public key enters. Who may have one, and for how long, was decided elsewhere.

pub mod caller;
pub mod identity;
pub mod server;
pub mod serving;

use std::time::Duration;

use jiff::Timestamp;
use muster_model::{CredentialId, MachineId, PublicKey, TenantId};
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
    SanType, SerialNumber,
};
use thiserror::Error;

use crate::signing::{CaKey, Subject};
use crate::spiffe::{SpiffeId, TrustDomain};

/// What stands in a machine's certificate beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineTemplate {
    /// The credential; its sixteen bytes are the serial number.
    pub serial: CredentialId,
    /// The tenant of the machine.
    pub tenant: TenantId,
    /// The machine.
    pub machine: MachineId,
    /// Start of its life, cut to the second.
    pub not_before: Timestamp,
    /// End of its life, cut to the second.
    pub not_after: Timestamp,
}

/// Why a certificate was not made.
#[derive(Debug, Error)]
pub enum IssueError {
    /// Its life ends before it begins, or begins before 1970.
    #[error("a certificate cannot live from {from} to {to}")]
    Life {
        /// Start.
        from: Timestamp,
        /// End.
        to: Timestamp,
    },
    /// It would live longer than the authority that signs it.
    #[error("a certificate cannot live until {to}: its issuing authority ends at {issuer_end}")]
    OutlivesIssuer {
        /// End of the certificate.
        to: Timestamp,
        /// End of the authority.
        issuer_end: Timestamp,
    },
    /// A serial number of zero (RFC 5280 §4.1.2.2 demands a positive one).
    #[error("a serial number cannot be zero")]
    Serial,
    /// A name that cannot stand in a certificate.
    #[error("the name {0:?} cannot stand in a certificate")]
    Name(String),
    /// The certificate could not be written or signed.
    #[error("the certificate could not be signed")]
    Sign(#[source] rcgen::Error),
    /// The operating system's generator or the cryptographic library failed.
    #[error("the cryptographic library failed")]
    Crypto(#[source] aws_lc_rs::error::Unspecified),
}

/// The issuing authority in memory: its name, key identifier and prepared key.
pub(crate) struct IssuingKey {
    pub(crate) issuer: Issuer<'static, CaKey>,
    pub(crate) not_after: Timestamp,
}

impl IssuingKey {
    /// Signs a machine's certificate, DER.
    pub(crate) fn machine(
        &self,
        trust_domain: &TrustDomain,
        key: &PublicKey,
        template: &MachineTemplate,
    ) -> Result<Vec<u8>, IssueError> {
        let params = self.machine_params(trust_domain, template)?;
        let certificate = params.signed_by(&Subject(key), &self.issuer).map_err(IssueError::Sign)?;
        Ok(certificate.der().to_vec())
    }

    fn machine_params(
        &self,
        trust_domain: &TrustDomain,
        template: &MachineTemplate,
    ) -> Result<CertificateParams, IssueError> {
        let serial = template.serial.as_bytes();
        if *serial == [0; 16] {
            return Err(IssueError::Serial);
        }
        let id = SpiffeId {
            trust_domain: trust_domain.clone(),
            tenant: template.tenant,
            machine: template.machine,
        };
        let mut params =
            self.leaf(template.not_before, template.not_after, ExtendedKeyUsagePurpose::ClientAuth)?;
        params.serial_number = Some(SerialNumber::from_slice(serial));
        params.distinguished_name.push(DnType::CommonName, template.machine.to_string());
        params.subject_alt_names = vec![SanType::URI(ia5(id.to_string())?)];
        Ok(params)
    }

    /// What every leaf has in common. Nothing of it outlives its issuer.
    fn leaf(
        &self,
        from: Timestamp,
        to: Timestamp,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<CertificateParams, IssueError> {
        if self.not_after < to {
            return Err(IssueError::OutlivesIssuer { to, issuer_end: self.not_after });
        }
        let mut params = blank(from, to)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        Ok(params)
    }
}

/// Parameters with a life and the reference to the issuer's key, and nothing else.
pub(crate) fn blank(from: Timestamp, to: Timestamp) -> Result<CertificateParams, IssueError> {
    let life = |at: Timestamp| u64::try_from(at.as_second()).or(Err(IssueError::Life { from, to }));
    let (start, end) = (life(from)?, life(to)?);
    if end <= start {
        return Err(IssueError::Life { from, to });
    }
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = epoch + Duration::from_secs(start);
    params.not_after = epoch + Duration::from_secs(end);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

pub(crate) fn ia5(text: String) -> Result<Ia5String, IssueError> {
    Ia5String::try_from(text.as_str()).or(Err(IssueError::Name(text)))
}
