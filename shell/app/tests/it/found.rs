//! A deployment is founded once, and by one directory.

use std::sync::Arc;

use muster_app::{FoundError, found};
use muster_model::Pepper;
use muster_store::{Store, Unscoped};
use muster_testkit::world::{FaultyStore, FixedPorts, World, pepper};
use muster_testkit::{FixedClock, Ids};

fn empty() -> (FaultyStore, FixedPorts) {
    let store = FaultyStore::in_memory();
    (store, FixedPorts::new(FixedClock::default(), Arc::new(Ids::default())))
}

#[tokio::test]
async fn the_next_start_finds_what_the_first_one_founded() {
    let (store, ports) = empty();
    let first = found(&store, &ports, &pepper(), 10).await.expect("founded");
    let writes = store.writes();
    assert_eq!(found(&store, &ports, &pepper(), 10).await.expect("found"), first);
    assert_eq!(store.writes(), writes);
    let there = store.reader().await.expect("a view").deployment().await.expect("read").expect("one");
    assert_eq!((there.id, there.incarnations.len()), (first.deployment, 1));
}

#[tokio::test]
async fn a_directory_with_another_pepper_is_the_wrong_one_and_writes_nothing() {
    let (store, ports) = empty();
    let there = found(&store, &ports, &pepper(), 10).await.expect("founded").deployment;
    let writes = store.writes();
    let error = found(&store, &ports, &Pepper::new([8; 32]), 10).await.expect_err("refused");
    assert!(matches!(error, FoundError::WrongDirectory { there: told } if told == there), "{error}");
    assert!(error.to_string().starts_with("wrong directory for this database"), "{error}");
    assert_eq!(store.writes(), writes);
}

#[tokio::test]
async fn two_directories_that_found_the_same_store_at_once_are_told_apart() {
    let (store, ports) = empty();
    let gate = store.faults().gate("deployment.found");
    let late = {
        let store = store.clone();
        tokio::spawn(async move { found(&store, &ports, &Pepper::new([8; 32]), 10).await })
    };
    gate.arrived().await;
    let others = FixedPorts::new(FixedClock::default(), Arc::new(Ids::after(1_000_000)));
    found(&store, &others, &pepper(), 10).await.expect("founded");
    gate.open();
    let error = late.await.expect("it ended").expect_err("refused");
    assert!(matches!(error, FoundError::WrongDirectory { .. }), "{error}");
}

#[tokio::test]
async fn a_store_of_before_there_were_deployments_gets_one() {
    let (store, ports) = empty();
    store.faults().before("deployment.found");
    found(&store, &ports, &pepper(), 10).await.expect_err("the start ended there");
    let founded = found(&store, &ports, &pepper(), 10).await.expect("founded");
    let mut reads = store.reader().await.expect("a view");
    assert_eq!(reads.tenants().await.expect("read").len(), 1);
    let there = reads.deployment().await.expect("read").expect("one");
    assert!(pepper().founded(&there) && there.id == founded.deployment);
}

#[tokio::test]
async fn founding_is_told_in_the_audit_log() {
    let world = World::new().await;
    let told: Vec<String> = world.audit().await.into_iter().map(|entry| entry.action).collect();
    assert_eq!(told[..3], ["tenant.found", "deployment.found", "operator.create"]);
}
