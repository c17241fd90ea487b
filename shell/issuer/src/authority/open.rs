//! Opening an authority: every file is read, unsealed and held against the others before anything is signed.

use std::path::Path;

use muster_model::KeyFingerprint;
use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, KeyIdMethod};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use super::*;
use crate::files::{self, FileProblem};
use crate::seal::Sealer;
use crate::signing::CaKey;

/// A certificate of ours together with its key.
struct Pair {
    file: String,
    der: CertificateDer<'static>,
    key: CaKey,
}

impl Authority {
    /// Opens an authority. Whatever is missing, unreadable, damaged or does not fit is an error that names the file,
    /// the cause and the fix; nothing is ever made anew here.
    pub fn open(dir: &Path, seal_key: &SealKey) -> Result<Self, AuthorityError> {
        files::check_dir(dir)?;
        let sealer = seal_key.open(dir)?;
        let [a, b] = [read_pair(dir, &sealer, ROOTS[0])?, read_pair(dir, &sealer, ROOTS[1])?];
        let issuing = read_pair(dir, &sealer, ISSUING)?;
        let callers = read_pair(dir, &sealer, CALLERS)?;
        let tokens = read_tokens(dir, &sealer)?;
        // Invariant: the active root is the one that signed the issuing authority.
        let (active, standby) = if is_signed_by(&issuing, &a) { (a, b) } else { (b, a) };
        check_chain(dir, &issuing, &active, &standby)?;
        check_apart(dir, &callers, [&active, &standby, &issuing])?;
        let trust_domain = trust_domain(dir, &issuing)?;
        for root in [&active, &standby, &callers] {
            if self::trust_domain(dir, root)? != trust_domain {
                return Err(mismatch(dir, root, &issuing.file));
            }
        }
        let roots = [root_of(active), root_of(standby)];
        let der = issuing.der.clone();
        let texts = Texts::new(&roots, &der, &callers.der);
        let (signer, callers) = (signer(dir, issuing)?, signer(dir, callers)?);
        Ok(Self { trust_domain, roots, issuing: der, texts, signer, callers, tokens })
    }
}

fn read_pair(dir: &Path, sealer: &Sealer, name: &str) -> Result<Pair, AuthorityError> {
    let file = certificate_file(name);
    let path = dir.join(&file);
    let der = CertificateDer::from(seal::from_pem(&path, CERTIFICATE)?.to_vec());
    let certificate = parse(dir, &file, &der)?;
    let key_path = dir.join(key_file(name));
    let key = CaKey::from_pkcs8(&sealer.read(&key_path)?);
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

fn parse<'a>(dir: &Path, file: &str, der: &'a [u8]) -> Result<X509Certificate<'a>, FileError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) if certificate.is_ca() => Ok(certificate),
        _ => Err(FileProblem::Damaged("it is not the certificate of an authority").at(&dir.join(file))),
    }
}

fn is_signed_by(below: &Pair, above: &Pair) -> bool {
    let (Ok((_, below)), Ok((_, above))) =
        (X509Certificate::from_der(&below.der), X509Certificate::from_der(&above.der))
    else {
        return false;
    };
    below.issuer().as_raw() == above.subject().as_raw()
        && below.verify_signature(Some(above.public_key())).is_ok()
}

fn check_chain(dir: &Path, issuing: &Pair, active: &Pair, standby: &Pair) -> Result<(), AuthorityError> {
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
fn check_apart(dir: &Path, callers: &Pair, others: [&Pair; 3]) -> Result<(), AuthorityError> {
    if !is_signed_by(callers, callers) {
        return Err(mismatch(dir, callers, "its own signature"));
    }
    if others.iter().any(|other| other.key.spki() == callers.key.spki()) {
        let problem = FileProblem::Damaged("it has the key of another authority");
        return Err(problem.at(&dir.join(&callers.file)).into());
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

fn root_of(pair: Pair) -> Root {
    Root { fingerprint: KeyFingerprint(Sha256::digest(pair.key.spki()).into()), der: pair.der }
}

/// Prepares the issuing key once: its name and key identifier are read here and never again.
fn signer(dir: &Path, pair: Pair) -> Result<IssuingKey, AuthorityError> {
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
