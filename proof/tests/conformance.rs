//! The rules of every adapter, for the one that the others are compared with.

use muster_store::Store;
use muster_store::conformance::{Fixture, joining};
use muster_testkit::reference::ReferenceStore;

struct Reference {
    store: ReferenceStore,
}

impl Fixture for Reference {
    type Store = ReferenceStore;

    async fn fresh() -> Self {
        let store = ReferenceStore::default();
        store.join(joining(1)).await.expect("joined");
        Self { store }
    }

    fn store(&self) -> &ReferenceStore {
        &self.store
    }
}

muster_store::conformance!(Reference, values);
