//! The rules of every adapter.

use muster_model::{ReplicaId, Timestamp};
use muster_store::conformance::{Fixture, Odd};
use muster_store::{Joining, Store};
use muster_store_postgres::PostgresStore;
use muster_testkit::postgres::{Database, shared};

use crate::support::{database, open};

struct Postgres {
    store: PostgresStore,
    database: Database,
}

impl Fixture for Postgres {
    type Store = PostgresStore;

    fn available() -> bool {
        shared().is_some()
    }

    async fn fresh() -> Self {
        let database = database().await.expect("PostgreSQL, which was there a moment ago");
        let store = open(database.url()).await;
        let joining = Joining {
            replica: ReplicaId::from_bytes([7; 16]),
            version: "test".to_owned(),
            now: Timestamp::UNIX_EPOCH,
        };
        store.join(joining).await.expect("joined");
        Self { store, database }
    }

    fn store(&self) -> &PostgresStore {
        &self.store
    }

    async fn tamper(&self, table: &'static str, column: &'static str, value: Odd) {
        let value = match value {
            Odd::Null => "NULL".to_owned(),
            Odd::Number(number) => number.to_string(),
            // No text of this database holds a NUL: another character that none of ours does takes its place.
            Odd::Text(text) => format!("'{}'", text.replace('\0', "\u{1}").replace('\'', "''")),
            Odd::Bytes(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("'\\x{hex}'")
            }
        };
        // As a replica of the server itself: no constraint that leads to another table is looked at.
        let sql = format!(
            "SET session_replication_role = replica; UPDATE {table} SET {column} = {value} RETURNING 1"
        );
        assert!(!self.database.run_sql(&sql).is_empty(), "there is a row in {table}");
    }
}

mod rules {
    use super::Postgres;

    muster_store::conformance!(Postgres);
}
