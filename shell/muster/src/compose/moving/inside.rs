//! Into the database that the configuration names, out of a file.

use std::path::Path;

use muster_store_postgres::{Found, PostgresStore, Settings, probe};
use muster_store_sql::transfer::{Head, Incoming};
use muster_store_sqlite::SqliteStore;

use super::lines::Lines;
use super::{Carried, Holds, Quiet, Told, carried, holds, note, stopped, taken, was_there};
use crate::compose::database::Place;
use crate::compose::home::{foreign, unopened};
use crate::compose::store::AnyStore;
use crate::failure::{Exit, Failure, Result};

/// Reads everything from a file into the database of a directory, which must be empty.
pub(crate) async fn import(
    quiet: &Quiet,
    place: &Place,
    from: &Path,
    mut told: impl Told,
) -> Result<Carried> {
    let lines = Lines::open(from).map_err(|error| stopped(&error))?;
    let mut incoming = Incoming::begin(lines).await.map_err(|error| stopped(&error))?;
    quiet.takes(&incoming.head)?;
    let head = incoming.head.clone();
    let there = match place {
        Place::Sqlite(path) => in_file(path)?,
        Place::Postgres(settings, url) => in_database(settings, url).await?,
    };
    let done = match there {
        Some(there) if same(&there, &head) => was_there(&there, place.shown()),
        Some(there) => return Err(taken(&place.shown(), Some(&there))),
        None => {
            let told = |head: &Head, rows| told(rows, head.rows());
            let done = match place {
                Place::Sqlite(path) => {
                    SqliteStore::import(path, &mut incoming, told).await.map_err(|error| not_imported(&error))
                }
                Place::Postgres(settings, _) => {
                    let settings = Settings::clone(settings);
                    let done = PostgresStore::import(settings, &mut incoming, told).await;
                    done.map_err(|error| not_imported(&error))
                }
            };
            done.map(|()| carried(&head, place.shown()))?
        }
    };
    note(quiet, head.deployment, place.kind(), None)?;
    Ok(done)
}

/// Repeated after everything had come, and before it was noted.
fn same(there: &Holds, head: &Head) -> bool {
    there.deployment == head.deployment && there.newest == head.newest
}

fn in_file(path: &Path) -> Result<Option<Holds>> {
    if !path.exists() {
        return Ok(None);
    }
    let found = SqliteStore::look(path).map_err(|error| unopened(&error))?;
    let there = found.deployment.ok_or_else(|| taken(&path.display().to_string(), None))?;
    Ok(Some(Holds { deployment: there.id, newest: found.newest }))
}

async fn in_database(settings: &Settings, url: &str) -> Result<Option<Holds>> {
    match probe(settings).await.map_err(|error| unopened(&error))? {
        Found::Foreign => Err(foreign(url)),
        Found::Empty | Found::Muster { deployment: None, .. } => Ok(None),
        Found::Muster { deployment: Some(_), .. } => {
            let store = PostgresStore::open(Settings::clone(settings)).await;
            let store = AnyStore::Postgres(store.map_err(|error| unopened(&error))?);
            let holds = holds(&store).await;
            store.close().await;
            holds
        }
    }
}

/// Why an adapter took nothing: it says either what a transfer says, or why the database is not there.
pub(super) fn not_imported(error: &(dyn std::error::Error + 'static)) -> Failure {
    use muster_store_postgres::ImportError as Postgres;
    use muster_store_sqlite::ImportError as Sqlite;
    match (error.downcast_ref::<Sqlite>(), error.downcast_ref::<Postgres>()) {
        (Some(Sqlite::Transfer(error)), _) | (_, Some(Postgres::Transfer(error))) => stopped(error),
        _ => Failure::new(Exit::Config, "the database cannot be used")
            .because(error)
            .hint("nothing was changed"),
    }
}
