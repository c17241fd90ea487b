//! One replica at a time does a job, and a holder that slept through the end of its lease does nothing.

use muster_lifecycle::MachineChange;
use muster_lifecycle::reap::Watched;
use muster_model::SignedDuration;
use muster_store::{Fence, Prune, SettleError, Store, StoreError};
use muster_store_postgres::PostgresStore;
use muster_testkit::at;

use crate::support::{Write, database, founded, has, replica, replica_id};

const SPAN: SignedDuration = SignedDuration::from_secs(30);

async fn taken(store: &PostgresStore) -> Fence {
    store.lease("expiry", SPAN).await.expect("an answer").expect("the lease")
}

fn everything() -> Prune {
    let end = at(1_000_000_000);
    Prune {
        remembered_before: end,
        access_before: end,
        replicas_before: at(0),
        pulses_before: at(0),
        limit: 100,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_belongs_to_one_replica_until_it_ends() {
    let Some(database) = database().await else { return };
    let (one, two) = (replica(database.url(), 1).await, replica(database.url(), 2).await);
    let first = taken(&one).await;
    assert_eq!((first.holder, first.token), (replica_id(1), 1));
    assert_eq!(two.lease("expiry", SPAN).await.expect("an answer"), None);
    assert_eq!(taken(&one).await, first, "kept, not taken anew");
    assert_eq!(two.lease("outbox", SPAN).await.expect("an answer").map(|fence| fence.token), Some(1));
    database.run_sql("UPDATE leases SET until = 0");
    let second = taken(&two).await;
    assert_eq!((second.holder, second.token), (replica_id(2), 2));
    assert_eq!(one.lease("expiry", SPAN).await.expect("an answer"), None);
    database.run_sql("UPDATE leases SET until = 0");
    assert_eq!(taken(&two).await.token, 3, "what ended may have been somebody else's meanwhile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_slept_through_the_end_of_its_lease_cannot_act() {
    let Some(database) = database().await else { return };
    let (one, two) = (replica(database.url(), 1).await, replica(database.url(), 2).await);
    let (kit, site) = founded(&one).await;
    database.run_sql("INSERT INTO remembered VALUES ('\\x01', '\\x02', '\\x03', 'o', 5)");
    let kept = || database.run_sql("SELECT count(*) FROM remembered")[0][0].clone();
    let stale = taken(&one).await;
    // It sleeps, and its lease ends: nobody has it yet, and it is not its own any more.
    database.run_sql("UPDATE leases SET until = 0");
    assert!(matches!(one.prune(stale, everything()).await, Err(StoreError::Fenced { job: "expiry" })));
    let present = taken(&two).await;
    assert!(matches!(one.prune(stale, everything()).await, Err(StoreError::Fenced { job: "expiry" })));
    let watched = Watched { began: at(0), until: at(60) };
    let noted = one.note_watched(stale, watched).await;
    assert!(matches!(noted, Err(StoreError::Fenced { job: "expiry" })), "{noted:?}");
    let machine = kit.machine(&site);
    let changes = vec![MachineChange::Create(machine.clone()).into()];
    let decision =
        |fence| Write { changes: changes.clone(), entry: kit.entry("test.job"), fence: Some(fence) };
    let settled = one.settle(decision(stale)).await;
    assert!(matches!(settled, Err(SettleError::Store(StoreError::Fenced { .. }))), "{settled:?}");
    assert!(!has(&one, &machine).await);
    assert_eq!(kept(), Some("1".to_owned()));
    two.settle(decision(present)).await.expect("it has the lease");
    assert_eq!(two.prune(present, everything()).await.expect("it has the lease"), 1);
    assert!(has(&one, &machine).await);
    assert_eq!(kept(), Some("0".to_owned()));
}
