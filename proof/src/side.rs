//! The stores that are compared with the reference.

use std::any::Any;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use muster_store::Store;
use muster_store_postgres::PostgresStore;
use muster_store_sqlite::SqliteStore;
use muster_testkit::postgres::{Database, shared};
use tempfile::TempDir;
use tokio::sync::Mutex;

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
    /// A database of a private server.
    Postgres,
}

impl Which {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// Whether there is one here. What is missing is said loudly.
    ///
    /// # Panics
    /// Where it is missing and `MUSTER_TEST_REQUIRE` asks for it.
    pub fn is_here(self) -> bool {
        match self {
            Self::Sqlite => true,
            Self::Postgres => shared().is_some(),
        }
    }
}

type Playing<'a> = Pin<Box<dyn Future<Output = Transcript> + Send + 'a>>;

/// A store under a name.
pub(crate) trait Side: Send + Sync {
    fn name(&self) -> &'static str;
    fn play<'a>(&'a self, ground: &'a Arc<Ground>, run: u64, ops: &'a [Op]) -> Playing<'a>;
}

/// A store that joined, and what goes with it.
pub(crate) struct Kept<S> {
    pub(crate) name: &'static str,
    pub(crate) store: S,
    pub(crate) _home: Box<dyn Any + Send + Sync>,
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
                Which::Postgres => {
                    let database = postgres_database().await;
                    // One player asks at a time: more connections would stand idle.
                    let store = postgres(&database, 1, [1, 1]).await;
                    Box::new(Kept { name: which.as_str(), store, _home: Box::new(database) })
                }
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
    Kept { name: Which::Sqlite.as_str(), store, _home: Box::new(home) }
}

/// A database with Muster's schema. One after the other: making the template waits for its lock without yielding.
pub(crate) async fn postgres_database() -> Database {
    static ONE: Mutex<()> = Mutex::const_new(());
    let _one = ONE.lock().await;
    let server = shared().expect("PostgreSQL, which was there a moment ago");
    let fill = async |url| {
        let store = PostgresStore::create(muster_store_postgres::Settings::new(url)).await.expect("a schema");
        store.close().await;
    };
    server.database("proof", fill).await
}

/// A replica on a database, with so many connections to write and to read.
pub(crate) async fn postgres(
    database: &Database,
    replica: u8,
    [lanes, readers]: [usize; 2],
) -> PostgresStore {
    let settings = muster_store_postgres::Settings::new(database.url());
    let settings = muster_store_postgres::Settings { lanes, readers, ..settings };
    let store = PostgresStore::open(settings).await.expect("a store");
    join(&store, replica).await.expect("joined");
    store
}
