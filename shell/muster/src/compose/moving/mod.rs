//! Carrying the whole database somewhere else, with the server stopped: into a file, out of one, or to PostgreSQL.
//!
//! The target gets everything in one transaction or nothing, so whatever interrupts this leaves it as it was. The source
//! is only read. The note of the directory changes after the target has everything; what is interrupted in between is
//! recognised when it is repeated: same deployment, and the newest audit entry is there.

mod away;
mod inside;
mod lines;
mod outside;

use std::fs::File;
use std::path::{Path, PathBuf};

use muster_issuer::files;
use muster_model::{Deployment, DeploymentId, EntryPlace, Pepper};
use muster_store::{Store, StoreError, Unscoped};
use muster_store_sql::transfer::{Head, TransferError};
use serde::Serialize;

use super::founded::{Founded, Kind};
use super::home::{self, other_deployment, unusable};
use super::store::AnyStore;
use crate::failure::{Exit, Failure, Result};

pub(crate) use away::{away, not_yet};
pub(crate) use inside::import;
pub(crate) use outside::{Target, export, migrate};

/// Hears how many rows of how many went.
pub(crate) trait Told: FnMut(u64, u64) + Send {}
impl<F: FnMut(u64, u64) + Send> Told for F {}

/// What was carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Carried {
    /// The deployment.
    pub(crate) deployment: String,
    /// Where it is now.
    pub(crate) to: String,
    /// How many rows went.
    pub(crate) rows: u64,
    /// The place of its newest audit entry.
    pub(crate) newest_entry: Option<u64>,
    /// It was all there already: only the note was missing.
    pub(crate) was_there: bool,
}

/// A founded directory that no server works in.
pub(crate) struct Quiet {
    pub(crate) dir: PathBuf,
    pub(crate) founded: Option<Founded>,
    pepper: Pepper,
    _lock: File,
}

impl Quiet {
    /// Takes a directory, unless a server has it.
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        files::check_dir(dir).map_err(unusable)?;
        let lock = home::lock(dir).map_err(|failure| match failure.exit() {
            Exit::Conflict => Failure::new(Exit::Conflict, failure.message().to_owned())
                .hint("stop it first (systemctl stop muster): what it writes meanwhile would be lost"),
            _ => failure,
        })?;
        let pepper = home::pepper(&dir.join("pepper"), false)?;
        Ok(Self { dir: dir.to_owned(), founded: Founded::read(dir)?, pepper, _lock: lock })
    }

    /// Whether what is about to come belongs to this directory.
    fn takes(&self, head: &Head) -> Result {
        let there = Deployment { id: head.deployment, proof: head.proof, incarnations: vec![], gap: None };
        match self.founded.as_ref().and_then(|founded| founded.deployment) {
            Some(noted) if noted != there.id => Err(other_deployment(&self.dir, noted, Some(there.id))),
            _ if self.pepper.founded(&there) => Ok(()),
            _ => Err(Failure::new(Exit::Config, "this is the database of another deployment")
                .cause(format!("{} was not founded with the pepper in {}", there.id, self.dir.display()))
                .hint("its keys belong beside it: restore ca/ and pepper from a backup, or `muster replica import FILE`")),
        }
    }
}

/// What a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holds {
    pub(crate) deployment: DeploymentId,
    pub(crate) newest: Option<EntryPlace>,
}

/// Looks into a store that is open.
async fn holds(store: &AnyStore) -> Result<Option<Holds>> {
    let read = async {
        let mut reader = store.reader().await?;
        let Some(there) = reader.deployment().await? else { return Ok(None) };
        Ok(Some(Holds { deployment: there.id, newest: reader.newest_entry().await? }))
    };
    read.await.map_err(|error: StoreError| unread(&error))
}

fn unread(error: &StoreError) -> Failure {
    Failure::new(Exit::Failed, "the database cannot be read").because(error)
}

fn carried(head: &Head, to: String) -> Carried {
    Carried {
        deployment: head.deployment.to_string(),
        to,
        rows: head.rows(),
        newest_entry: head.newest.map(|place| place.seq),
        was_there: false,
    }
}

fn was_there(holds: &Holds, to: String) -> Carried {
    Carried {
        deployment: holds.deployment.to_string(),
        to,
        rows: 0,
        newest_entry: holds.newest.map(|place| place.seq),
        was_there: true,
    }
}

/// What stopped a transfer, and that it can be repeated.
fn stopped(error: &TransferError) -> Failure {
    let (exit, hint) = match error {
        TransferError::Damaged { .. } => {
            (Exit::Config, "nothing was changed; export it again, or take another copy of the file")
        }
        TransferError::Version { .. } => {
            (Exit::Config, "nothing was changed; use the version of Muster that wrote it, or a newer one")
        }
        TransferError::Nothing => {
            (Exit::NotFound, "one of an older version has none until this version ran once: muster serve")
        }
        TransferError::NotEmpty => (Exit::Conflict, "nothing was changed; give it an empty database"),
        TransferError::Store(StoreError::Unknown { .. }) => {
            (Exit::TryAgain, "repeat it: if everything is there already, that is found out")
        }
        _ => (Exit::Failed, "nothing was changed; repeat it once the cause is gone"),
    };
    Failure::new(exit, "the database was not carried over").because(error).hint(hint)
}

/// The database already holds something else.
fn taken(to: &str, holds: Option<&Holds>) -> Failure {
    let what = match holds {
        Some(holds) => format!("it holds {}, of another state", holds.deployment),
        None => "it is not empty".to_owned(),
    };
    Failure::new(Exit::Conflict, format!("{to} is taken"))
        .cause(what)
        .hint("give it an empty database: CREATE DATABASE muster")
}

/// Notes where the database is from now on.
fn note(quiet: &Quiet, deployment: DeploymentId, kind: Kind, to: Option<String>) -> Result {
    Founded::write(&quiet.dir, deployment, kind, to)
}
