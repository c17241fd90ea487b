//! The note beside a deployment from its first day on: which one this directory belongs to, and where its database is. A
//! database that is gone is missed by it, and a wrong one is told from the right one.

use std::path::{Path, PathBuf};

use muster_issuer::files;
use muster_model::DeploymentId;
use serde::{Deserialize, Serialize};

use super::home::unusable;
use crate::failure::{Exit, Failure, Result};

const FILE: &str = "founded";
/// How the note began before it named anything; such a deployment is in a file.
const OLDER: &[u8] = b"This directory has a database: muster.db.";

/// Where a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// In the directory.
    Sqlite,
    /// On a PostgreSQL server.
    Postgres,
}

/// What the note says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Founded {
    /// Which deployment; not known from an older note.
    pub(crate) deployment: Option<DeploymentId>,
    /// Where its database is.
    pub(crate) database: Kind,
    /// Where it moved to, without a password.
    pub(crate) moved_to: Option<String>,
}

/// The same as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    deployment: String,
    database: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moved_to: Option<String>,
}

impl Kind {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl Founded {
    /// The note of a directory.
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// Reads the note of a directory; none where it was never founded.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = Self::path(dir);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = files::read(&path).map_err(unusable)?;
        Self::parse(&bytes).map(Some).ok_or_else(|| {
            Failure::new(Exit::Config, format!("{} is damaged", path.display()))
                .hint("restore it from a backup: it says which deployment this directory belongs to")
        })
    }

    /// Writes the note, in the place of another one.
    pub(crate) fn write(
        dir: &Path,
        deployment: DeploymentId,
        database: Kind,
        moved_to: Option<String>,
    ) -> Result {
        let written = Written { deployment: deployment.to_string(), database, moved_to };
        let text = serde_json::to_string(&written).expect("texts are JSON");
        files::replace(&Self::path(dir), format!("{text}\n").as_bytes()).map_err(unusable)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(OLDER) {
            return Some(Self { deployment: None, database: Kind::Sqlite, moved_to: None });
        }
        let written: Written = serde_json::from_slice(bytes).ok()?;
        let deployment = written.deployment.parse().ok()?;
        Some(Self { deployment: Some(deployment), database: written.database, moved_to: written.moved_to })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).expect("ours");
        dir
    }

    #[test]
    fn what_is_noted_reads_back_and_an_older_note_is_of_a_file() {
        let dir = dir();
        assert_eq!(Founded::read(dir.path()).expect("nothing there"), None);
        let id = DeploymentId::new(1, [1; 10]);
        let to = Some("postgres://muster@db/m".to_owned());
        Founded::write(dir.path(), id, Kind::Postgres, to.clone()).expect("written");
        let founded = Founded { deployment: Some(id), database: Kind::Postgres, moved_to: to };
        assert_eq!(Founded::read(dir.path()).expect("readable"), Some(founded));
        let older =
            Founded::parse(b"This directory has a database: muster.db. Without it nothing starts here.\n");
        assert_eq!(older, Some(Founded { deployment: None, database: Kind::Sqlite, moved_to: None }));
    }

    #[test]
    fn a_note_that_was_cut_is_not_taken_for_none() {
        let dir = dir();
        let path = Founded::path(dir.path());
        for text in ["", "{\"deployment\": \"dep_", "{\"deployment\": \"dep_1\", \"database\": \"sqlite\"}"] {
            files::replace(&path, text.as_bytes()).expect("ours");
            assert_eq!(Founded::read(dir.path()).expect_err(text).exit(), Exit::Config);
        }
    }
}
