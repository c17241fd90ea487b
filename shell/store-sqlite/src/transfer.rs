//! A database out of an export, and a look at one that leaves it as it is.

use std::path::Path;

use muster_model::{Deployment, EntryPlace};
use muster_store::StoreError;
use muster_store_sql::View;
use muster_store_sql::transfer::{self, Head, Incoming, Landing, TransferError};
use rusqlite::{Connection, OpenFlags};
use thiserror::Error;

use crate::batch::Batch;
use crate::dialect::Writing;
use crate::engine::{Source, Sqlite, at_once};
use crate::open::{self, OpenError};
use crate::store::SqliteStore;

/// Why there is no database out of an export.
#[derive(Debug, Error)]
pub enum ImportError {
    /// It cannot be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The export cannot be taken.
    #[error(transparent)]
    Transfer(#[from] TransferError),
}

/// What a look into a file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The version of its schema.
    pub version: i64,
    /// Which deployment, once it is founded; none in a file of a version that knew no deployments.
    pub deployment: Option<Deployment>,
    /// Its newest audit entry.
    pub newest: Option<EntryPlace>,
}

impl SqliteStore {
    /// Makes a database where there is none, with everything that comes. It is in its place once all of it is there.
    ///
    /// # Errors
    /// Where there is a file, or the export is not whole; then there is no database.
    pub async fn import<S: transfer::Source>(
        path: impl AsRef<Path>,
        incoming: &mut Incoming<S>,
        told: impl FnMut(&Head, u64) + Send,
    ) -> Result<(), ImportError> {
        let path = path.as_ref();
        let mut db = open::draft(path)?;
        let mut batch = Batch::begin(&mut db, false).map_err(TransferError::from)?;
        transfer::import(&mut batch.engine(), incoming, told).await?;
        batch.commit().map_err(TransferError::from)?;
        Ok(open::publish(db, path)?)
    }

    /// Looks into a file, also while a server works on it, and changes nothing.
    ///
    /// # Errors
    /// Those of [`SqliteStore::open`].
    pub fn look(path: impl AsRef<Path>) -> Result<Found, ImportError> {
        let path = path.as_ref();
        let sqlite = |cause| OpenError::Sqlite { path: path.to_owned(), cause };
        if !path.exists() {
            return Err(OpenError::Missing(path.to_owned()).into());
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        let version = open::recognise(&db, path)?;
        if version < 2 {
            return Ok(Found { version, deployment: None, newest: None });
        }
        let mut view = View::new(Sqlite(Alone(db)));
        let read = async {
            use muster_store::Unscoped;
            Ok((view.deployment().await?, view.newest_entry().await?))
        };
        let (deployment, newest) = at_once("look into a database", read).map_err(TransferError::from)?;
        Ok(Found { version, deployment, newest })
    }
}

/// A connection for one look.
struct Alone(Connection);

impl Source for Alone {
    fn connection(&mut self) -> &Connection {
        &self.0
    }
}

impl Landing for Sqlite<Writing<'_>> {
    fn words_noted(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send {
        std::future::ready(self.0.words.write(self.0.db))
    }

    /// Numbers go on after the greatest by themselves.
    fn landed(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send {
        std::future::ready(Ok(()))
    }
}
