//! The credential store: a directory with a key, a certificate and what is known about them.
//!
//! Invariants: a key is durable before it is spoken of; `identity.json` is written last at enrolling and makes the
//! machine enrolled; `ended.json` is written first at ending. A file that is damaged stops the agent with its path,
//! the reason and the fix, it never leads to a new enrollment by itself (Q-14, design §6).

pub(crate) mod files;
pub(crate) mod records;
#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use muster_agent_core::Ending;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::AgentError;
use crate::key::MachineKey;
pub use files::repair_permissions;
use files::{Dir, corrupt};
use records::{EndedNote, Identity, Pending, Slot};

const LOCK: &str = "agent.lock";
const IDENTITY: &str = "identity.json";
const PENDING: &str = "pending.json";
const ENDED: &str = "ended.json";
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
    Enrolled(Box<Enrolled>),
    /// An identity that is over.
    Ended(EndedNote),
}

/// A machine, with everything it needs to show who it is.
#[derive(Debug, Clone)]
pub(crate) struct Enrolled {
    pub(crate) identity: Identity,
    pub(crate) key: Arc<MachineKey>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
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

    /// Makes a key durable. Only ever called where there is none that is spoken of.
    pub(crate) fn save_key(&self, key: &MachineKey, now: Timestamp) -> Result<(), AgentError> {
        let name = Slot::A.key_file();
        if self.dir.exists(name) {
            // Left by a start that ended before its first request.
            self.dir.set_aside(name, now.as_second())?;
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
        self.dir.remove_note(PENDING)
    }

    pub(crate) fn save_standing(&self, identity: &Identity) -> Result<(), AgentError> {
        self.write_json(IDENTITY, identity)
    }

    pub(crate) fn save_status(&self, status: &impl Serialize) -> Result<(), AgentError> {
        self.write_json(STATUS, status)
    }

    /// Notes the end first, then sets the files of an identity aside. A rejected enrollment keeps its files.
    pub(crate) fn end(&self, ending: &Ending, mut note: EndedNote) -> Result<(), AgentError> {
        if let Ok(Found::Enrolled(enrolled)) = self.load() {
            note.machine = Some(enrolled.identity.machine.id);
            note.url = Some(enrolled.identity.url);
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
        self.dir.set_aside(ENDED, now.as_second())
    }

    pub(crate) fn set_aside(&self, now: Timestamp) -> Result<(), AgentError> {
        let stamp = now.as_second();
        self.dir.set_aside(IDENTITY, stamp)?;
        self.dir.set_aside(PENDING, stamp)?;
        for slot in [Slot::A, Slot::B] {
            self.dir.set_aside(slot.certificate_file(), stamp)?;
            self.dir.set_aside(slot.key_file(), stamp)?;
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
        return load_enrolled(dir, identity).map(|enrolled| Found::Enrolled(Box::new(enrolled)));
    }
    if let Some(pending) = read_json::<Pending>(dir, PENDING)? {
        return Ok(Found::Pending(Box::new(pending), Arc::new(load_key(dir, Slot::A)?)));
    }
    if dir.exists(Slot::A.certificate_file()) {
        let reason = "is missing, although there is a certificate";
        return Err(corrupt(&dir.file(IDENTITY), reason));
    }
    Ok(Found::Nothing)
}

fn load_enrolled(dir: &Dir, identity: Identity) -> Result<Enrolled, AgentError> {
    let key = load_key(dir, identity.slot)?;
    let name = identity.slot.certificate_file();
    let path = dir.file(name);
    let Some(pem) = dir.read(name)? else { return Err(corrupt(&path, "is missing")) };
    let chain = parse_chain(&pem).map_err(|reason| corrupt(&path, reason))?;
    if !is_for(&chain, &key) {
        return Err(corrupt(&path, "is not for the key beside it"));
    }
    if identity.trust.roots.is_empty() {
        return Err(corrupt(&dir.file(IDENTITY), "names nobody to trust"));
    }
    Ok(Enrolled { identity, key: Arc::new(key), chain })
}

fn load_key(dir: &Dir, slot: Slot) -> Result<MachineKey, AgentError> {
    let name = slot.key_file();
    let path = dir.file(name);
    let Some(pem) = dir.read(name)? else { return Err(corrupt(&path, "is missing")) };
    MachineKey::from_pem(&pem).map_err(|error| corrupt(&path, format!("is not a key ({error})")))
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
