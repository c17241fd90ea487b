//! Certificates of whoever calls machines that serve others: for clients alone (`clientAuth`), of an authority that certifies
//! nobody else.
//!
//! A machine that serves lets in whoever has a certificate of the authority it was given. Were that the authority of
//! machines, each machine could call every other one.

use jiff::Timestamp;
use muster_model::{CredentialId, PublicKey};
use rcgen::{DnType, ExtendedKeyUsagePurpose, SanType, SerialNumber};

use super::{IssueError, IssuingKey, ia5};
use crate::authority::BACKDATE;
use crate::signing::Subject;
use crate::spiffe::TrustDomain;

/// What stands in such a certificate beside its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerTemplate {
    /// The serial number.
    pub serial: CredentialId,
    /// Who calls: the common name, and the end of the URI `spiffe://<trust domain>/caller/<name>`.
    pub name: String,
    /// When it is made.
    pub now: Timestamp,
    /// End of its life, cut to the second.
    pub not_after: Timestamp,
}

impl IssuingKey {
    /// Signs a caller's certificate, DER.
    pub(crate) fn caller(
        &self,
        trust_domain: &TrustDomain,
        key: &PublicKey,
        template: &CallerTemplate,
    ) -> Result<Vec<u8>, IssueError> {
        let serial = template.serial.as_bytes();
        if *serial == [0; 16] {
            return Err(IssueError::Serial);
        }
        let (from, to) = (template.now - BACKDATE, template.not_after);
        let mut params = self.leaf(from, to, ExtendedKeyUsagePurpose::ClientAuth)?;
        params.serial_number = Some(SerialNumber::from_slice(serial));
        params.distinguished_name.push(DnType::CommonName, &*template.name);
        let uri = format!("{}/caller/{}", trust_domain.uri(), template.name);
        params.subject_alt_names = vec![SanType::URI(ia5(uri)?)];
        let leaf = params.signed_by(&Subject(key), &self.issuer).map_err(IssueError::Sign)?;
        Ok(leaf.der().to_vec())
    }
}
