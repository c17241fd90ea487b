//! Making an authority: everything is written beside its place and put there with one rename.
//!
//! A crash before the rename leaves nothing in the place and a directory that never issued anything; a crash after it
//! leaves a whole authority.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use muster_model::KeyFingerprint;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyUsagePurpose, SanType};
use sha2::{Digest, Sha256};

use super::generation::Generation;
use super::open::Pair;
use super::*;
use crate::certificate::{blank, ia5};
use crate::files::{self, FileProblem};
use crate::seal::{SealError, Sealer};
use crate::signing::CaKey;

impl Authority {
    /// Makes an authority in a directory that is not there or empty, and opens it.
    pub fn create(dir: &Path, seal_key: &SealKey, new: &NewAuthority) -> Result<Self, AuthorityError> {
        files::check_empty(dir)?;
        let staging = staging(dir);
        clear(&staging)?;
        files::make_dir(&staging)?;
        write(&staging, seal_key, new)?;
        files::publish_dir(&staging, dir)?;
        Self::open(dir, seal_key)
    }
}

impl From<SealError> for AuthorityError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::File(error) => Self::File(error),
            SealError::Crypto(error) => Self::Crypto(error),
        }
    }
}

fn staging(dir: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(dir.file_name().unwrap_or_default());
    name.push(".creating");
    dir.with_file_name(name)
}

/// Removes what a crash left. Nothing was ever issued by keys that never came to their place.
fn clear(staging: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(staging) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(FileProblem::Io(e).at(staging)),
        _ => Ok(()),
    }
}

fn write(dir: &Path, seal_key: &SealKey, new: &NewAuthority) -> Result<(), AuthorityError> {
    let sealer = seal_key.create(dir)?;
    let Generation { active, standby, issuing, .. } = Generation::make(new)?;
    let (callers, _) = root(new, (CALLERS, "Muster callers"), BasicConstraints::Constrained(0))?;
    for (name, pair) in [(ROOTS[0], active), (ROOTS[1], standby), (CALLERS, callers), (ISSUING, issuing)] {
        write_pair(dir, &sealer, name, &pair)?;
    }
    sealer.write(&dir.join(TOKEN_KEY), &TokenSigner::generate()?)?;
    Ok(())
}

/// A new authority that signed itself, and what signs by it.
pub(super) fn root(
    new: &NewAuthority,
    (name, title): (&str, &str),
    below: BasicConstraints,
) -> Result<(Pair, Issuer<'static, CaKey>), AuthorityError> {
    let key = CaKey::generate()?;
    let mut params = authority(new, &key, title, ROOT_LIFE)?;
    params.is_ca = IsCa::Ca(below);
    let certificate = params.self_signed(&key).map_err(IssueError::Sign)?;
    let der = certificate.der().clone();
    let again = CaKey::from_pkcs8(&key.to_pkcs8()?).or(Err(Unspecified))?;
    Ok((Pair { file: certificate_file(name), der, key }, Issuer::new(params, again)))
}

/// The common part of roots and issuing authorities. The name carries a piece of the key's hash, so that the
/// authorities of two deployments are never confused by name.
pub(super) fn authority(
    new: &NewAuthority,
    key: &CaKey,
    title: &str,
    life: jiff::SignedDuration,
) -> Result<CertificateParams, IssueError> {
    authority_until(new, key, title, new.now + life)
}

/// The same with an end.
pub(super) fn authority_until(
    new: &NewAuthority,
    key: &CaKey,
    title: &str,
    end: Timestamp,
) -> Result<CertificateParams, IssueError> {
    let print = KeyFingerprint(Sha256::digest(key.spki()).into()).to_string();
    let mut params = blank(new.now - BACKDATE, end)?;
    params.distinguished_name.push(DnType::CommonName, format!("{title} {}", &print[..8]));
    params.subject_alt_names = vec![SanType::URI(ia5(new.trust_domain.uri())?)];
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn write_pair(dir: &Path, sealer: &Sealer, name: &str, pair: &Pair) -> Result<(), AuthorityError> {
    let text = seal::to_pem(CERTIFICATE, pair.der.to_vec());
    files::write_new(&dir.join(certificate_file(name)), text.as_bytes())?;
    sealer.write(&dir.join(key_file(name)), &pair.key.to_pkcs8()?)?;
    Ok(())
}
