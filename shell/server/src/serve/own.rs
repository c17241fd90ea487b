//! A certificate of the operator's own, as PEM: a chain that public clients trust, and its key.
//!
//! Owns the reading of both and the question whether they can serve now. Never opens a file, reads no clock, and lets
//! nothing of a key into an error.

use jiff::Timestamp;
use rustls::InconsistentKeys;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use x509_parser::parse_x509_certificate;

use super::tls::{TlsConfigs, TlsError};

/// A chain and its key that fit, and how long they do.
#[derive(Debug)]
pub struct OwnCertificate {
    /// What a listener offers with them.
    pub configs: TlsConfigs,
    /// When the first certificate of the chain ends.
    pub not_after: Timestamp,
}

/// Why a chain and a key cannot serve.
#[derive(Debug, Error)]
pub enum OwnCertificateError {
    /// The chain's file is no PEM, or cut.
    #[error("the certificate is not PEM")]
    Chain(#[source] pem::Error),
    /// It holds something else.
    #[error("there is no certificate (PEM) in it")]
    NoCertificate,
    /// A block that says it is a certificate and is none.
    #[error("certificate {place} of the chain cannot be read")]
    Unreadable {
        /// Its place, from 1.
        place: usize,
    },
    /// A certificate of the chain has ended.
    #[error("certificate {place} of the chain ended at {end}")]
    Ended {
        /// Its place, from 1.
        place: usize,
        /// When it did.
        end: Timestamp,
    },
    /// A certificate of the chain does not hold yet.
    #[error("certificate {place} of the chain begins at {begin}")]
    NotYet {
        /// Its place, from 1.
        place: usize,
        /// When it will.
        begin: Timestamp,
    },
    /// The key's file holds no key that can be read.
    #[error("there is no private key in it (PEM: PKCS#8, SEC1 or PKCS#1, without a passphrase)")]
    Key,
    /// The key belongs to another certificate than the first one of the chain.
    #[error("the key does not fit the first certificate of the chain")]
    Mismatch,
    /// The key or certificate is of a kind that TLS has no use for.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[source] TlsError),
}

impl OwnCertificateError {
    /// Whether the key's file is what is wrong, and not the chain's.
    pub fn is_about_key(&self) -> bool {
        matches!(self, Self::Key | Self::Mismatch)
    }
}

impl OwnCertificate {
    /// What can serve at this moment.
    ///
    /// # Errors
    /// What is wrong with either, or that they do not fit.
    pub fn from_pem(chain: &[u8], key: &[u8], now: Timestamp) -> Result<Self, OwnCertificateError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(OwnCertificateError::Chain)?;
        // Its error could repeat a line of the key.
        let key = PrivateKeyDer::from_pem_slice(key).or(Err(OwnCertificateError::Key))?;
        let not_after = holds_until(&chain, now)?;
        let configs = TlsConfigs::public(chain, key).map_err(unusable)?;
        Ok(Self { configs, not_after })
    }
}

/// When the first certificate of a chain ends that holds now.
fn holds_until(chain: &[CertificateDer<'_>], now: Timestamp) -> Result<Timestamp, OwnCertificateError> {
    let mut first = None;
    for (certificate, place) in chain.iter().zip(1..) {
        let unreadable = OwnCertificateError::Unreadable { place };
        let Ok((begin, end)) = life(certificate) else { return Err(unreadable) };
        if end <= now {
            return Err(OwnCertificateError::Ended { place, end });
        }
        if begin > now {
            return Err(OwnCertificateError::NotYet { place, begin });
        }
        first = Some(first.map_or(end, |first: Timestamp| first.min(end)));
    }
    first.ok_or(OwnCertificateError::NoCertificate)
}

/// When a certificate begins and ends.
fn life(certificate: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), Box<dyn std::error::Error>> {
    let (_, read) = parse_x509_certificate(certificate)?;
    let life = read.validity();
    let at = |second| Timestamp::from_second(second);
    Ok((at(life.not_before.timestamp())?, at(life.not_after.timestamp())?))
}

fn unusable(error: TlsError) -> OwnCertificateError {
    match error {
        TlsError::Certificate(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            OwnCertificateError::Mismatch
        }
        error => OwnCertificateError::Unusable(error),
    }
}
