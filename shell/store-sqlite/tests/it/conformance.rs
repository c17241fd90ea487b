//! The rules of every adapter.

use muster_store::Store;
use muster_store::conformance::{Fixture, Odd, joining};
use muster_store_sqlite::SqliteStore;
use rusqlite::Connection;
use rusqlite::types::Value;

struct Sqlite {
    store: SqliteStore,
}

impl Fixture for Sqlite {
    type Store = SqliteStore;

    async fn fresh() -> Self {
        let store = SqliteStore::in_memory().expect("a new database");
        store.join(joining(1)).await.expect("nobody else has it");
        Self { store }
    }

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    async fn tamper(&self, table: &'static str, column: &'static str, value: Odd) {
        let db = Connection::open(self.store.path()).expect("a connection");
        db.pragma_update(None, "foreign_keys", false).expect("a setting");
        let value = match value {
            Odd::Null => Value::Null,
            Odd::Number(number) => Value::Integer(number),
            Odd::Text(text) => Value::Text(text.to_owned()),
            Odd::Bytes(bytes) => Value::Blob(bytes.to_vec()),
        };
        let sql = ["UPDATE ", table, " SET ", column, " = ?1"].concat();
        let touched = db.execute(&sql, [value]).expect("the schema takes it");
        assert!(touched > 0, "there is a row in {table}");
    }
}

muster_store::conformance!(Sqlite);
