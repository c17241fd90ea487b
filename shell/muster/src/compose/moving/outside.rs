//! Out of the directory: into a file, or into a PostgreSQL database that takes the place of the one in it.

use std::path::Path;

use muster_store::{Store, Unscoped};
use muster_store_postgres::{Found, PostgresStore, Settings, probe};
use muster_store_sql::transfer::{self, Incoming, TransferError};
use muster_store_sqlite::SqliteStore;

use super::lines::{Draft, pipe};
use super::{Carried, Holds, Quiet, Told, carried, holds, note, stopped, taken, unread, was_there};
use crate::compose::database::{self, Place};
use crate::compose::founded::{Founded, Kind};
use crate::compose::home::{foreign, is_new, other_deployment, unopened};
use crate::compose::store::{AnyReader, AnyStore};
use crate::failure::{Exit, Failure, Result};

/// A PostgreSQL database to move to.
pub(crate) struct Target {
    /// How it is reached.
    pub(crate) settings: Settings,
    /// Its address, without a password.
    pub(crate) url: String,
}

/// Writes everything into a file.
pub(crate) async fn export(quiet: &Quiet, place: &Place, to: &Path, told: impl Told) -> Result<Carried> {
    if is_new(&quiet.dir, place, quiet.founded.as_ref()).await? {
        return Err(stopped(&TransferError::Nothing));
    }
    let store = opened(place).await?;
    let exported = write(&store, to, told).await;
    store.close().await;
    exported
}

async fn write(store: &AnyStore, to: &Path, mut told: impl Told) -> Result<Carried> {
    let mut draft = Draft::create(to).map_err(|error| stopped(&error))?;
    let mut reader = store.reader().await.map_err(|error| unread(&error))?;
    let alive = reader.replicas().await.map_err(|error| unread(&error))?;
    let alive = alive.iter().filter(|replica| replica.alive).count();
    if alive > 0 {
        tracing::warn!(
            alive,
            "servers of this deployment run: what they change from now on is not in the export"
        );
    }
    let told = |head: &transfer::Head, rows| told(rows, head.rows());
    let head = match &mut reader {
        AnyReader::Sqlite(view) => transfer::export(view.engine(), &mut draft, told).await,
        AnyReader::Postgres(view) => transfer::export(view.engine(), &mut draft, told).await,
    };
    let head = head.map_err(|error| stopped(&error))?;
    drop(reader);
    draft.finish().map_err(|error| stopped(&error))?;
    Ok(carried(&head, to.display().to_string()))
}

async fn opened(place: &Place) -> Result<AnyStore> {
    match place {
        Place::Sqlite(path) => {
            SqliteStore::open(path).map(AnyStore::Sqlite).map_err(|error| unopened(&error))
        }
        Place::Postgres(settings, _) => {
            let store = PostgresStore::open(Settings::clone(settings)).await;
            store.map(AnyStore::Postgres).map_err(|error| unopened(&error))
        }
    }
}

/// Moves the file of a directory to PostgreSQL.
pub(crate) async fn migrate(quiet: &Quiet, target: &Target, told: impl Told) -> Result<Carried> {
    let file = database::file(&quiet.dir);
    let place = Place::Sqlite(file.clone());
    let moved = quiet.founded.as_ref().is_some_and(|founded| founded.database == Kind::Postgres);
    if !moved && is_new(&quiet.dir, &place, quiet.founded.as_ref()).await? {
        return Err(stopped(&TransferError::Nothing));
    }
    let there = into(target).await?;
    if moved {
        return again(quiet, there, target, &file);
    }
    let store = SqliteStore::open(&file).map_err(|error| unopened(&error))?;
    let done = carry(&store, there, target, told).await;
    store.close().await;
    let (here, carried) = done?;
    note(quiet, here.deployment, Kind::Postgres, Some(target.url.clone()))?;
    set_aside(&file)?;
    Ok(carried)
}

/// What is in the database to move to, where it is one that may be moved to.
async fn into(target: &Target) -> Result<Option<Holds>> {
    match probe(&target.settings).await.map_err(|error| unopened(&error))? {
        Found::Foreign => Err(foreign(&target.url)),
        Found::Empty | Found::Muster { deployment: None, .. } => Ok(None),
        Found::Muster { deployment: Some(_), .. } => {
            let store = PostgresStore::open(target.settings.clone()).await;
            let store = AnyStore::Postgres(store.map_err(|error| unopened(&error))?);
            let holds = holds(&store).await;
            store.close().await;
            holds
        }
    }
}

/// The note says that it moved: it is the same database, or the command is a mistake.
fn again(quiet: &Quiet, there: Option<Holds>, target: &Target, file: &Path) -> Result<Carried> {
    let noted = quiet.founded.as_ref().and_then(|founded| founded.deployment);
    match (there, noted) {
        (Some(there), Some(noted)) if there.deployment == noted => {
            set_aside(file)?;
            Ok(was_there(&there, target.url.clone()))
        }
        (there, Some(noted)) => Err(other_deployment(&quiet.dir, noted, there.map(|there| there.deployment))),
        (_, None) => {
            Err(Failure::new(Exit::Config, format!("{} is damaged", Founded::path(&quiet.dir).display())))
        }
    }
}

/// Carries everything over, or finds that it is there.
async fn carry(
    store: &SqliteStore,
    there: Option<Holds>,
    target: &Target,
    told: impl Told,
) -> Result<(Holds, Carried)> {
    let here =
        holds(&AnyStore::Sqlite(store.clone())).await?.ok_or_else(|| stopped(&TransferError::Nothing))?;
    if let Some(there) = there {
        return match there.deployment == here.deployment && has_all(target, &here).await? {
            true => Ok((here, was_there(&there, target.url.clone()))),
            false => Err(taken(&target.url, Some(&there))),
        };
    }
    let head = pump(store, target, told).await.map_err(|failure| *failure)?;
    Ok((here, carried(&head, target.url.clone())))
}

/// Whether the target has the newest entry of the source, and with it everything before.
async fn has_all(target: &Target, here: &Holds) -> Result<bool> {
    let Some(newest) = here.newest else { return Ok(true) };
    let store = PostgresStore::open(target.settings.clone()).await.map_err(|error| unopened(&error))?;
    let read = async { store.reader().await?.has_entry(newest).await };
    let has = read.await.map_err(|error| unread(&error));
    store.close().await;
    has
}

/// Reads on one end while the other end writes. Where both fail, the writer knows why.
async fn pump(
    store: &SqliteStore,
    target: &Target,
    mut told: impl Told,
) -> std::result::Result<transfer::Head, Box<Failure>> {
    let fail = |error: &TransferError| Box::new(stopped(error));
    let (mut sink, source) = pipe();
    let mut reader = store.reader().await.map_err(|error| fail(&error.into()))?;
    let read = async move {
        let exported = transfer::export(reader.engine(), &mut sink, |_, _| {}).await;
        drop(sink);
        exported
    };
    let write = async {
        let mut incoming = Incoming::begin(source).await.map_err(|error| fail(&error))?;
        let told = |head: &transfer::Head, rows| told(rows, head.rows());
        let imported = PostgresStore::import(target.settings.clone(), &mut incoming, told).await;
        imported.map_err(|error| Box::new(super::inside::not_imported(&error)))
    };
    let (read, written) = tokio::join!(read, write);
    match (read, written) {
        (Err(error), _) if !matches!(error, TransferError::Gone) => Err(fail(&error)),
        (_, Err(failure)) => Err(failure),
        (Err(error), Ok(())) => Err(fail(&error)),
        (Ok(head), Ok(())) => Ok(head),
    }
}

/// What is left of the file is kept under another name: nobody takes it for the database.
fn set_aside(file: &Path) -> Result {
    if !file.exists() {
        return Ok(());
    }
    let aside = file.with_added_extension("moved");
    let failed = |error: &std::io::Error| {
        Failure::new(Exit::Failed, format!("{} cannot be renamed", file.display()))
            .because(error)
            .hint("the database has moved all the same; repeat the command to finish")
    };
    std::fs::rename(file, aside).map_err(|error| failed(&error))?;
    let dir = file.parent().unwrap_or(Path::new("."));
    std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| failed(&error))
}
