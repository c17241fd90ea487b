//! The credential store: a directory with a key, a certificate and what is known about them.
//!
//! Invariants: a key is durable before it is spoken of; `identity.json` is written last at enrolling, makes the machine
//! enrolled, and names the slot whose key counts; `ended.json` is written first at ending. Damage that leaves no key stops
//! the agent with its path, the reason and the fix, it never leads to a new enrollment by itself (Q-14, design §6).

pub(crate) mod files;
#[cfg(test)]
pub(crate) mod fuse;
pub(crate) mod records;
mod rotation;
pub(crate) mod slots;
#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use muster_agent_core::Ending;
use muster_model::KeyFingerprint;
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::AgentError;
use crate::key::MachineKey;
pub use files::repair_permissions;
use files::{Dir, corrupt};
use records::{EndedNote, Identity, Pending, Slot};
use slots::{Slots, load_key};

const LOCK: &str = "agent.lock";
const IDENTITY: &str = "identity.json";
const ROTATION: &str = "rotation.json";
const PENDING: &str = "pending.json";
const ENDED: &str = "ended.json";
/// How files of an identity that is over are called.
const RETIRED: &str = "retired";
pub(crate) const STATUS: &str = "status.json";

/// A store that this process alone uses.
#[derive(Debug)]
pub(crate) struct Store {
    dir: Dir,
    _lock: File,
}

/// What a store holds.
#[derive(Debug)]
pub(crate) enum Found {
    /// No enrollment was ever begun.
    Nothing,
    /// An enrollment is under way.
    Pending(Box<Pending>, Arc<MachineKey>),
    /// A machine.
    Enrolled(Box<Slots>),
    /// An identity that is over.
    Ended(EndedNote),
}

/// A machine, with everything it needs to show who it is.
#[derive(Debug, Clone)]
pub(crate) struct Enrolled {
    pub(crate) identity: Identity,
    pub(crate) key: Arc<MachineKey>,
    /// Empty where its certificate is lost.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The key in the durable slot, which is another one until a rotation is noted.
    pub(crate) base: KeyFingerprint,
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) name: &'static str,
    pub(crate) what: String,
}

impl Damage {
    fn new(name: &'static str, error: &AgentError) -> Self {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self { name, what: format!("{error}{cause}") }
    }
}

impl Store {
    /// Opens the store and keeps every other agent out of it.
    pub(crate) fn open(path: &Path) -> Result<Self, AgentError> {
        let dir = Dir::create(path)?;
        let lock = open_lock(&dir)?;
        // `status` holds the lock for an instant; an agent holds it for good.
        for _ in 0..1000 {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { dir, _lock: lock }),
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
                Err(TryLockError::Error(source)) => {
                    return Err(AgentError::Unreadable { path: dir.file(LOCK), source });
                }
            }
        }
        Err(AgentError::InUse { dir: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn load(&self) -> Result<Found, AgentError> {
        load(&self.dir)
    }

    /// Sets what is damaged aside, and notes which slot counts where that is another one now. Where the disk refuses, the
    /// agent goes on with what it could read. Where it is not known yet whether that is enough, everything stays where a
    /// person can put it right.
    pub(crate) fn put_right(&self, slots: &Slots, now: Timestamp) {
        if slots.is_untried() {
            for damage in &slots.damage {
                tracing::error!(file = damage.name, "{}", damage.what);
            }
            return;
        }
        let noted = || match slots.moved {
            true => self.save_standing(&slots.present.identity),
            false => Ok(()),
        };
        if let Err(error) = noted().and_then(|()| self.mend(&slots.damage, now)) {
            tracing::error!(%error, "what is damaged cannot be set aside");
        }
    }

    /// Makes a key durable. Only ever called where there is none that is spoken of.
    pub(crate) fn save_key(&self, key: &MachineKey, now: Timestamp) -> Result<(), AgentError> {
        let name = Slot::A.key_file();
        if self.dir.exists(name) {
            // Left by a start that ended before its first request.
            self.dir.set_aside(name, RETIRED, now.as_second())?;
        }
        self.dir.write(name, &key.to_pem())
    }

    pub(crate) fn save_pending(&self, pending: &Pending) -> Result<(), AgentError> {
        self.write_json(PENDING, pending)
    }

    /// Makes an identity durable: certificate first, then the file that says so.
    pub(crate) fn save_identity(&self, identity: &Identity, certificate: &str) -> Result<(), AgentError> {
        self.dir.write(identity.slot.certificate_file(), certificate)?;
        self.write_json(IDENTITY, identity)?;
        self.dir.remove(PENDING)
    }

    pub(crate) fn save_standing(&self, identity: &Identity) -> Result<(), AgentError> {
        self.write_json(IDENTITY, identity)
    }

    pub(crate) fn save_status(&self, status: &impl Serialize) -> Result<(), AgentError> {
        self.write_json(STATUS, status)
    }

    /// Notes the end first, then sets the files of an identity aside. A rejected enrollment keeps its files.
    pub(crate) fn end(&self, ending: &Ending, mut note: EndedNote) -> Result<(), AgentError> {
        if let Ok(Found::Enrolled(slots)) = self.load() {
            note.machine = Some(slots.present.identity.machine.id);
            note.url = Some(slots.present.identity.url);
        }
        self.write_json(ENDED, &note)?;
        match ending {
            Ending::Rejected { .. } => Ok(()),
            _ => self.set_aside(note.at),
        }
    }

    /// Sets everything aside and forgets the end, so that the machine may enroll anew.
    pub(crate) fn reset(&self, now: Timestamp) -> Result<(), AgentError> {
        self.set_aside(now)?;
        self.dir.set_aside(ENDED, RETIRED, now.as_second())
    }

    pub(crate) fn set_aside(&self, now: Timestamp) -> Result<(), AgentError> {
        let stamp = now.as_second();
        for name in [IDENTITY, PENDING, ROTATION] {
            self.dir.set_aside(name, RETIRED, stamp)?;
        }
        for slot in [Slot::A, Slot::B] {
            self.dir.set_aside(slot.certificate_file(), RETIRED, stamp)?;
            self.dir.set_aside(slot.key_file(), RETIRED, stamp)?;
        }
        Ok(())
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), AgentError> {
        let mut text = serde_json::to_string_pretty(value).expect("our own records are always JSON");
        text.push('\n');
        self.dir.write(name, &text)
    }
}

/// Reads a store without keeping anybody out, for `status`.
pub(crate) fn peek(path: &Path) -> Result<Option<(Dir, Found)>, AgentError> {
    let Some(dir) = Dir::open(path)? else { return Ok(None) };
    let found = load(&dir)?;
    Ok(Some((dir, found)))
}

/// Whether an agent holds the store's lock.
pub(crate) fn is_in_use(dir: &Dir) -> bool {
    dir.exists(LOCK)
        && open_lock(dir).is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

pub(crate) fn read_json<T: DeserializeOwned>(dir: &Dir, name: &str) -> Result<Option<T>, AgentError> {
    let Some(text) = dir.read(name)? else { return Ok(None) };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| corrupt(&dir.file(name), format!("is damaged or of another version ({error})")))
}

fn open_lock(dir: &Dir) -> Result<File, AgentError> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = dir.file(LOCK);
    // Never replaced: two agents must meet on one and the same file.
    let mut options = File::options();
    let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    opened.map_err(|source| AgentError::Unreadable { path, source })
}

fn load(dir: &Dir) -> Result<Found, AgentError> {
    if let Some(note) = read_json(dir, ENDED)? {
        return Ok(Found::Ended(note));
    }
    if let Some(identity) = read_json::<Identity>(dir, IDENTITY)? {
        return slots::load(dir, identity).map(|slots| Found::Enrolled(Box::new(slots)));
    }
    if let Some(pending) = read_json::<Pending>(dir, PENDING)? {
        return Ok(Found::Pending(Box::new(pending), Arc::new(load_key(dir, Slot::A)?)));
    }
    if [Slot::A, Slot::B].iter().any(|slot| dir.exists(slot.certificate_file())) {
        let reason = "is missing, although there is a certificate";
        return Err(corrupt(&dir.file(IDENTITY), reason));
    }
    Ok(Found::Nothing)
}
