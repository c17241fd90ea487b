//! The rules of every adapter, for the one that the others are compared with.

<<<<<<< HEAD
use muster_store::Store;
use muster_store::conformance::{Fixture, joining};
=======
use muster_store::conformance::Fixture;
>>>>>>> 6bca64d (wip)
use muster_testkit::reference::ReferenceStore;

struct Reference {
    store: ReferenceStore,
}

impl Fixture for Reference {
    type Store = ReferenceStore;

    async fn fresh() -> Self {
<<<<<<< HEAD
        let store = ReferenceStore::default();
        store.join(joining(1)).await.expect("joined");
        Self { store }
=======
        Self { store: ReferenceStore::default() }
>>>>>>> 6bca64d (wip)
    }

    fn store(&self) -> &ReferenceStore {
        &self.store
    }
}

muster_store::conformance!(Reference, values);
