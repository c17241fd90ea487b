//! Certificates by which a machine serves others, under a key that is made for one answer: for clients that insist on being
//! given a key instead of making one.
//!
//! The private key is in the answer and nowhere else: it is never written, and nothing here accepts it as an identity. The
//! certificate is for servers alone (`serverAuth`), so it does not authenticate its machine to us.

use std::net::IpAddr;

use jiff::Timestamp;
use muster_model::{CredentialId, MachineId};
use rcgen::{DnType, ExtendedKeyUsagePurpose, SanType, SerialNumber};
use zeroize::Zeroizing;

use super::{IssueError, IssuingKey, ia5};
use crate::authority::BACKDATE;
use crate::seal;
use crate::signing::CaKey;
use crate::spiffe::TrustDomain;

/// What stands in such a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingTemplate {
    /// The serial number.
    pub serial: CredentialId,
    /// The machine: the common name, and the first label of the name that every such certificate has.
    pub machine: MachineId,
    /// Another name that an operator gave the machine: an address or a host name.
    pub address: Option<String>,
    /// When it is made.
    pub now: Timestamp,
    /// End of its life, cut to the second and to its issuer's.
    pub not_after: Timestamp,
}

/// A key and the certificate for it.
pub struct MadeKey {
    /// PEM of the certificate and its issuer.
    pub chain: String,
    /// PEM of the key (RFC 5915, `EC PRIVATE KEY`).
    pub key: Zeroizing<String>,
}

impl std::fmt::Debug for MadeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MadeKey(…)")
    }
}

/// The name that every such certificate of a machine has.
pub fn serving_name(machine: MachineId, trust_domain: &TrustDomain) -> String {
    format!("{}.{trust_domain}", machine.to_string().replace('_', "-"))
}

impl IssuingKey {
    /// Makes a key and certifies it, DER.
    pub(crate) fn serving(
        &self,
        trust_domain: &TrustDomain,
        template: &ServingTemplate,
    ) -> Result<(Vec<u8>, Zeroizing<String>), IssueError> {
        let serial = template.serial.as_bytes();
        if *serial == [0; 16] {
            return Err(IssueError::Serial);
        }
        let to = template.not_after.min(self.not_after);
        let mut params = self.leaf(template.now - BACKDATE, to, ExtendedKeyUsagePurpose::ServerAuth)?;
        params.serial_number = Some(SerialNumber::from_slice(serial));
        params.distinguished_name.push(DnType::CommonName, template.machine.to_string());
        params.subject_alt_names = vec![SanType::DnsName(ia5(serving_name(template.machine, trust_domain))?)];
        params.subject_alt_names.extend(template.address.as_deref().map(san).transpose()?);
        let key = CaKey::generate().map_err(IssueError::Crypto)?;
        let leaf = params.signed_by(&key, &self.issuer).map_err(IssueError::Sign)?;
        let sec1 = key.to_sec1().map_err(IssueError::Crypto)?;
        Ok((leaf.der().to_vec(), seal::to_pem("EC PRIVATE KEY", sec1.to_vec())))
    }
}

fn san(address: &str) -> Result<SanType, IssueError> {
    match address.parse::<IpAddr>() {
        Ok(ip) => Ok(SanType::IpAddress(ip)),
        Err(_not_an_address) => Ok(SanType::DnsName(ia5(address.to_ascii_lowercase())?)),
    }
}
