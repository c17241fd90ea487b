//! A database with Muster's schema for each test.

use muster_store_postgres::{PostgresStore, Settings};
use muster_testkit::postgres::{Database, shared};

/// A template with the schema of this version, copied for each test. `None` where PostgreSQL is missing.
pub(crate) async fn database() -> Option<Database> {
    let fill = async |url| {
        PostgresStore::create(Settings::new(url)).await.expect("a schema").close().await;
    };
    Some(shared()?.database("muster", fill).await)
}

/// Few connections: a server is shared by many tests.
pub(crate) fn settings(url: String) -> Settings {
    Settings { lanes: 2, readers: 4, ..Settings::new(url) }
}

pub(crate) async fn open(database: &Database) -> PostgresStore {
    PostgresStore::open(settings(database.url())).await.expect("a store")
}
