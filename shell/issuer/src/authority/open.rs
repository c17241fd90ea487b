//! Opening an authority: every file is read, unsealed and held against the others before anything is signed.

use std::path::Path;

use muster_model::KeyFingerprint;
use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, KeyIdMethod};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use super::generation::Generation;
use super::*;
use crate::files::{self, FileProblem};
use crate::seal::Sealer;
use crate::signing::CaKey;

/// A certificate of ours together with its key.
pub(super) struct Pair {
    pub(super) file: String,
    pub(super) der: CertificateDer<'static>,
    pub(super) key: CaKey,
}

impl Pair {
    /// The same once more, to sign by while this one stays.
    pub(super) fn again(&self) -> Result<Self, AuthorityError> {
        let key = CaKey::from_pkcs8(&self.key.to_pkcs8()?);
        let key = key.or(Err(FileProblem::Damaged("it is not a P-256 key").at(Path::new(&self.file))))?;
        Ok(Self { file: self.file.clone(), der: self.der.clone(), key })
    }
}

impl Authority {
    /// Opens an authority. Whatever is missing, unreadable, damaged or does not fit is an error that names the file,
    /// the cause and the fix; nothing is ever made anew here.
    pub fn open(dir: &Path, seal_key: &SealKey) -> Result<Self, AuthorityError> {
        files::check_dir(dir)?;
        let sealer = seal_key.open(dir)?;
        let founding = Generation::read(dir, &sealer)?;
        let callers = read_pair(dir, &sealer, CALLERS)?;
        if !is_signed_by(&callers, &callers) {
            return Err(mismatch(dir, &callers, "its own signature"));
        }
        let trust_domain = trust_domain(dir, &founding.issuing)?;
        if self::trust_domain(dir, &callers)? != trust_domain {
            return Err(mismatch(dir, &callers, &founding.issuing.file));
        }
        let keep = Keep {
            dir: dir.to_owned(),
            tokens: read_tokens(dir, &sealer)?,
            sealer,
            trust_domain,
            callers_key: callers.key.spki(),
            callers_text: to_text(&callers.der),
            callers: signer(dir, callers)?,
        };
        Self::of(Arc::new(keep), Ca::founding())
    }
}

pub(super) fn read_pair(dir: &Path, sealer: &Sealer, name: &str) -> Result<Pair, AuthorityError> {
    let path = dir.join(certificate_file(name));
    let der = CertificateDer::from(seal::from_pem(&path, CERTIFICATE)?.to_vec());
    parse(dir, &certificate_file(name), &der)?;
    pair_of(dir, name, der, &sealer.read(&dir.join(key_file(name)))?)
}

/// A certificate and the key that must be its own.
pub(super) fn pair_of(
    dir: &Path,
    name: &str,
    der: CertificateDer<'static>,
    pkcs8: &[u8],
) -> Result<Pair, AuthorityError> {
    let (file, key_path) = (certificate_file(name), dir.join(key_file(name)));
    let certificate = parse(dir, &file, &der)?;
    let key = CaKey::from_pkcs8(pkcs8);
    let key = key.or(Err(FileProblem::Damaged("it is not a P-256 key").at(&key_path)))?;
    if certificate.public_key().raw != key.spki() {
        return Err(FileProblem::Mismatch { other: file }.at(&key_path).into());
    }
    Ok(Pair { file, der, key })
}

fn read_tokens(dir: &Path, sealer: &Sealer) -> Result<TokenSigner, FileError> {
    let path = dir.join(TOKEN_KEY);
    let signer = TokenSigner::from_pkcs8(&sealer.read(&path)?);
    signer.or(Err(FileProblem::Damaged("it is not a P-256 key").at(&path)))
}

pub(super) fn parse<'a>(dir: &Path, file: &str, der: &'a [u8]) -> Result<X509Certificate<'a>, FileError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) if certificate.is_ca() => Ok(certificate),
        _ => Err(FileProblem::Damaged("it is not the certificate of an authority").at(&dir.join(file))),
    }
}

pub(super) fn is_signed_by(below: &Pair, above: &Pair) -> bool {
    let (Ok((_, below)), Ok((_, above))) =
        (X509Certificate::from_der(&below.der), X509Certificate::from_der(&above.der))
    else {
        return false;
    };
    below.issuer().as_raw() == above.subject().as_raw()
        && below.verify_signature(Some(above.public_key())).is_ok()
}

/// Whether this authority signed a certificate.
pub(super) fn is_issued_by(leaf: &[u8], above: &CertificateDer<'_>) -> bool {
    let (Ok((_, leaf)), Ok((_, above))) = (X509Certificate::from_der(leaf), X509Certificate::from_der(above))
    else {
        return false;
    };
    leaf.verify_signature(Some(above.public_key())).is_ok()
}

pub(super) fn check_chain(
    dir: &Path,
    issuing: &Pair,
    active: &Pair,
    standby: &Pair,
) -> Result<(), AuthorityError> {
    for root in [active, standby] {
        if !is_signed_by(root, root) {
            return Err(mismatch(dir, root, "its own signature"));
        }
    }
    if !is_signed_by(issuing, active) {
        return Err(mismatch(dir, issuing, "either root"));
    }
    if active.key.spki() == standby.key.spki() {
        return Err(FileProblem::Damaged("both roots are the same").at(&dir.join(&standby.file)).into());
    }
    Ok(())
}

/// Whoever trusts the authority of callers trusts nothing else of ours.
pub(super) fn check_apart(dir: &Path, callers: &[u8], others: &Generation) -> Result<(), AuthorityError> {
    if [&others.active, &others.standby, &others.issuing].iter().any(|other| other.key.spki() == callers) {
        let problem = FileProblem::Damaged("it has the key of another authority");
        return Err(problem.at(&dir.join(certificate_file(CALLERS))).into());
    }
    Ok(())
}

/// All of a deployment are of one trust domain.
pub(super) fn check_domain(
    dir: &Path,
    generation: &Generation,
    expected: &TrustDomain,
) -> Result<(), AuthorityError> {
    let Generation { active, standby, issuing, .. } = generation;
    for pair in [active, standby, issuing] {
        if trust_domain(dir, pair)? != *expected {
            return Err(mismatch(dir, pair, &issuing.file));
        }
    }
    Ok(())
}

fn mismatch(dir: &Path, pair: &Pair, other: &str) -> AuthorityError {
    FileProblem::Mismatch { other: other.to_owned() }.at(&dir.join(&pair.file)).into()
}

fn trust_domain(dir: &Path, pair: &Pair) -> Result<TrustDomain, FileError> {
    let certificate = parse(dir, &pair.file, &pair.der)?;
    let name = certificate.subject_alternative_name().ok().flatten().and_then(|names| {
        match names.value.general_names[..] {
            [GeneralName::URI(uri)] => TrustDomain::from_uri(uri).ok(),
            _ => None,
        }
    });
    name.ok_or_else(|| FileProblem::Damaged("it names no trust domain").at(&dir.join(&pair.file)))
}

pub(super) fn root_of(pair: Pair) -> Root {
    Root { fingerprint: KeyFingerprint(Sha256::digest(pair.key.spki()).into()), der: pair.der }
}

/// Prepares the issuing key once: its name and key identifier are read here and never again.
pub(super) fn signer(dir: &Path, pair: Pair) -> Result<IssuingKey, AuthorityError> {
    let path = dir.join(&pair.file);
    let certificate = parse(dir, &pair.file, &pair.der)?;
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let name = name.ok_or_else(|| FileProblem::Damaged("it has no name").at(&path))?;
    let id = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    let id = id.ok_or_else(|| FileProblem::Damaged("it has no key identifier").at(&path))?;
    let end = certificate.validity().not_after.timestamp();
    let not_after = Timestamp::from_second(end).or(Err(FileProblem::Damaged("it has no end").at(&path)))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_identifier_method = KeyIdMethod::PreSpecified(id);
    Ok(IssuingKey { issuer: Issuer::new(params, pair.key), not_after })
}
