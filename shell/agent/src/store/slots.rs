//! The two slots for a key and its certificate: what is in them, and which one counts.
//!
//! Reading changes nothing. What cannot be read is listed as [`Damage`], and gone around where the rest is enough: a key
//! without its certificate still signs, and where the key is lost, the other slot's is shown. Only where no key is left, that
//! is an error. What others can reach is one always.

use std::sync::Arc;

use jiff::Timestamp;
use muster_agent_core::{Life, Step};
use muster_model::KeyFingerprint;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::files::{Dir, corrupt};
use super::records::{Identity, RotationNote, Slot};
use super::{Damage, Enrolled, IDENTITY, ROTATION, read_json};
use crate::AgentError;
use crate::key::MachineKey;

/// What a machine has: the key that it shows, and what the other slot holds.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) present: Enrolled,
    pub(crate) spare: Option<Spare>,
    pub(crate) note: Option<RotationNote>,
    pub(crate) damage: Vec<Damage>,
    /// Whether the slot that `identity.json` names is lost, and the other one is shown.
    pub(crate) moved: bool,
}

/// A key in the other slot: the next one, or the one before.
#[derive(Debug, Clone)]
pub(crate) struct Spare {
    pub(crate) slot: Slot,
    pub(crate) key: Arc<MachineKey>,
    /// Empty where there is no certificate for it, or none that can be read.
    pub(crate) chain: Vec<CertificateDer<'static>>,
}

impl Slots {
    /// Whether nothing is left but a next key that was never certified: the server may not know it.
    pub(crate) fn is_untried(&self) -> bool {
        let is_asked_for =
            |note: &RotationNote| note.slot == self.present.identity.slot && note.credential.is_none();
        self.note.as_ref().is_some_and(is_asked_for) && self.present.chain.is_empty() && self.spare.is_none()
    }

    /// What comes next in a rotation that was under way.
    pub(crate) fn open(&self) -> Option<Step> {
        match (&self.note, &self.spare) {
            (Some(note), _) if note.slot == self.present.identity.slot => Some(Step::Confirm),
            (Some(_), Some(spare)) if !spare.chain.is_empty() => Some(Step::Use),
            (None, None) => None,
            _ => Some(Step::Ask),
        }
    }
}

impl Spare {
    /// The life of its certificate; one that is over where there is none.
    pub(crate) fn life(&self) -> Life {
        life_of(&self.chain)
    }

    /// The same machine by this key.
    pub(crate) fn shown(&self, identity: Identity, base: KeyFingerprint) -> Enrolled {
        Enrolled { identity, key: Arc::clone(&self.key), chain: self.chain.clone(), base }
    }
}

/// Reads both slots of a machine.
pub(super) fn load(dir: &Dir, identity: Identity) -> Result<Slots, AgentError> {
    if identity.trust.roots.is_empty() {
        return Err(corrupt(&dir.file(IDENTITY), "names nobody to trust"));
    }
    let mut damage = Vec::new();
    let note = tolerated(read_json::<RotationNote>(dir, ROTATION), ROTATION, &mut damage)?.flatten();
    let present = read(dir, identity.slot, &mut damage);
    let other = read(dir, identity.slot.other(), &mut damage);
    match (present, other) {
        (Err(error @ AgentError::Permissions { .. }), _)
        | (_, Err(error @ AgentError::Permissions { .. })) => Err(error),
        (Ok(present), other) => {
            if let Err(error) = &other
                && dir.exists(identity.slot.other().key_file())
            {
                damage.push(Damage::new(identity.slot.other().key_file(), error));
            }
            Ok(whole(identity, present, other.ok(), note, damage))
        }
        (Err(error), Ok(other)) if is_known(&other, note.as_ref()) => {
            damage.push(Damage::new(identity.slot.key_file(), &error));
            Ok(moved(identity, other, note, damage))
        }
        (Err(error), Err(other)) if dir.exists(identity.slot.other().key_file()) => Err(both(error, &other)),
        (Err(error), _) => Err(error),
    }
}

/// No key is left: both files are named.
fn both(error: AgentError, other: &AgentError) -> AgentError {
    match error {
        AgentError::Corrupt { path, reason, fix } => {
            AgentError::Corrupt { path, reason: format!("{reason}, and of the other slot, {other}"), fix }
        }
        error => error,
    }
}

/// Whether the server may know the key: its certificate is there, or one was asked for.
fn is_known(spare: &Spare, note: Option<&RotationNote>) -> bool {
    !spare.chain.is_empty() || note.is_some_and(|note| note.slot == spare.slot)
}

fn whole(
    mut identity: Identity,
    present: Spare,
    spare: Option<Spare>,
    note: Option<RotationNote>,
    damage: Vec<Damage>,
) -> Slots {
    let base = present.key.fingerprint();
    if present.chain.is_empty() {
        // Over by any clock, also where it was given out by one that is ahead.
        identity.life.not_after = Timestamp::UNIX_EPOCH;
    }
    // A proposal that another key vouches for is none of ours.
    let is_ours = |note: &RotationNote| note.slot == identity.slot || note.by == base.to_string();
    let note = note.filter(is_ours);
    Slots { present: present.shown(identity, base), spare, note, damage, moved: false }
}

/// The other slot's key is the present one: that of `identity.json` is lost.
fn moved(mut identity: Identity, spare: Spare, note: Option<RotationNote>, damage: Vec<Damage>) -> Slots {
    identity.slot = spare.slot;
    identity.life = spare.life();
    if let Some(note) = note.as_ref().filter(|note| note.slot == spare.slot) {
        identity.key_made_at = Some(note.begun_at);
        identity.credential = note.credential.clone().unwrap_or_default();
    }
    let base = spare.key.fingerprint();
    // What is left of the lost slot goes once this key has worked.
    let note = note.filter(|note| note.slot == spare.slot);
    Slots { present: spare.shown(identity, base), spare: None, note, damage, moved: true }
}

/// A slot: its key, and its certificate as far as it can be read.
fn read(dir: &Dir, slot: Slot, damage: &mut Vec<Damage>) -> Result<Spare, AgentError> {
    let key = load_key(dir, slot)?;
    let name = slot.certificate_file();
    let chain = tolerated(load_chain(dir, slot, &key), name, damage)?.flatten().unwrap_or_default();
    Ok(Spare { slot, key: Arc::new(key), chain })
}

/// A file that may be damaged: listed, and as if it were not there. One that others can reach is an error.
fn tolerated<T>(
    read: Result<T, AgentError>,
    name: &'static str,
    damage: &mut Vec<Damage>,
) -> Result<Option<T>, AgentError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error @ AgentError::Permissions { .. }) => Err(error),
        Err(error) => {
            damage.push(Damage::new(name, &error));
            Ok(None)
        }
    }
}

pub(super) fn load_key(dir: &Dir, slot: Slot) -> Result<MachineKey, AgentError> {
    let name = slot.key_file();
    let path = dir.file(name);
    let Some(pem) = dir.read(name)? else { return Err(corrupt(&path, "is missing")) };
    MachineKey::from_pem(&pem).map_err(|error| corrupt(&path, format!("is not a key ({error})")))
}

fn load_chain(
    dir: &Dir,
    slot: Slot,
    key: &MachineKey,
) -> Result<Option<Vec<CertificateDer<'static>>>, AgentError> {
    let name = slot.certificate_file();
    let path = dir.file(name);
    let Some(pem) = dir.read(name)? else { return Ok(None) };
    let chain = parse_chain(&pem).map_err(|reason| corrupt(&path, reason))?;
    match is_for(&chain, key) {
        true => Ok(Some(chain)),
        false => Err(corrupt(&path, "is not for the key beside it")),
    }
}

/// Reads a chain, or says what is wrong with it.
pub(crate) fn parse_chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("holds no certificate".into()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("is not a certificate ({error})")),
    }
}

/// Whether the first certificate is for the key.
pub(crate) fn is_for(chain: &[CertificateDer<'_>], key: &MachineKey) -> bool {
    chain.first().and_then(crate::net::trust::key_hash).is_some_and(|hash| hash == key.fingerprint().0)
}

/// The life of a certificate, as it says itself.
fn life_of(chain: &[CertificateDer<'_>]) -> Life {
    let over = Life { not_before: Timestamp::UNIX_EPOCH, not_after: Timestamp::UNIX_EPOCH };
    let Some((_, parsed)) = chain.first().and_then(|first| X509Certificate::from_der(first).ok()) else {
        return over;
    };
    let at = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp());
    match (at(parsed.validity().not_before), at(parsed.validity().not_after)) {
        (Ok(not_before), Ok(not_after)) => Life { not_before, not_after },
        _ => over,
    }
}
