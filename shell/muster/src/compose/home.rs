//! A server's data directory: the authority, the pepper, the note of what it belongs to, and the lock that keeps a second
//! server out.
//!
//! Founded in an order that a crash at any point leaves either nothing that counts or everything: first the authority and
//! the pepper, then the database, then the deployment in it, and last the note. Directory and database know each other:
//! the note names the deployment, and the deployment has a proof by the pepper. What is missing, damaged or somebody
//! else's is named with its fix; it is never made anew, because an empty registry would disown the fleet.

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use muster_app::{FoundError, Ports};
use muster_issuer::authority::Authority;
use muster_issuer::seal::SEAL_FILE;
use muster_issuer::{AuthorityError, FileError, NewAuthority, SealKey, TrustDomain, files};
use muster_model::{DeploymentId, Pepper};
use muster_store::{Store, StoreError, Unscoped};
use muster_store_postgres::{Found, OpenError, PostgresStore, Settings, probe};
use muster_store_sqlite::SqliteStore;
use zeroize::Zeroizing;

use super::database::{self, Place};
use super::founded::{Founded, Kind};
use super::store::AnyStore;
use super::{SystemPorts, moving};
use crate::config::Config;
use crate::failure::{Exit, Failure, Result};

const CREDENTIAL: &str = "muster-seal-key";

/// A data directory that this process alone works in.
pub(crate) struct Home {
    /// The directory.
    pub(crate) dir: PathBuf,
    /// Who certifies.
    pub(crate) authority: Authority,
    /// Hashes secrets.
    pub(crate) pepper: Pepper,
    /// Where everything is kept.
    pub(crate) store: AnyStore,
    /// Keeps a second server out; goes with the process.
    pub(crate) lock: File,
    /// What the directory said of itself before this start.
    founded: Option<Founded>,
    kind: Kind,
}

impl Home {
    /// Opens a founded directory, or founds one where there is nothing.
    pub(crate) async fn open(dir: &Path, config: &Config) -> Result<Self> {
        directory(dir)?;
        let lock = lock(dir)?;
        let place = Place::of(dir, &config.database)?;
        let founded = Founded::read(dir)?;
        let is_new = is_new(dir, &place, founded.as_ref()).await?;
        let authority = authority(&dir.join("ca"), is_new, config.server.trust_domain.as_deref())?;
        let pepper = pepper(&dir.join("pepper"), is_new)?;
        let store = opened(&place, is_new).await?;
        let home = Self { dir: dir.to_owned(), authority, pepper, store, lock, founded, kind: place.kind() };
        home.check().await?;
        if is_new {
            tracing::info!(dir = %dir.display(), database = place.kind().as_str(), "a new deployment is founded");
        }
        Ok(home)
    }

    /// Whether the database holds the deployment that the directory belongs to. Before anything is written to it.
    async fn check(&self) -> Result {
        let Some(noted) = self.founded.as_ref().and_then(|founded| founded.deployment) else { return Ok(()) };
        let unread =
            |error: StoreError| Failure::new(Exit::Config, "the database cannot be used").because(&error);
        let there = self.store.reader().await.map_err(unread)?.deployment().await.map_err(unread)?;
        match there {
            Some(there) if there.id == noted => Ok(()),
            there => Err(other_deployment(&self.dir, noted, there.map(|there| there.id))),
        }
    }

    /// Notes which deployment the directory belongs to, once that is known.
    pub(crate) fn belongs_to(&self, deployment: DeploymentId) -> Result {
        match self.founded.as_ref().and_then(|founded| founded.deployment) {
            Some(noted) if noted == deployment => Ok(()),
            Some(noted) => Err(other_deployment(&self.dir, noted, Some(deployment))),
            None => Founded::write(&self.dir, deployment, self.kind, None),
        }
    }
}

/// Whether there is nothing yet, neither here nor in the database. What does not belong together is refused.
pub(crate) async fn is_new(dir: &Path, place: &Place, founded: Option<&Founded>) -> Result<bool> {
    match place {
        Place::Sqlite(path) => is_new_file(path, founded),
        Place::Postgres(settings, url) => is_new_database(dir, settings, url, founded).await,
    }
}

/// Whether a database file is to be made. A directory that had one is never founded again.
fn is_new_file(path: &Path, founded: Option<&Founded>) -> Result<bool> {
    match founded {
        Some(Founded { database: Kind::Postgres, moved_to, .. }) => Err(moving::away(moved_to.as_deref())),
        Some(Founded { database: Kind::Sqlite, .. }) if !path.exists() => Err(lost(path)),
        Some(Founded { database: Kind::Sqlite, .. }) => Ok(false),
        None => Ok(!path.exists()),
    }
}

/// Whether a PostgreSQL database is to be filled. Only an empty one, and only by a directory that belongs to nothing.
async fn is_new_database(
    dir: &Path,
    settings: &Settings,
    url: &str,
    founded: Option<&Founded>,
) -> Result<bool> {
    let is_file = founded.is_some_and(|founded| founded.database == Kind::Sqlite);
    if is_file || founded.is_none() && database::file(dir).exists() {
        return Err(moving::not_yet(dir));
    }
    let found = probe(settings).await.map_err(|error| unopened(&error))?;
    let noted = founded.and_then(|founded| founded.deployment);
    match (found, noted) {
        (Found::Foreign, _) => Err(foreign(url)),
        (Found::Empty | Found::Muster { deployment: None, .. }, None) => Ok(true),
        (Found::Empty | Found::Muster { deployment: None, .. }, Some(noted)) => Err(emptied(url, noted)),
        (Found::Muster { deployment: Some(there), .. }, Some(noted)) if there == noted => Ok(false),
        (Found::Muster { deployment: Some(there), .. }, Some(noted)) => {
            Err(other_deployment(dir, noted, Some(there)))
        }
        // A founding that was cut short before its note left the pepper that the deployment has a proof by.
        (Found::Muster { deployment: Some(_), .. }, None) if dir.join("pepper").exists() => Ok(false),
        (Found::Muster { deployment: Some(there), .. }, None) => Err(stranger(dir, there)),
    }
}

async fn opened(place: &Place, is_new: bool) -> Result<AnyStore> {
    match place {
        Place::Sqlite(path) => {
            let store = if is_new { SqliteStore::create(path) } else { SqliteStore::open(path) };
            store.map(AnyStore::Sqlite).map_err(|error| unopened(&error))
        }
        Place::Postgres(settings, _) => {
            let open = async || PostgresStore::open(Settings::clone(settings)).await;
            let store = match is_new {
                true => match PostgresStore::create(Settings::clone(settings)).await {
                    // A founding that was cut short left the schema behind, or another server was faster.
                    Err(OpenError::Exists(_)) => open().await,
                    made => made,
                },
                false => open().await,
            };
            store.map(AnyStore::Postgres).map_err(|error| unopened(&error))
        }
    }
}

/// Whether a start would take the files of a directory as they are. Makes and changes nothing, and takes no lock; the
/// database is left to whoever may open it.
pub(crate) fn inspect(dir: &Path) -> Result {
    let file = database::file(dir);
    let founded = Founded::read(dir)?;
    if !file.exists() && founded.as_ref().is_some_and(|founded| founded.database == Kind::Sqlite) {
        return Err(lost(&file));
    }
    let is_new = founded.is_none() && !file.exists();
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
pub(crate) fn directory(dir: &Path) -> Result {
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

pub(crate) fn pepper(path: &Path, is_new: bool) -> Result<Pepper> {
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
pub(crate) fn lock(dir: &Path) -> Result<File> {
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

pub(crate) fn unusable(error: FileError) -> Failure {
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

/// The database cannot be opened, in its own words. One that does not answer may do so later: a service manager that
/// starts this again is not told to stop.
pub(crate) fn unopened(error: &(dyn std::error::Error + 'static)) -> Failure {
    let is_away = matches!(error.downcast_ref::<OpenError>(), Some(OpenError::Unreachable { .. }));
    let exit = if is_away { Exit::Unreachable } else { Exit::Config };
    Failure::new(exit, "the database cannot be used").because(error)
}

/// Somebody else's tables are in it.
pub(crate) fn foreign(url: &str) -> Failure {
    Failure::new(Exit::Config, format!("{url} holds tables that are not Muster's"))
        .hint("give Muster a database of its own: CREATE DATABASE muster")
}

fn emptied(url: &str, noted: DeploymentId) -> Failure {
    Failure::new(Exit::Config, format!("{url} is empty"))
        .cause(format!("this directory belongs to {noted}, whose database is never made anew by itself"))
        .hint(
            "check the address; else restore the database from a backup, or import it: muster db import FILE",
        )
}

fn stranger(dir: &Path, there: DeploymentId) -> Failure {
    Failure::new(Exit::Config, format!("the database belongs to {there}, and {} does not", dir.display()))
        .cause("the keys of a deployment are in the data directories of its servers")
        .hint("on a server of that deployment: muster replica export --out FILE; then here: muster replica import FILE")
}

/// Directory and database are of two deployments.
pub(crate) fn other_deployment(dir: &Path, noted: DeploymentId, there: Option<DeploymentId>) -> Failure {
    let there = there.map_or_else(|| "no deployment".to_owned(), |there| there.to_string());
    Failure::new(Exit::Config, "this is the database of another deployment")
        .cause(format!("{} belongs to {noted}, and the database holds {there}", dir.display()))
        .hint("check the address of the database and --data-dir; what belongs together is in `muster db status`")
}

/// The deployment in the database was founded with another pepper.
pub(crate) fn not_founded(dir: &Path, error: &FoundError) -> Failure {
    match error {
        FoundError::WrongDirectory { there } => stranger(dir, *there),
        FoundError::Settle(_) => {
            Failure::new(Exit::Failed, "the deployment cannot be founded").because(error)
        }
    }
}
