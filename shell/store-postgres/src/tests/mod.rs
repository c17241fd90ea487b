//! What needs the inside: the steps of the schema, and the statements themselves.

mod migrations;
mod plans;

use muster_testkit::postgres::{Database, shared};

use crate::connection::{Connected, connect};
use crate::settings::{Dial, Settings};
use crate::store::PostgresStore;

/// A template with the schema of this version, copied for each test. `None` where PostgreSQL is missing.
async fn database() -> Option<Database> {
    let fill = async |url| {
        PostgresStore::create(Settings::new(url)).await.expect("a schema").close().await;
    };
    Some(shared()?.database("muster", fill).await)
}

async fn connection(database: &Database) -> Connected {
    let dial = Dial::new(&Settings::new(database.url())).expect("settings");
    connect(&dial).await.expect("a connection")
}
