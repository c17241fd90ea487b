//! The connection is lost while a transaction is being committed: what was committed is answered as committed, once; what
//! was not is done again; and what cannot be found out is said to be unknown.

use muster_store::{Lists, SettleError, Store, StoreError};
use muster_store_postgres::{PostgresStore, Settings};
use muster_testkit::Kit;
use muster_testkit::postgres::Database;

use crate::proxy::{Fate, Proxy};
use crate::support::{database, enroll, founded, has, open};

/// One lane, so that it is known whose commit is the next.
async fn wired(database: &Database) -> (Proxy, PostgresStore) {
    let proxy = Proxy::start(database.port()).await;
    let settings = Settings { lanes: 1, readers: 2, ..Settings::new(proxy.url(database.name())) };
    let store = PostgresStore::open(settings).await.expect("a store");
    (proxy, store)
}

async fn entries(store: &PostgresStore, kit: &Kit) -> usize {
    let filter = muster_store::AuditFilter { limit: 1000, ..Default::default() };
    let mut reads = store.reader().await.expect("a reader");
    reads.audit(kit.tenant, &filter).await.expect("the log").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_is_answered_as_committed() {
    let Some(database) = database().await else { return };
    let (proxy, store) = wired(&database).await;
    let direct = open(database.url()).await;
    let (kit, site) = founded(&store).await;
    for round in 0..3 {
        let machine = kit.machine(&site);
        let before = (proxy.begun(), entries(&direct, &kit).await);
        proxy.next(Fate::LoseAnswer);
        enroll(&store, &kit, &machine).await.expect("it is committed");
        assert!(has(&direct, &machine).await);
        assert_eq!(proxy.begun(), before.0 + 1, "round {round}: it is not done again");
        assert_eq!(entries(&direct, &kit).await, before.1 + 1, "round {round}: once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_did_not_arrive_is_done_again() {
    let Some(database) = database().await else { return };
    let (proxy, store) = wired(&database).await;
    let direct = open(database.url()).await;
    let (kit, site) = founded(&store).await;
    for round in 0..3 {
        let machine = kit.machine(&site);
        let before = (proxy.begun(), entries(&direct, &kit).await);
        proxy.next(Fate::LoseCommit);
        enroll(&store, &kit, &machine).await.expect("it is committed in the end");
        assert!(has(&direct, &machine).await);
        assert_eq!(proxy.begun(), before.0 + 2, "round {round}: it is done again");
        assert_eq!(entries(&direct, &kit).await, before.1 + 1, "round {round}: once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_decisions_in_one_lost_commit_are_all_answered_once() {
    let Some(database) = database().await else { return };
    let (proxy, store) = wired(&database).await;
    let direct = open(database.url()).await;
    let (kit, site) = founded(&store).await;
    let kit = std::sync::Arc::new(kit);
    for fate in [Fate::LoseAnswer, Fate::LoseCommit] {
        let before = entries(&direct, &kit).await;
        let machines: Vec<_> = (0..40).map(|_| kit.machine(&site)).collect();
        proxy.next(fate);
        let mut calls = tokio::task::JoinSet::new();
        for machine in machines.clone() {
            let (store, kit) = (store.clone(), std::sync::Arc::clone(&kit));
            calls.spawn(async move { enroll(&store, &kit, &machine).await });
        }
        for settled in calls.join_all().await {
            settled.expect("committed");
        }
        for machine in &machines {
            assert!(has(&direct, machine).await);
        }
        assert_eq!(entries(&direct, &kit).await, before + machines.len(), "{fate:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_found_out_is_unknown_and_works_again_later() {
    let Some(database) = database().await else { return };
    let (proxy, store) = wired(&database).await;
    let direct = open(database.url()).await;
    let (kit, site) = founded(&store).await;
    for (fate, there) in [(Fate::LoseAnswer, true), (Fate::LoseCommit, false)] {
        let machine = kit.machine(&site);
        proxy.dies_with_it();
        proxy.next(fate);
        let settled = enroll(&store, &kit, &machine).await;
        assert!(matches!(settled, Err(SettleError::Store(StoreError::Unknown { .. }))), "{settled:?}");
        assert_eq!(has(&direct, &machine).await, there);
        let meanwhile = enroll(&store, &kit, &kit.machine(&site)).await;
        assert!(
            matches!(meanwhile, Err(SettleError::Store(StoreError::Unavailable { .. }))),
            "{meanwhile:?}"
        );
        proxy.mend();
        let later = kit.machine(&site);
        enroll(&store, &kit, &later).await.expect("the way is open again");
        assert!(has(&store, &later).await);
    }
}
