//! A generation of the authority: two roots and what issues under the active one. The first is in files; those after it
//! are in the database, sealed, and bound to the row that they stand in.
//!
//! Invariant: a generation is whole: every key fits its certificate, and the issuing one chains to the active root.

use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer};
use serde::{Deserialize, Serialize};

use super::open::{Pair, check_chain, is_signed_by, pair_of, read_pair, signer};
use super::*;
use crate::files::FileProblem;
use crate::seal::Sealer;
use crate::signing::CaKey;

/// Where errors say that something of the database is.
const PLACE: &str = "the authority in the database";

/// Two roots and what issues under the active one.
pub(super) struct Generation {
    pub(super) active: Pair,
    pub(super) standby: Pair,
    pub(super) issuing: Pair,
    /// The active root, signed by the active root of the generation before: whoever trusts that one gets to this one.
    pub(super) cross: Option<CertificateDer<'static>>,
}

/// The generations that are not in files.
#[derive(Default)]
pub(super) struct Material {
    /// The present one, where it is not the one of the files.
    pub(super) current: Option<Generation>,
    /// The next one.
    pub(super) next: Option<Generation>,
}

/// A generation as it is sealed, in base64 of DER.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    active: (String, Hidden),
    standby: (String, Hidden),
    issuing: (String, Hidden),
    cross: Option<String>,
}

/// A text that is wiped when it goes.
struct Hidden(Zeroizing<String>);

impl Serialize for Hidden {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Zeroizing::new(text)))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct All {
    current: Option<Written>,
    next: Option<Written>,
}

impl Generation {
    /// Makes one.
    pub(super) fn make(new: &NewAuthority) -> Result<Self, AuthorityError> {
        let many = BasicConstraints::Unconstrained;
        let (active, issuer) = create::root(new, (ROOTS[0], "Muster root A"), many)?;
        let (standby, _) = create::root(new, (ROOTS[1], "Muster root B"), many)?;
        let key = CaKey::generate()?;
        let mut params = create::authority(new, &key, "Muster issuing authority", ISSUING_LIFE)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let certificate = params.signed_by(&key, &issuer).map_err(IssueError::Sign)?;
        let issuing = Pair { file: certificate_file(ISSUING), der: certificate.der().clone(), key };
        Ok(Self { active, standby, issuing, cross: None })
    }

    /// Reads the one of the files.
    pub(super) fn read(dir: &Path, sealer: &Sealer) -> Result<Self, AuthorityError> {
        let [a, b] = [read_pair(dir, sealer, ROOTS[0])?, read_pair(dir, sealer, ROOTS[1])?];
        let issuing = read_pair(dir, sealer, ISSUING)?;
        // Invariant: the active root is the one that signed the issuing authority.
        let (active, standby) = if is_signed_by(&issuing, &a) { (a, b) } else { (b, a) };
        Self { active, standby, issuing, cross: None }.whole(dir)
    }

    fn whole(self, dir: &Path) -> Result<Self, AuthorityError> {
        check_chain(dir, &self.issuing, &self.active, &self.standby)?;
        Ok(self)
    }

    /// The next one, whose active root this one's signs too.
    pub(super) fn succeed(&self, new: &NewAuthority) -> Result<Self, AuthorityError> {
        let mut next = Self::make(new)?;
        let above = signer(Path::new(PLACE), self.active.again()?)?;
        let mut params: CertificateParams =
            create::authority_until(new, &next.active.key, "Muster root A", above.not_after)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer: &Issuer<'static, CaKey> = &above.issuer;
        let cross = params.signed_by(&next.active.key, issuer).map_err(IssueError::Sign)?;
        next.cross = Some(cross.der().clone());
        Ok(next)
    }

    fn written(&self) -> Result<Written, AuthorityError> {
        let pair = |pair: &Pair| {
            let key = Hidden(Zeroizing::new(BASE64.encode(&pair.key.to_pkcs8()?)));
            Ok::<_, AuthorityError>((BASE64.encode(&pair.der), key))
        };
        Ok(Written {
            active: pair(&self.active)?,
            standby: pair(&self.standby)?,
            issuing: pair(&self.issuing)?,
            cross: self.cross.as_ref().map(|cross| BASE64.encode(cross)),
        })
    }

    fn of(written: Written) -> Result<Self, AuthorityError> {
        let place = Path::new(PLACE);
        let bytes = |text: &str, file: &str| {
            let decoded = BASE64.decode(text.as_bytes());
            decoded.or(Err(FileProblem::Damaged("it is not base64").at(&place.join(file))))
        };
        let pair = |name: &str, (der, Hidden(key)): &(String, Hidden)| {
            let file = certificate_file(name);
            let (der, key) = (bytes(der, &file)?, Zeroizing::new(bytes(key, &key_file(name))?));
            pair_of(place, name, CertificateDer::from(der), &key)
        };
        let cross = written.cross.map(|cross| bytes(&cross, "cross.crt").map(CertificateDer::from));
        let generation = Self {
            active: pair(ROOTS[0], &written.active)?,
            standby: pair(ROOTS[1], &written.standby)?,
            issuing: pair(ISSUING, &written.issuing)?,
            cross: cross.transpose()?,
        };
        generation.whole(place)
    }
}

impl Material {
    /// Takes out what is sealed in a row. The seal fits this row and no other.
    pub(super) fn open(sealer: &Sealer, ca: &Ca) -> Result<Self, AuthorityError> {
        if ca.sealed.is_empty() {
            return Ok(Self::default());
        }
        let place = Path::new(PLACE);
        let plain = sealer.open(place, ca.context().as_bytes(), &ca.sealed)?;
        let all: All = serde_json::from_slice(&plain)
            .or(Err(FileProblem::Damaged("what is sealed in it is of another form").at(place)))?;
        Ok(Self {
            current: all.current.map(Generation::of).transpose()?,
            next: all.next.map(Generation::of).transpose()?,
        })
    }

    /// Seals it for a row.
    pub(super) fn seal(&self, sealer: &Sealer, ca: &Ca) -> Result<Vec<u8>, AuthorityError> {
        let written =
            |generation: &Option<Generation>| generation.as_ref().map(Generation::written).transpose();
        let all = All { current: written(&self.current)?, next: written(&self.next)? };
        let plain = serde_json::to_vec(&all).map(Zeroizing::new).expect("texts are JSON");
        Ok(sealer.seal(ca.context().as_bytes(), &plain)?)
    }
}

/// There is no generation of that place.
pub(super) fn lacking() -> AuthorityError {
    FileProblem::Damaged("it lacks the authority that it speaks of").at(Path::new(PLACE)).into()
}

/// What is there has the same revision and is not the same.
pub(super) fn other_history() -> AuthorityError {
    FileProblem::Damaged("it is not the one that this server knows by the same revision")
        .at(Path::new(PLACE))
        .into()
}
