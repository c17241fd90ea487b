//! The file: making, opening, refusing, closing.

use muster_store::{Store, Unscoped};
use muster_store_sqlite::SqliteStore;

#[tokio::test]
async fn a_new_database_answers() {
    let store = SqliteStore::in_memory().expect("a new database");
    store.check().await.expect("it can be written to");
    assert_eq!(store.reader().await.expect("a reader").tenants().await.expect("an answer"), []);
    assert_eq!(store.writes(), 0);
}
