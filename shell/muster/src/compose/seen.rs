//! What this server has seen of its database, in a file outside of it: a database that was put back to an older day does
//! not know all of it.

use std::path::{Path, PathBuf};

use muster_app::{App, Mark, StoreError};
use muster_issuer::{FileError, FileProblem, files};

use super::founded::Founded;
use super::home::unusable;
use super::store::AnyStore;
use crate::failure::{Exit, Failure, Result};

pub(super) const FILE: &str = "seen";

/// What was seen, and the file that keeps it.
pub(crate) struct Seen {
    path: PathBuf,
    mark: Option<Mark>,
    /// What is in the file.
    kept: Option<Mark>,
}

impl Seen {
    /// Reads what a start before this one has seen.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let mark = match files::read(&path) {
            Ok(bytes) => Some(parse(&path, &bytes)?),
            // A link that leads nowhere is none that is missing.
            Err(FileError { problem: FileProblem::Missing, .. }) if !path.is_symlink() => None,
            Err(error) => return Err(unusable(error)),
        };
        if mark.is_none() && Founded::path(dir).exists() {
            tracing::warn!(
                path = %path.display(),
                "how far the database was seen is not known here: one that was put back is told only by other servers"
            );
        }
        Ok(Self { path, mark, kept: mark })
    }

    /// Looks at the database again.
    pub(crate) async fn look(&mut self, app: &App<AnyStore>) -> std::result::Result<(), StoreError> {
        self.mark = Some(app.look(self.mark.as_ref()).await?);
        Ok(())
    }

    /// Writes what is new.
    pub(crate) async fn keep(&mut self) {
        let Some(mark) = self.mark.filter(|_| self.mark != self.kept) else { return };
        let path = self.path.clone();
        let written =
            tokio::task::spawn_blocking(move || files::replace(&path, format!("{mark}\n").as_bytes()));
        match written.await {
            Ok(Ok(())) => self.kept = Some(mark),
            // The older note tells of a loss as well, only of a smaller one.
            Ok(Err(error)) => tracing::warn!(%error, "cannot note how far the database was seen"),
            Err(error) => tracing::error!(%error, "noting how far the database was seen ended"),
        }
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Mark> {
    let text = String::from_utf8_lossy(bytes);
    text.parse().map_err(|error: muster_app::MarkError| {
        Failure::new(Exit::Config, format!("{} is damaged", path.display()))
            .because(&error)
            .hint("restore it from a backup; without it an older database is not told from a newer one")
    })
}
