//! SQLite: a file in the directory.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use muster_store_sqlite::SqliteStore;
use tempfile::TempDir;

use super::{Home, Kept, Written};

impl Home for TempDir {
    fn dir(&self) -> &Path {
        self.path()
    }
}

impl Kept for SqliteStore {
    const NAME: &'static str = "SQLite";
    const WRITES: &'static str = "commits";
    const COUNTED_WITHIN: Duration = Duration::ZERO;
    type Home = TempDir;

    async fn home(dir: TempDir, _: bool) -> Result<TempDir> {
        Ok(dir)
    }

    async fn open(home: &TempDir, is_new: bool) -> Result<Self> {
        let path = home.path().join("muster.db");
        Ok(if is_new { Self::create(path)? } else { Self::open(path)? })
    }

    async fn written(&self, _: &TempDir) -> Result<Written> {
        Ok(Written { of_machines: self.writes(), ..Written::default() })
    }

    async fn settle_down(_: &TempDir) -> Result<()> {
        Ok(())
    }

    async fn finish(&self) {
        self.close().await;
    }
}
