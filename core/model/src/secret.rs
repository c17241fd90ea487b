//! Secrets that Muster hands out, and the only form in which it keeps them.
//!
//! Text form: `mst_<kind>_<id>_<secret><crc>`: a 10-byte id that selects a row, 32 random bytes that prove the
//! right to it, and a CRC-32 over all before it, so that a typo is caught before any look-up and a scanner can
//! tell a secret from noise. Only `HMAC-SHA-256(pepper, secret)` (RFC 2104) is stored; the pepper lives outside
//! the database. No password hash: 256 random bits need none.
//!
//! Secrets of existing clients keep the text form that those know, `cek_` or `cak_` and 64 hexadecimal digits
//! ([`SecretForm::Prefixed`]): their id follows from the text, and what is kept of them is the same.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroize;

use crate::deployment::Deployment;
use crate::id::{CROCKFORD, DeploymentId};

/// What a secret is for. A secret of one kind is never accepted as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// Names a grant: an enrollment token or a site's enrollment key.
    Enroll,
    /// A machine's bearer credential.
    Bearer,
    /// Gets a machine without a key of its own its next credentials, once.
    Refresh,
    /// An operator's API token.
    Api,
    /// A one-time login link.
    Login,
    /// A browser session.
    Session,
}

impl SecretKind {
    const ALL: [Self; 6] = [Self::Enroll, Self::Bearer, Self::Refresh, Self::Api, Self::Login, Self::Session];

    /// The word in the text form.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enroll => "enroll",
            Self::Bearer => "bearer",
            Self::Refresh => "refresh",
            Self::Api => "api",
            Self::Login => "login",
            Self::Session => "session",
        }
    }
}

/// How a secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SecretForm {
    /// `mst_<kind>_<id>_<secret><crc>`.
    #[default]
    Native,
    /// A prefix that names the kind and 64 hexadecimal digits: `cek_…` for enrolling, `cak_…` for machines.
    Prefixed,
}

/// The kinds that have a [`SecretForm::Prefixed`], each with its prefix.
const PREFIXES: [(SecretKind, &str); 2] = [(SecretKind::Enroll, "cek_"), (SecretKind::Bearer, "cak_")];

/// The public half of a secret: selects the row it is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId(pub [u8; 10]);

/// The server-wide HMAC key that lives outside the database.
#[derive(Clone, Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Pepper([u8; 32]);

/// `HMAC-SHA-256(pepper, secret)`: what is stored of a secret.
#[derive(Clone, Copy)]
pub struct SecretHash(pub [u8; 32]);

/// What is kept of a secret that a client drew for itself, so that it is known again when it shows it: a MAC by the pepper
/// over the secret's SHA-256, which is all that the client gave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Verifier(SecretHash);

/// A secret in the clear. It exists while it is made, presented or compared, and is wiped afterwards.
#[derive(Clone, Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Secret {
    #[zeroize(skip)]
    kind: SecretKind,
    #[zeroize(skip)]
    form: SecretForm,
    #[zeroize(skip)]
    id: SecretId,
    bytes: [u8; 32],
}

/// A text that is not a secret of ours. Says nothing of the text: it may hold most of a real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretError {
    /// Not of the form `mst_<kind>_<id>_<secret><crc>`.
    #[error("is not a Muster secret (mst_…)")]
    Form,
    /// The checksum does not fit: a character was lost or changed on the way.
    #[error("is damaged: its checksum does not fit, copy it again as a whole")]
    Checksum,
}

impl Pepper {
    /// Takes 32 bytes of the operating system's generator.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What is stored of a secret.
    pub fn hash(&self, secret: &Secret) -> SecretHash {
        self.mac(&[secret.kind.word().as_bytes(), &secret.id.0, &secret.bytes])
    }

    /// A MAC over length-prefixed parts under this pepper, for values that the server signs for itself.
    pub fn mac(&self, parts: &[&[u8]]) -> SecretHash {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        SecretHash(mac.finalize().into_bytes().into())
    }

    /// The one secret of a kind that follows from another secret: found again by whoever has both the pepper and that
    /// secret, and by nobody else.
    pub fn derived(&self, kind: SecretKind, from: &Secret) -> Secret {
        let word = kind.word().as_bytes();
        let of = [from.kind.word().as_bytes(), &from.id.0, &from.bytes];
        let part = |part: &[u8]| self.mac(&[b"derived", word, part, of[0], of[1], of[2]]).0;
        let id = part(b"id");
        Secret::new(kind, std::array::from_fn(|i| id[i]), part(b"bytes"))
    }

    /// What is kept of a client's own secret, by its SHA-256. That alone must not open anything: whoever reads it on its way
    /// here cannot show what it is the hash of.
    pub fn verifier(&self, sha256: &[u8; 32]) -> Verifier {
        Verifier(self.mac(&[b"verifier", sha256]))
    }

    /// The same, by the secret itself, as its owner shows it.
    pub fn verifier_of(&self, shown: &str) -> Verifier {
        self.verifier(&Sha256::digest(shown.as_bytes()).into())
    }

    /// What binds a database to the data directory that this pepper lies in.
    pub fn proof_of(&self, deployment: DeploymentId) -> [u8; 32] {
        self.mac(&[b"deployment", deployment.as_bytes()]).0
    }

    /// Whether a deployment was founded by the data directory that this pepper lies in, or by a copy of it.
    pub fn founded(&self, deployment: &Deployment) -> bool {
        SecretHash(self.proof_of(deployment.id)) == SecretHash(deployment.proof)
    }
}

impl Verifier {
    /// As it was written.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(SecretHash(bytes))
    }

    /// As it is written.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0.0
    }
}

impl Secret {
    /// Makes a secret from random bytes drawn outside.
    pub fn new(kind: SecretKind, id: [u8; 10], bytes: [u8; 32]) -> Self {
        Self { kind, form: SecretForm::Native, id: SecretId(id), bytes }
    }

    /// Makes a secret of this form from random bytes drawn outside. Its id follows from them where the form has no room
    /// for one; a kind that has no such form is written as the native ones.
    pub fn formed(form: SecretForm, kind: SecretKind, id: [u8; 10], bytes: [u8; 32]) -> Self {
        match (form, prefix(kind)) {
            (SecretForm::Prefixed, Some(prefix)) => Self::prefixed(kind, prefix, bytes),
            (SecretForm::Prefixed, None) | (SecretForm::Native, _) => Self::new(kind, id, bytes),
        }
    }

    /// A secret as somebody shows it who may write anything. What is not of the form of this kind becomes a secret that
    /// nobody was ever given, so that it takes the same way to its refusal as one that is.
    pub fn presented(text: &str, kind: SecretKind) -> Self {
        let parsed = text.parse::<Self>().ok().filter(|secret| secret.kind == kind);
        parsed.unwrap_or_else(|| {
            let id = digest(&[b"muster-stand-in-id", text.as_bytes()]);
            Self::new(kind, std::array::from_fn(|i| id[i]), digest(&[b"muster-stand-in", text.as_bytes()]))
        })
    }

    fn prefixed(kind: SecretKind, prefix: &str, bytes: [u8; 32]) -> Self {
        let id = digest(&[b"muster-secret-id", prefix.as_bytes(), &bytes]);
        Self { kind, form: SecretForm::Prefixed, id: SecretId(std::array::from_fn(|i| id[i])), bytes }
    }

    /// What it is for.
    pub fn kind(&self) -> SecretKind {
        self.kind
    }

    /// Its public half.
    pub fn id(&self) -> SecretId {
        self.id
    }

    /// The text form, in the clear. Call it only where the secret is handed to its owner.
    pub fn reveal(&self) -> String {
        if let (SecretForm::Prefixed, Some(prefix)) = (self.form, prefix(self.kind)) {
            return format!("{prefix}{}", HEXLOWER.encode(&self.bytes));
        }
        let body = format!(
            "mst_{}_{}_{}",
            self.kind.word(),
            CROCKFORD.encode(&self.id.0),
            CROCKFORD.encode(&self.bytes)
        );
        let crc = crc32fast::hash(body.as_bytes()).to_be_bytes();
        format!("{body}{}", CROCKFORD.encode(&crc))
    }

    /// The first four hexadecimal digits, upper case, of the SHA-256 of the text form: tells generations apart.
    pub fn short_fingerprint(&self) -> [u8; 2] {
        let digest = Sha256::digest(self.reveal().as_bytes());
        [digest[0], digest[1]]
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        if let Some((kind, prefix)) = PREFIXES.into_iter().find(|(_, prefix)| text.starts_with(prefix)) {
            let bytes = HEXLOWER.decode(&text.as_bytes()[prefix.len()..]).or(Err(SecretError::Form))?;
            return Ok(Self::prefixed(kind, prefix, bytes.try_into().or(Err(SecretError::Form))?));
        }
        let mut parts = text.splitn(4, '_');
        let (Some("mst"), Some(word), Some(id), Some(rest)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SecretError::Form);
        };
        let kind = SecretKind::ALL.into_iter().find(|k| k.word() == word).ok_or(SecretError::Form)?;
        if id.len() != 16 || rest.len() != 52 + 7 || !rest.is_ascii() {
            return Err(SecretError::Form);
        }
        let (secret, crc) = rest.split_at(52);
        let expected = crc32fast::hash(&text.as_bytes()[..text.len() - 7]).to_be_bytes();
        if !crc.eq_ignore_ascii_case(&CROCKFORD.encode(&expected)) {
            return Err(SecretError::Checksum);
        }
        Ok(Self::new(kind, decode(id)?, decode(secret)?))
    }
}

fn prefix(kind: SecretKind) -> Option<&'static str> {
    PREFIXES.into_iter().find_map(|(prefixed, prefix)| (prefixed == kind).then_some(prefix))
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    use sha2::Digest;
    parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], SecretError> {
    let bytes = CROCKFORD.decode(text.as_bytes()).or(Err(SecretError::Form))?;
    bytes.try_into().or(Err(SecretError::Form))
}

impl PartialEq for SecretHash {
    /// Takes the same time wherever the two differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, {}, …)", self.kind.word(), CROCKFORD.encode(&self.id.0))
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::*;

    fn secret() -> Secret {
        Secret::new(SecretKind::Enroll, [3; 10], [9; 32])
    }

    #[test]
    fn text_form_reads_back() {
        let text = secret().reveal();
        let back: Secret = text.parse().expect("its own text form");
        assert_eq!((back.kind(), back.id(), back.bytes), (SecretKind::Enroll, SecretId([3; 10]), [9; 32]));
        assert!(text.starts_with("mst_enroll_"));
    }

    #[test]
    fn any_single_changed_character_is_caught_before_a_look_up() {
        let text = secret().reveal();
        for i in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[i] = if other[i] == b'7' { b'8' } else { b'7' };
            let other = String::from_utf8(other).expect("still ASCII");
            assert!(other.parse::<Secret>().is_err(), "{i}");
        }
    }

    #[test]
    fn one_kind_never_hashes_like_another() {
        let pepper = Pepper::new([1; 32]);
        let enroll = Secret::new(SecretKind::Enroll, [3; 10], [9; 32]);
        let bearer = Secret::new(SecretKind::Bearer, [3; 10], [9; 32]);
        assert_ne!(pepper.hash(&enroll), pepper.hash(&bearer));
    }

    #[test]
    fn what_follows_from_a_secret_is_found_again_by_the_same_pepper_and_secret_alone() {
        let (pepper, other) = (Pepper::new([1; 32]), Pepper::new([2; 32]));
        let next = |pepper: &Pepper, from: &Secret| pepper.derived(SecretKind::Refresh, from).reveal();
        let first = secret();
        assert_eq!(next(&pepper, &first), next(&pepper, &first));
        assert_ne!(next(&pepper, &first), next(&other, &first));
        let near = Secret::new(SecretKind::Enroll, [3; 10], [8; 32]);
        assert_ne!(next(&pepper, &first), next(&pepper, &near), "the public half alone gives nothing away");
        let bearer = pepper.derived(SecretKind::Bearer, &first);
        let refresh = pepper.derived(SecretKind::Refresh, &first);
        assert_ne!((bearer.id(), bearer.bytes), (refresh.id(), refresh.bytes));
        assert_ne!(pepper.derived(SecretKind::Refresh, &refresh).reveal(), refresh.reveal());
    }

    #[test]
    fn a_pepper_knows_the_deployment_that_it_founded_and_no_other() {
        let (pepper, other) = (Pepper::new([1; 32]), Pepper::new([2; 32]));
        let id = DeploymentId::new(1, [3; 10]);
        let deployment = |id, proof| Deployment { id, proof, incarnations: Vec::new(), gap: None };
        assert!(pepper.founded(&deployment(id, pepper.proof_of(id))));
        assert!(!other.founded(&deployment(id, pepper.proof_of(id))), "another directory");
        let stranger = DeploymentId::new(1, [4; 10]);
        assert!(!pepper.founded(&deployment(stranger, pepper.proof_of(id))), "a proof taken from elsewhere");
    }

    #[test]
    fn q_27_debug_never_shows_the_secret() {
        let text = secret().reveal();
        let hidden = &text[text.len() - 59..];
        assert!(!format!("{:?}", secret()).contains(&hidden[..8]));
        assert_eq!(format!("{:?}", Pepper::new([1; 32])), "Pepper(…)");
    }

    #[test]
    fn a_prefixed_form_reads_back_and_its_id_follows_from_the_text() {
        for (kind, prefix) in PREFIXES {
            let text = format!("{prefix}{}", "0f".repeat(32));
            let secret: Secret = text.parse().expect("of the form that existing clients know");
            assert_eq!((secret.kind(), secret.reveal()), (kind, text));
            let made = Secret::formed(SecretForm::Prefixed, kind, [1; 10], [0x0f; 32]);
            assert_eq!((made.id(), made.reveal()), (secret.id(), secret.reveal()));
            let pepper = Pepper::new([1; 32]);
            assert_eq!(pepper.hash(&made), pepper.hash(&secret));
            assert_ne!(made.id(), Secret::formed(SecretForm::Prefixed, kind, [1; 10], [0x0e; 32]).id());
        }
    }

    #[test]
    fn the_label_of_a_generation_is_the_start_of_the_hash_of_the_whole_text() {
        let secret = Secret::formed(SecretForm::Prefixed, SecretKind::Enroll, [0; 10], [0x0f; 32]);
        let whole: [u8; 32] = Sha256::digest(format!("cek_{}", "0f".repeat(32)).as_bytes()).into();
        assert_eq!(secret.short_fingerprint(), [whole[0], whole[1]]);
    }

    #[test]
    fn q_09_what_is_no_secret_of_the_kind_stands_for_one_that_nobody_was_given() {
        let text = format!("cek_{}", "0f".repeat(32));
        assert_eq!(Secret::presented(&text, SecretKind::Enroll).reveal(), text);
        let bearer = format!("cak_{}", "0f".repeat(32));
        for odd in ["", "0f", "cek_", &text[..67], &text.to_uppercase(), &bearer] {
            let one = Secret::presented(odd, SecretKind::Enroll);
            let again = Secret::presented(odd, SecretKind::Enroll);
            assert_eq!((one.kind(), one.id()), (SecretKind::Enroll, again.id()), "{odd:?}");
            assert_ne!(one.reveal(), odd);
        }
    }

    #[test]
    fn a_verifier_is_of_one_secret_and_one_pepper() {
        let (pepper, other) = (Pepper::new([1; 32]), Pepper::new([2; 32]));
        assert_eq!(pepper.verifier(&[3; 32]), pepper.verifier(&[3; 32]));
        assert_ne!(pepper.verifier(&[3; 32]), pepper.verifier(&[4; 32]));
        assert_ne!(pepper.verifier(&[3; 32]), other.verifier(&[3; 32]));
        assert_ne!(pepper.verifier(&[3; 32]).as_bytes(), &[3; 32], "what is kept is not what was sent");
        // SHA-256 of "abc" (FIPS 180-4).
        let hash = data_encoding::HEXLOWER
            .decode(b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
            .expect("hexadecimal digits");
        assert_eq!(pepper.verifier_of("abc"), pepper.verifier(&hash.try_into().expect("32 bytes")));
    }

    #[test]
    fn odd_text_is_refused_without_panic() {
        for bad in [
            "cek_",
            "cak_é",
            "cek_0F",
            &format!("cek_{}", "0f".repeat(33)),
            "",
            "mst",
            "mst_enroll__",
            "mst_enroll_é_é",
            "mst_root_0_0",
            &"_".repeat(90),
        ] {
            assert_eq!(bad.parse::<Secret>().err(), Some(SecretError::Form), "{bad}");
        }
    }
}
