//! A decision that writes a machine, and a store with a site to write it into.

use std::path::Path;

use muster_lifecycle::{Change, MachineChange, Plan, SiteChange, TenantChange};
use muster_model::{Entry, Machine, MachineId, Refusal, Site};
use muster_store::{Decision, Reads, SettleError, Store, StoreError, Unscoped};
use muster_store_sqlite::SqliteStore;
use muster_testkit::Kit;

/// Writes what it is told to.
pub(crate) struct Write {
    pub(crate) changes: Vec<Change>,
    pub(crate) entry: Entry,
}

impl Decision for Write {
    const NAME: &'static str = "test.write";
    type Facts = ();
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        Ok(Plan::new((), self.changes.clone(), self.entry.clone()))
    }
}

pub(crate) async fn write(store: &SqliteStore, kit: &Kit, changes: Vec<Change>) -> Result<(), SettleError> {
    store.settle(Write { changes, entry: kit.entry("test.write") }).await.map(drop)
}

/// Writes a tenant and a site.
pub(crate) async fn founded(store: &SqliteStore) -> (Kit, Site) {
    let kit = Kit::default();
    let site = kit.site();
    let changes = vec![TenantChange::Create(kit.tenant()).into(), SiteChange::Create(site.clone()).into()];
    write(store, &kit, changes).await.expect("written");
    (kit, site)
}

pub(crate) async fn enroll(
    store: &SqliteStore,
    kit: &Kit,
    machine: Machine,
) -> Result<MachineId, SettleError> {
    let id = machine.id;
    write(store, kit, vec![MachineChange::Create(machine).into()]).await.map(|()| id)
}

/// Opens a database, whatever state a crash left it in, and gives the machines that it has.
pub(crate) async fn machines_in(path: &Path, kit: &Kit, asked: &[MachineId]) -> Vec<MachineId> {
    let store = SqliteStore::open(path).expect("it opens after a crash");
    let mut reads = store.reader().await.expect("a reader");
    let mut found = Vec::new();
    for id in asked {
        found.extend(reads.machine(kit.tenant, *id).await.expect("an answer").map(|machine| machine.id));
    }
    found
}
