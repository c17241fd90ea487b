//! The two slots of a simulated machine, read as the real agent reads them: what is damaged is gone around where the rest
//! is enough, and what is lost gives way to the other slot.

use std::sync::Arc;

use jiff::Timestamp;
use muster_agent_core::{Life, Step};
use muster_issuer::{MachineIdentity, TrustDomain};
use muster_model::KeyFingerprint;
use muster_testkit::world::Device;

use super::disk::{Disk, DiskError, Identity, ROTATION, RotationNote, Slot};

/// A key in a slot, with its certificate; empty where there is none that can be read.
#[derive(Clone)]
pub(super) struct Spare {
    pub(super) slot: Slot,
    pub(super) device: Arc<Device>,
    pub(super) certificate: Vec<u8>,
}

/// The slot that is not shown.
#[derive(Clone, Default)]
pub(super) struct Other {
    pub(super) spare: Option<Spare>,
    pub(super) note: Option<RotationNote>,
}

/// A machine by the key that it shows.
#[derive(Clone)]
pub(super) struct Enrolled {
    pub(super) identity: Identity,
    pub(super) device: Arc<Device>,
    pub(super) certificate: Vec<u8>,
    /// The key that a restart would wake up with.
    pub(super) base: KeyFingerprint,
}

/// What a start finds.
pub(super) struct Found {
    pub(super) enrolled: Enrolled,
    pub(super) other: Other,
    /// Files that are to be set aside.
    pub(super) damage: Vec<&'static str>,
    /// Whether the slot of `identity.json` is lost, and the other one is shown.
    pub(super) moved: bool,
    /// What comes next in a rotation that was under way.
    pub(super) open: Option<Step>,
    /// Whether nothing is left but a next key that was never certified.
    pub(super) untried: bool,
}

impl Other {
    /// The next key, where it is one that is still to take its place.
    pub(super) fn next(&self, identity: &Identity) -> Option<(&Spare, &RotationNote)> {
        let (spare, note) = self.spare.as_ref().zip(self.note.as_ref())?;
        (spare.slot == note.slot && note.slot != identity.slot).then_some((spare, note))
    }

    fn open(&self, present: Slot) -> Option<Step> {
        match (&self.note, &self.spare) {
            (Some(note), _) if note.slot == present => Some(Step::Confirm),
            (Some(_), Some(spare)) if !spare.certificate.is_empty() => Some(Step::Use),
            (None, None) => None,
            _ => Some(Step::Ask),
        }
    }
}

/// The life of a certificate; one that is over where there is none.
pub(super) fn life_of(certificate: &[u8], trust_domain: &TrustDomain) -> Life {
    match MachineIdentity::from_certificate(certificate, trust_domain) {
        Ok(identity) => Life { not_before: identity.not_before, not_after: identity.not_after },
        Err(_) => Life { not_before: Timestamp::UNIX_EPOCH, not_after: Timestamp::UNIX_EPOCH },
    }
}

/// Reads both slots.
pub(super) fn load(
    disk: &Disk,
    name: &str,
    identity: Identity,
    trust_domain: &TrustDomain,
) -> Result<Found, DiskError> {
    let mut damage = Vec::new();
    let note = tolerated(disk.rotation(), ROTATION, &mut damage)?.flatten().cloned();
    let present = read(disk, name, identity.slot, &mut damage);
    let other = read(disk, name, identity.slot.other(), &mut damage);
    match (present, other) {
        (Err(DiskError::Permissions), _) | (_, Err(DiskError::Permissions)) => Err(DiskError::Permissions),
        (Ok(present), other) => {
            let file = identity.slot.other().key_file();
            if other.is_err() && disk.exists(file) {
                damage.push(file);
            }
            Ok(whole(identity, present, other.ok(), note, damage))
        }
        (Err(_), Ok(other)) if is_known(&other, note.as_ref()) => {
            damage.push(identity.slot.key_file());
            Ok(moved(identity, other, note, damage, trust_domain))
        }
        (Err(error), _) => Err(error),
    }
}

fn is_known(spare: &Spare, note: Option<&RotationNote>) -> bool {
    !spare.certificate.is_empty() || note.is_some_and(|note| note.slot == spare.slot)
}

fn whole(
    mut identity: Identity,
    present: Spare,
    spare: Option<Spare>,
    note: Option<RotationNote>,
    damage: Vec<&'static str>,
) -> Found {
    let base = present.device.fingerprint();
    if present.certificate.is_empty() {
        // Over by any clock, also where it was given out by one that is ahead.
        identity.life.not_after = Timestamp::UNIX_EPOCH;
    }
    let note = note.filter(|note| note.slot == identity.slot || note.by == base);
    found(identity, present, Other { spare, note }, damage, false)
}

fn moved(
    mut identity: Identity,
    spare: Spare,
    note: Option<RotationNote>,
    damage: Vec<&'static str>,
    trust_domain: &TrustDomain,
) -> Found {
    let note = note.filter(|note| note.slot == spare.slot);
    identity.slot = spare.slot;
    identity.life = life_of(&spare.certificate, trust_domain);
    if let Some(note) = &note {
        identity.key_made_at = note.begun_at;
    }
    found(identity, spare, Other { spare: None, note }, damage, true)
}

fn found(identity: Identity, shown: Spare, other: Other, damage: Vec<&'static str>, moved: bool) -> Found {
    let open = other.open(identity.slot);
    let base = shown.device.fingerprint();
    let is_next = other.note.as_ref().is_some_and(|note| note.slot == identity.slot && !note.certified);
    let untried = is_next && shown.certificate.is_empty() && other.spare.is_none();
    let enrolled = Enrolled { identity, device: shown.device, certificate: shown.certificate, base };
    Found { enrolled, other, damage, moved, open, untried }
}

fn read(disk: &Disk, name: &str, slot: Slot, damage: &mut Vec<&'static str>) -> Result<Spare, DiskError> {
    disk.read(slot.key_file())?;
    let seed = disk.key(slot).ok_or(DiskError::Corrupt)?;
    let device = Arc::new(Device::seeded(seed, name));
    let file = slot.certificate_file();
    let certificate = tolerated(disk.certificate(slot), file, damage)?.flatten();
    let certificate = match certificate {
        Some((der, key)) if key == device.fingerprint() => der.clone(),
        Some(_) => {
            damage.push(file);
            Vec::new()
        }
        None => Vec::new(),
    };
    Ok(Spare { slot, device, certificate })
}

/// A file that may be damaged: listed, and as if it were not there.
fn tolerated<T>(
    read: Result<T, DiskError>,
    name: &'static str,
    damage: &mut Vec<&'static str>,
) -> Result<Option<T>, DiskError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(DiskError::Permissions) => Err(DiskError::Permissions),
        Err(DiskError::Corrupt | DiskError::Write) => {
            damage.push(name);
            Ok(None)
        }
    }
}
