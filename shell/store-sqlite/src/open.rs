//! Making a database file and opening one. Two functions: a file that should be there and is not, is empty, damaged or
//! somebody else's is refused, because an empty registry would disown the whole fleet.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use muster_store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use thiserror::Error;

use crate::failure::failed;

/// Marks a file as ours: `MSTR`.
const APPLICATION: i64 = 0x4d53_5452;
/// Forward only. Each ends by setting `user_version` to its number.
const MIGRATIONS: [&str; 5] = [
    include_str!("../migrations/0001_start.sql"),
    include_str!("../migrations/0002_deployment.sql"),
    include_str!("../migrations/0003_compat.sql"),
    include_str!("../migrations/0004_rotation.sql"),
    include_str!("../migrations/0005_people.sql"),
];
/// Up to this size a file is checked at every start; that takes a moment. A larger one is checked at the start only
/// after it was not closed in good order, and then beside the work: reading it all would take longer than a start may,
/// the write-ahead log repairs what a crash leaves, and damage of the disk shows when a page is read.
const SMALL: u64 = 64 << 20;

/// Why a database was not opened or made.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is a file already.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// There is no file.
    #[error("{0} does not exist: make it with `muster up`, or restore it from a backup")]
    Missing(PathBuf),
    /// The file is there and has nothing in it.
    #[error("{0} is empty: restore it from a backup; it is never made anew in silence")]
    Empty(PathBuf),
    /// The file belongs to another program.
    #[error("{0} is not a database of Muster")]
    NotOurs(PathBuf),
    /// The file was written by a newer Muster.
    #[error("{path} has schema version {found}, and this Muster knows {known}: use a newer one")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// The file is damaged.
    #[error("{path} is damaged: {found}; restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found first.
        found: String,
    },
    /// A commit would not be durable.
    #[error("{pragma} is {found:?} and not {wanted:?}: what is acknowledged would not be durable")]
    NotDurable {
        /// The setting.
        pragma: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// SQLite failed.
    #[error("cannot open {path}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: rusqlite::Error,
    },
    /// The file system failed.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// A database that is open for writing.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) db: Connection,
    /// Whether it is still to be checked, beside the work.
    pub(crate) unchecked: bool,
}

/// Makes a database that is not there yet: beside its place, whole, and then moved there in one step.
pub(crate) fn create(path: &Path) -> Result<Opened, OpenError> {
    let db = draft(path)?;
    publish(db, path)?;
    open(path)
}

/// Makes a database with nothing in it beside the place where it is to be.
pub(crate) fn draft(path: &Path) -> Result<Connection, OpenError> {
    let io = |cause| OpenError::Io { path: path.to_owned(), cause };
    if path.try_exists().map_err(io)? {
        return Err(OpenError::Exists(path.to_owned()));
    }
    let draft = path.with_added_extension("new");
    for left in ["", "-wal", "-shm"] {
        let left = PathBuf::from(format!("{}{left}", draft.display()));
        if left.try_exists().map_err(io)? {
            fs::remove_file(&left).map_err(io)?;
        }
    }
    private(&draft).map_err(io)?;
    let sqlite = |cause| OpenError::Sqlite { path: path.to_owned(), cause };
    let mut db = connect(&draft).map_err(sqlite)?;
    settings(&db).map_err(sqlite)?;
    migrate(&mut db, 0).map_err(sqlite)?;
    Ok(db)
}

/// Moves a draft to its place.
pub(crate) fn publish(db: Connection, path: &Path) -> Result<(), OpenError> {
    let io = |cause| OpenError::Io { path: path.to_owned(), cause };
    let sqlite = |cause| OpenError::Sqlite { path: path.to_owned(), cause };
    db.execute_batch("UPDATE meta SET clean = 1; PRAGMA wal_checkpoint(TRUNCATE);").map_err(sqlite)?;
    db.close().map_err(|(_, cause)| sqlite(cause))?;
    fs::rename(path.with_added_extension("new"), path).map_err(io)?;
    sync_directory(path).map_err(io)
}

/// Opens a database that is there.
pub(crate) fn open(path: &Path) -> Result<Opened, OpenError> {
    let io = |cause| OpenError::Io { path: path.to_owned(), cause };
    let sqlite = |cause| refused(path, cause);
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::Missing(path.to_owned()));
        }
        Err(error) => return Err(io(error)),
    };
    if size == 0 {
        return Err(OpenError::Empty(path.to_owned()));
    }
    let mut db = connect(path).map_err(sqlite)?;
    let version = recognise(&db, path)?;
    settings(&db).map_err(sqlite)?;
    durable(&db)?;
    migrate(&mut db, version as usize).map_err(sqlite)?;
    let clean: bool = db.query_row("SELECT clean FROM meta", [], |row| row.get(0)).map_err(sqlite)?;
    if size <= SMALL {
        check(&db, path)?;
    }
    db.execute("UPDATE meta SET clean = 0", []).map_err(sqlite)?;
    Ok(Opened { db, unchecked: !clean && size > SMALL })
}

/// Checks the whole file.
pub(crate) fn check(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let found: String =
        db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|cause| refused(path, cause))?;
    if found == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.to_owned(), found }) }
}

fn refused(path: &Path, cause: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match cause.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path, found: cause.to_string() }
        }
        _ => OpenError::Sqlite { path, cause },
    }
}

pub(crate) fn recognise(db: &Connection, path: &Path) -> Result<i64, OpenError> {
    let pragma = |sql| db.query_row(sql, [], |row| row.get(0)).map_err(|cause| refused(path, cause));
    let application: i64 = pragma("PRAGMA application_id")?;
    let found: i64 = pragma("PRAGMA user_version")?;
    let known = MIGRATIONS.len() as i64;
    match (application, found) {
        (APPLICATION, 1..) if found <= known => Ok(found),
        (APPLICATION, 1..) => Err(OpenError::Newer { path: path.to_owned(), found, known }),
        _ => Err(OpenError::NotOurs(path.to_owned())),
    }
}

pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    tune(&db)?;
    Ok(db)
}

/// Statements stay prepared, all of them, and as they are: without the guarantee SQLite prepares a statement that could
/// use a partial index anew at each new value, which costs more than running it.
pub(crate) fn tune(db: &Connection) -> rusqlite::Result<()> {
    db.set_prepared_statement_cache_capacity(128);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// The page cache is walked as a whole at most commits, so that a larger one costs more than it saves. What is deleted or
/// overwritten is wiped where that costs no extra page. F_FULLFSYNC is asked for where the system has it. Checkpoints are
/// made in `checkpoint.rs`: SQLite's own ones say nothing of a failed sync.
fn settings(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "PRAGMA busy_timeout = 5000;
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        PRAGMA fullfsync = ON;
        PRAGMA foreign_keys = ON;
        PRAGMA secure_delete = FAST;
        PRAGMA temp_store = MEMORY;
        PRAGMA cache_size = -24576;
        PRAGMA wal_autocheckpoint = 0;
        PRAGMA journal_size_limit = 67108864;",
    )
}

/// A connection for checkpoints: it syncs as the writer does.
pub(crate) fn checkpointing(path: &Path) -> rusqlite::Result<Connection> {
    let db = connect(path)?;
    settings(&db)?;
    Ok(db)
}

/// Asks back what was set: SQLite answers a setting that it does not take with silence.
fn durable(db: &Connection) -> Result<(), OpenError> {
    for (pragma, sql, wanted) in [
        ("journal_mode", "PRAGMA journal_mode", "wal"),
        ("synchronous", "PRAGMA synchronous", "2"),
        ("foreign_keys", "PRAGMA foreign_keys", "1"),
    ] {
        let value = db.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0));
        let found = match value {
            Ok(rusqlite::types::Value::Text(text)) => text,
            Ok(rusqlite::types::Value::Integer(number)) => number.to_string(),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string(),
        };
        if found != wanted {
            return Err(OpenError::NotDurable { pragma, found, wanted });
        }
    }
    Ok(())
}

const FIND_ROOM: &str =
    "CREATE TABLE room (x BLOB) STRICT; INSERT INTO room VALUES (zeroblob(262144)); DROP TABLE room";

/// Takes as many pages as a batch may need and gives them back: fails where there is no room, and leaves nothing.
pub(crate) fn find_room(db: &Connection) -> Result<(), StoreError> {
    db.execute_batch(FIND_ROOM).map_err(failed("find room"))
}

fn migrate(db: &mut Connection, version: usize) -> rusqlite::Result<()> {
    for migration in MIGRATIONS.iter().skip(version) {
        let transaction = db.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(unix)]
fn private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

#[cfg(not(unix))]
fn private(path: &Path) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).open(path).map(drop)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => fs::File::open(parent)?.sync_all(),
        _ => fs::File::open(".")?.sync_all(),
    }
}
