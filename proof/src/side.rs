//! The stores that are compared with the reference.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use muster_store::Store;
use muster_store_sqlite::SqliteStore;
use tempfile::TempDir;

use crate::differential::{Transcript, play};
use crate::ground::Ground;
use crate::op::Op;
use crate::player::join;

/// After so many runs the databases begin anew: the port tells of the first thousand tenants, and each run has one.
const RUNS: u64 = 900;

/// A database to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// A file.
    Sqlite,
}

impl Which {
    /// Every one.
    pub const ALL: [Self; 1] = [Self::Sqlite];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
        }
    }
}

type Playing<'a> = Pin<Box<dyn Future<Output = Transcript> + Send + 'a>>;

/// A store under a name.
pub(crate) trait Side: Send + Sync {
    fn name(&self) -> &'static str;
    fn play<'a>(&'a self, ground: &'a Arc<Ground>, run: u64, ops: &'a [Op]) -> Playing<'a>;
}

/// A store that joined, and where its files are.
pub(crate) struct Kept<S> {
    pub(crate) name: &'static str,
    pub(crate) store: S,
    /// Goes with the store.
    pub(crate) _home: Option<TempDir>,
}

impl<S: Store> Side for Kept<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn play<'a>(&'a self, ground: &'a Arc<Ground>, run: u64, ops: &'a [Op]) -> Playing<'a> {
        Box::pin(play(self.store.clone(), ground, run, ops))
    }
}

/// The stores that one worker compares, with whatever earlier runs left in them.
pub(crate) struct Sides {
    pub(crate) ground: Arc<Ground>,
    which: Vec<Which>,
    run: u64,
    sides: Vec<Box<dyn Side>>,
}

impl Sides {
    /// New databases.
    pub(crate) async fn new(ground: &Arc<Ground>, which: &[Which]) -> Self {
        let mut sides = Self::of(ground, Vec::new());
        sides.which = which.to_vec();
        sides.open().await;
        sides
    }

    /// These stores.
    pub(crate) fn of(ground: &Arc<Ground>, sides: Vec<Box<dyn Side>>) -> Self {
        Self { ground: Arc::clone(ground), which: Vec::new(), run: 0, sides }
    }

    async fn open(&mut self) {
        for which in &self.which {
            let side: Box<dyn Side> = match which {
                Which::Sqlite => Box::new(sqlite().await),
            };
            self.sides.retain(|other| other.name() != which.as_str());
            self.sides.push(side);
        }
    }

    /// The number of the next run, which nobody had before on these databases.
    pub(crate) async fn next_run(&mut self) -> u64 {
        self.run += 1;
        if self.run.is_multiple_of(RUNS) {
            self.open().await;
        }
        self.run
    }

    /// Plays a sequence over each of them.
    pub(crate) async fn play(&self, run: u64, ops: &[Op]) -> Vec<(&'static str, Transcript)> {
        let mut transcripts = Vec::with_capacity(self.sides.len());
        for side in &self.sides {
            transcripts.push((side.name(), side.play(&self.ground, run, ops).await));
        }
        transcripts
    }
}

/// In memory, where the system has a directory for that: what a disk does is tested elsewhere.
pub(crate) fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let mut home = tempfile::Builder::new();
    let home = home.prefix("muster-proof-");
    let home = if memory.is_dir() { home.tempdir_in(memory) } else { home.tempdir() };
    home.expect("a temporary directory")
}

pub(crate) async fn sqlite() -> Kept<SqliteStore> {
    let home = directory();
    let store = SqliteStore::create(home.path().join("proof.db")).expect("a database");
    join(&store, 1).await.expect("joined");
    Kept { name: Which::Sqlite.as_str(), store, _home: Some(home) }
}
