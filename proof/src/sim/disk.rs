//! The disk of a simulated machine: files that are replaced whole or not at all, and what a disk can do instead.
//!
//! Their names and what is in them are those of the real agent, its two slots for a key among them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_agent_core::{Life, Standing};
use muster_model::KeyFingerprint;
use muster_wire::enroll::EnrollRequest;
use muster_wire::rotate::RotateRequest;

pub(super) const ROTATION: &str = "rotation.json";
pub(super) const PENDING: &str = "pending.json";
pub(super) const IDENTITY: &str = "identity.json";
pub(super) const ENDED: &str = "ended.json";

/// What is in a file.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Key([u8; 32]),
    Certificate(Vec<u8>, KeyFingerprint),
    Pending(Box<Pending>),
    Identity(Identity),
    Rotation(Box<RotationNote>),
    /// Why.
    Ended(String),
    /// Nothing that can be read.
    Garbage,
}

/// An enrollment under way.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// What is asked, without the secret.
    pub(super) request: EnrollRequest,
    /// Which token is spent; nothing where none is.
    pub(super) token: Option<String>,
    pub(super) hold: Option<(String, u32)>,
}

/// Who this machine is.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) machine: String,
    pub(super) life: Life,
    pub(super) standing: Standing,
    pub(super) renewed: bool,
    /// The slot whose key counts.
    pub(super) slot: Slot,
    pub(super) key_made_at: Timestamp,
}

/// A place for a key and its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    A,
    B,
}

/// A rotation under way.
#[derive(Debug, Clone)]
pub(super) struct RotationNote {
    /// Where the next key is.
    pub(super) slot: Slot,
    pub(super) begun_at: Timestamp,
    /// The key that vouches.
    pub(super) by: KeyFingerprint,
    pub(super) request: RotateRequest,
    /// Whether its certificate was stored once.
    pub(super) certified: bool,
}

impl Slot {
    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(super) fn key_file(self) -> &'static str {
        match self {
            Self::A => "key-a.pem",
            Self::B => "key-b.pem",
        }
    }

    pub(super) fn certificate_file(self) -> &'static str {
        match self {
            Self::A => "certificate-a.pem",
            Self::B => "certificate-b.pem",
        }
    }
}

/// Every file of an identity, in the order in which they are set aside.
pub(super) const FILES: [&str; 7] =
    [IDENTITY, PENDING, ROTATION, "certificate-a.pem", "key-a.pem", "certificate-b.pem", "key-b.pem"];

/// Why the disk did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiskError {
    /// It refused to write; what was there is still there.
    Write,
    /// Others can reach the file.
    Permissions,
    /// The file is damaged, or missing beside one that needs it.
    Corrupt,
}

#[derive(Debug, Clone)]
struct File {
    content: Content,
    open_to_others: bool,
    /// What was in it before it was damaged, for whoever puts it right.
    intact: Option<Content>,
}

/// The agent's directory.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    files: BTreeMap<&'static str, File>,
    modes_ignored: bool,
    /// Names of files that were set aside.
    pub(super) aside: Vec<String>,
}

impl Disk {
    pub(super) fn exists(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.files.keys().copied()
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<&Content>, DiskError> {
        match self.files.get(name) {
            None => Ok(None),
            Some(file) if file.open_to_others && !self.modes_ignored => Err(DiskError::Permissions),
            Some(File { content: Content::Garbage, .. }) => Err(DiskError::Corrupt),
            Some(file) => Ok(Some(&file.content)),
        }
    }

    /// Replaces a file, whole.
    pub(super) fn write(&mut self, name: &'static str, content: Content) -> Result<(), DiskError> {
        if self.files.get(name).is_some_and(|file| file.open_to_others) && !self.modes_ignored {
            return Err(DiskError::Permissions);
        }
        self.files.insert(name, File { content, open_to_others: false, intact: None });
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.files.remove(name);
    }

    /// Renames it; nothing is ever deleted.
    pub(super) fn set_aside(&mut self, name: &str) {
        if self.files.remove(name).is_some() {
            self.aside.push(name.to_owned());
        }
    }

    /// Whether somebody damaged a file.
    pub(super) fn is_damaged(&self) -> bool {
        self.files.values().any(|file| file.intact.is_some())
    }

    /// Whether others can reach a file that a start reads.
    pub(super) fn is_exposed(&self) -> bool {
        let pending = [PENDING, Slot::A.key_file()];
        // Of a slot without a key nobody reads the certificate.
        let enrolled = [IDENTITY, ROTATION, Slot::A.key_file(), Slot::B.key_file()];
        let read: &[&str] = if self.exists(IDENTITY) { &enrolled } else { &pending };
        read.iter().any(|name| self.files.get(name).is_some_and(|file| file.open_to_others))
    }

    /// Reads whatever its modes are, as a planted mistake does.
    pub(super) fn ignore_modes(&mut self) {
        self.modes_ignored = true;
    }

    /// Half a file, as a write in place leaves it behind.
    pub(super) fn tear(&mut self, name: &'static str) {
        self.files.insert(name, File { content: Content::Garbage, open_to_others: false, intact: None });
    }

    /// Damages a file.
    pub(super) fn garble(&mut self, name: &str) {
        if let Some(file) = self.files.get_mut(name)
            && file.intact.is_none()
        {
            file.intact = Some(std::mem::replace(&mut file.content, Content::Garbage));
        }
    }

    /// Lets others reach a file.
    pub(super) fn expose(&mut self, name: &str) {
        if let Some(file) = self.files.get_mut(name) {
            file.open_to_others = true;
        }
    }

    /// Whoever runs the machine puts it right: from a backup, and with the modes that are demanded.
    pub(super) fn repair(&mut self) {
        for file in self.files.values_mut() {
            file.open_to_others = false;
            if let Some(intact) = file.intact.take() {
                file.content = intact;
            }
        }
    }

    /// The seed of the key in a slot; nothing where it cannot be read.
    pub(super) fn key(&self, slot: Slot) -> Option<[u8; 32]> {
        match self.read(slot.key_file()) {
            Ok(Some(Content::Key(seed))) => Some(*seed),
            _ => None,
        }
    }

    pub(super) fn rotation(&self) -> Result<Option<&RotationNote>, DiskError> {
        match self.read(ROTATION)? {
            Some(Content::Rotation(note)) => Ok(Some(note)),
            Some(_) => Err(DiskError::Corrupt),
            None => Ok(None),
        }
    }

    pub(super) fn pending(&self) -> Result<Option<&Pending>, DiskError> {
        match self.read(PENDING)? {
            Some(Content::Pending(pending)) => Ok(Some(pending)),
            Some(_) => Err(DiskError::Corrupt),
            None => Ok(None),
        }
    }

    pub(super) fn identity(&self) -> Result<Option<&Identity>, DiskError> {
        match self.read(IDENTITY)? {
            Some(Content::Identity(identity)) => Ok(Some(identity)),
            Some(_) => Err(DiskError::Corrupt),
            None => Ok(None),
        }
    }

    pub(super) fn certificate(&self, slot: Slot) -> Result<Option<(&Vec<u8>, KeyFingerprint)>, DiskError> {
        match self.read(slot.certificate_file())? {
            Some(Content::Certificate(der, key)) => Ok(Some((der, *key))),
            Some(_) => Err(DiskError::Corrupt),
            None => Ok(None),
        }
    }
}
