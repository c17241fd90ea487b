//! The certificate of our own TLS port: a fresh key each time, life 30 days, to be made anew at half of it.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rcgen::{DnType, ExtendedKeyUsagePurpose, SanType};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};

use super::{IssueError, IssuingKey, ia5};
use crate::authority::BACKDATE;
use crate::signing::CaKey;

/// Longest life of a server's certificate.
pub const SERVER_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A server's certificate and key, as TLS wants them.
#[derive(Debug)]
pub struct ServerCertificate {
    /// The certificate, the issuing authority, the root: signed by the one before it, while somebody may know that one
    /// alone.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the first.
    pub key: PrivateKeyDer<'static>,
    /// End of its life.
    pub not_after: Timestamp,
    /// When to make the next one.
    pub renew_at: Timestamp,
}

impl IssuingKey {
    /// Makes a key and certifies it for these names. `above` are the certificates from the issuing one to the root.
    pub(crate) fn server(
        &self,
        names: &[ServerName<'_>],
        now: Timestamp,
        above: Vec<CertificateDer<'static>>,
    ) -> Result<ServerCertificate, IssueError> {
        let not_after = (now + SERVER_LIFE).min(self.not_after);
        let mut params = self.leaf(now - BACKDATE, not_after, ExtendedKeyUsagePurpose::ServerAuth)?;
        params.distinguished_name.push(DnType::CommonName, "Muster server");
        params.subject_alt_names = names.iter().map(san).collect::<Result<_, _>>()?;
        if params.subject_alt_names.is_empty() {
            return Err(IssueError::Name(String::new()));
        }
        // Without a serial of ours it is the hash of the key, which is new each time.
        let key = CaKey::generate().map_err(IssueError::Crypto)?;
        let leaf = params.signed_by(&key, &self.issuer).map_err(IssueError::Sign)?;
        let pkcs8 = key.to_pkcs8().map_err(IssueError::Crypto)?;
        Ok(ServerCertificate {
            chain: [leaf.into()].into_iter().chain(above).collect(),
            key: PrivatePkcs8KeyDer::from(pkcs8.to_vec()).into(),
            not_after,
            renew_at: now + not_after.duration_since(now) / 2,
        })
    }
}

fn san(name: &ServerName<'_>) -> Result<SanType, IssueError> {
    match name {
        ServerName::DnsName(name) => Ok(SanType::DnsName(ia5(name.as_ref().to_ascii_lowercase())?)),
        ServerName::IpAddress(ip) => Ok(SanType::IpAddress(IpAddr::from(*ip))),
        other => Err(IssueError::Name(other.to_str().into_owned())),
    }
}
