//! A server's data directory: the authority, the pepper, the database, and the lock that keeps a second server out.
//!
//! Made in an order that a crash at any point leaves either nothing that counts or everything: the database comes
//! last, and a directory that had a database is never founded again. What is missing or damaged in a founded directory is
//! named with its path and its fix; it is never made anew, because an empty registry would disown the fleet.

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use muster_app::Ports;
use muster_issuer::authority::Authority;
use muster_issuer::seal::SEAL_FILE;
use muster_issuer::{AuthorityError, FileError, NewAuthority, SealKey, TrustDomain, files};
use muster_model::Pepper;
use muster_store_sqlite::{OpenError, SqliteStore};
use zeroize::Zeroizing;

use super::SystemPorts;
use crate::failure::{Exit, Failure, Result};

const CREDENTIAL: &str = "muster-seal-key";
/// Stands beside a database from its first day on, so that one that is gone is missed.
const FOUNDED: &str = "founded";
const FOUNDED_TEXT: &[u8] = b"This directory has a database: muster.db. Without it nothing starts here.\n";

/// A data directory that this process alone works in.
pub(crate) struct Home {
    /// The directory.
    pub(crate) dir: PathBuf,
    /// Who certifies.
    pub(crate) authority: Authority,
    /// Hashes secrets.
    pub(crate) pepper: Pepper,
    /// Where everything is kept.
    pub(crate) store: SqliteStore,
    /// Keeps a second server out; goes with the process.
    pub(crate) lock: File,
}

impl Home {
    /// Opens a founded directory, or founds one where there is nothing.
    pub(crate) fn open(dir: &Path, trust_domain: Option<&str>) -> Result<Self> {
        directory(dir)?;
        let lock = lock(dir)?;
        let database = dir.join("muster.db");
        let is_new = !database.exists();
        let founded = dir.join(FOUNDED);
        if is_new && founded.exists() {
            return Err(lost(&database));
        }
        let authority = authority(&dir.join("ca"), is_new, trust_domain)?;
        let pepper = pepper(&dir.join("pepper"), is_new)?;
        let store = match is_new {
            true => SqliteStore::create(&database),
            false => SqliteStore::open(&database),
        };
        let store = store.map_err(|error| unopened(&error))?;
        if is_new {
            tracing::info!(dir = %dir.display(), "a new deployment was founded");
        }
        if !founded.exists() {
            files::write_new(&founded, FOUNDED_TEXT).map_err(unusable)?;
        }
        Ok(Self { dir: dir.to_owned(), authority, pepper, store, lock })
    }
}

/// Whether a start would take the files of a directory as they are. Makes and changes nothing, and takes no lock; the
/// database is left to whoever may open it.
pub(crate) fn inspect(dir: &Path) -> Result {
    let database = dir.join("muster.db");
    let is_new = !database.exists();
    if is_new && dir.join(FOUNDED).exists() {
        return Err(lost(&database));
    }
    let (ca, secret) = (dir.join("ca"), dir.join("pepper"));
    if !is_new || ca.exists() {
        authority(&ca, is_new, None)?;
    }
    if !is_new || secret.exists() {
        pepper(&secret, is_new)?;
    }
    Ok(())
}

/// Whether the authority's keys are sealed under a key that is neither beside them nor given to this process.
pub(crate) fn is_sealed_elsewhere(dir: &Path) -> bool {
    let ca = dir.join("ca");
    ca.is_dir() && !ca.join(SEAL_FILE).exists() && matches!(seal_key(), Ok(SealKey::Beside))
}

/// Makes the directory, or takes one that is there: one with something in it only as it must be.
fn directory(dir: &Path) -> Result {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Config, format!("{} cannot be made", dir.display())).because(&error)
    };
    if !dir.exists() {
        if let Some(parent) = dir.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        return files::make_dir(dir).map_err(unusable);
    }
    let is_empty = std::fs::read_dir(dir).map_err(failed)?.next().is_none();
    if is_empty {
        std::fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(failed)?;
    }
    files::check_dir(dir).map_err(unusable)
}

/// Opens the authority. One that a founding left behind before it had a database is taken as it is.
fn authority(dir: &Path, is_new: bool, trust_domain: Option<&str>) -> Result<Authority> {
    let seal = seal_key()?;
    if !is_new || dir.exists() {
        return Authority::open(dir, &seal).map_err(|error| no_authority(&error));
    }
    let trust_domain: TrustDomain = match trust_domain {
        Some(given) => given.parse().map_err(|error| {
            Failure::new(Exit::Config, format!("{given:?} is not a trust domain")).because(&error)
        })?,
        None => own_trust_domain(),
    };
    let new = NewAuthority { trust_domain, now: SystemPorts.now() };
    Authority::create(dir, &seal, &new).map_err(|error| no_authority(&error))
}

/// A trust domain nobody else has: two deployments must never take each other's machines for their own.
fn own_trust_domain() -> TrustDomain {
    let random: [u8; 10] = (&SystemPorts as &dyn Ports).random();
    let name = data_encoding::BASE32HEX_NOPAD.encode(&random).to_lowercase();
    format!("{name}.muster.internal").parse().expect("letters, digits and dots are a trust domain")
}

/// The key that seals the authority's files: from the service manager where it gives one, else beside them.
fn seal_key() -> Result<SealKey> {
    let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(SealKey::Beside) };
    let path = Path::new(&directory).join(CREDENTIAL);
    if !path.exists() {
        return Ok(SealKey::Beside);
    }
    let wrong = || {
        Failure::new(Exit::Config, format!("{} is not a seal key", path.display()))
            .hint("it must hold exactly 32 random bytes: head -c 32 /dev/urandom")
    };
    let bytes = std::fs::read(&path).map(Zeroizing::new).map_err(|error| wrong().because(&error))?;
    let key: [u8; 32] = bytes.as_slice().try_into().or(Err(wrong()))?;
    Ok(SealKey::Given(Zeroizing::new(key)))
}

fn pepper(path: &Path, is_new: bool) -> Result<Pepper> {
    if is_new && !path.exists() {
        let bytes: [u8; 32] = (&SystemPorts as &dyn Ports).random();
        files::write_new(path, &bytes).map_err(unusable)?;
        return Ok(Pepper::new(bytes));
    }
    let bytes = files::read(path).map_err(unusable)?;
    let bytes: [u8; 32] = bytes.as_slice().try_into().or(Err({
        Failure::new(Exit::Config, format!("{} does not hold 32 bytes", path.display()))
            .hint("restore it from a backup: without it no token or bearer key can be checked")
    }))?;
    Ok(Pepper::new(bytes))
}

/// One server in a directory. The lock goes with the process, whatever ends it.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("muster.lock");
    let failed = |error: &std::io::Error| {
        Failure::new(Exit::Config, format!("{} cannot be locked", path.display())).because(error)
    };
    let file = File::options().create(true).write(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::new(Exit::Conflict, format!("a server runs in {} already", dir.display()))
                .hint("ask it with `muster status`, or give another directory with --data-dir"))
        }
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}

fn unusable(error: FileError) -> Failure {
    let fix = error.problem.fix();
    Failure::new(Exit::Config, format!("{} {}", error.path.display(), error.problem)).hint(fix)
}

fn no_authority(error: &AuthorityError) -> Failure {
    Failure::new(Exit::Config, "the certificate authority cannot be used").because(error)
}

/// An empty registry in the place of a lost one would disown every machine.
fn lost(database: &Path) -> Failure {
    Failure::new(Exit::Config, format!("{} is missing", database.display()))
        .cause("this directory was founded with a database, and it is never made anew by itself")
        .hint("restore it from a backup, or begin elsewhere with --data-dir")
}

fn unopened(error: &OpenError) -> Failure {
    Failure::new(Exit::Config, "the database cannot be used").because(error)
}
