//! A database with Muster's schema for each test, stores on it, and a decision that writes.

use muster_lifecycle::{Change, MachineChange, Plan, SiteChange, TenantChange};
use muster_model::{Entry, Machine, Refusal, ReplicaId, Site, Timestamp};
use muster_store::{Decision, Fence, Joining, Reads, SettleError, Store, StoreError, Unscoped};
use muster_store_postgres::{PostgresStore, Settings};
use muster_testkit::Kit;
use muster_testkit::postgres::{Database, Server, shared};

/// A template with the schema of this version, copied for each test. `None` where PostgreSQL is missing.
pub(crate) async fn database() -> Option<Database> {
    let fill = async |url| {
        PostgresStore::create(Settings::new(url)).await.expect("a schema").close().await;
    };
    Some(shared()?.database("muster", fill).await)
}

/// A server of this test alone, with a database that has the schema, and its URL.
pub(crate) async fn server() -> Option<(Server, String)> {
    let server = Server::start()?;
    let url = server.create_database("muster");
    PostgresStore::create(settings(url.clone())).await.expect("a schema").close().await;
    Some((server, url))
}

/// Few connections: a server is shared by many tests.
pub(crate) fn settings(url: String) -> Settings {
    Settings { lanes: 2, readers: 4, ..Settings::new(url) }
}

pub(crate) async fn open(url: String) -> PostgresStore {
    PostgresStore::open(settings(url)).await.expect("a store")
}

/// A store that works as this replica.
pub(crate) async fn replica(url: String, number: u8) -> PostgresStore {
    let store = open(url).await;
    let joining =
        Joining { replica: replica_id(number), version: "test".to_owned(), now: Timestamp::UNIX_EPOCH };
    store.join(joining).await.expect("joined");
    store
}

pub(crate) fn replica_id(number: u8) -> ReplicaId {
    ReplicaId::from_bytes([number; 16])
}

/// Writes what it is told to.
pub(crate) struct Write {
    pub(crate) changes: Vec<Change>,
    pub(crate) entry: Entry,
    pub(crate) fence: Option<Fence>,
}

impl Decision for Write {
    const NAME: &'static str = "test.write";
    type Facts = ();
    type Outcome = ();

    fn fence(&self) -> Option<Fence> {
        self.fence
    }

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        Ok(Plan::new((), self.changes.clone(), self.entry.clone()))
    }
}

pub(crate) async fn write(store: &PostgresStore, kit: &Kit, changes: Vec<Change>) -> Result<(), SettleError> {
    store.settle(Write { changes, entry: kit.entry("test.write"), fence: None }).await.map(drop)
}

/// Writes a tenant and a site.
pub(crate) async fn founded(store: &PostgresStore) -> (Kit, Site) {
    let kit = Kit::default();
    let site = kit.site();
    let changes = vec![TenantChange::Create(kit.tenant()).into(), SiteChange::Create(site.clone()).into()];
    write(store, &kit, changes).await.expect("written");
    (kit, site)
}

pub(crate) async fn enroll(store: &PostgresStore, kit: &Kit, machine: &Machine) -> Result<(), SettleError> {
    write(store, kit, vec![MachineChange::Create(machine.clone()).into()]).await
}

pub(crate) async fn has(store: &PostgresStore, machine: &Machine) -> bool {
    let mut reads = store.reader().await.expect("a reader");
    reads.machine(machine.tenant, machine.id).await.expect("an answer").is_some()
}
