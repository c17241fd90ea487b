//! What a process finds of the one before it.

use std::path::PathBuf;

use muster_model::{Machine, Presence, SignedDuration};
use muster_store::conformance::joining;
use muster_store::{Joining, PresenceNote, Reads, Store};
use muster_store_sqlite::SqliteStore;
use muster_testkit::{Kit, at};
use tempfile::TempDir;

use crate::support::{enroll, founded};

fn place() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("muster.db");
    (home, path)
}

fn note(kit: &Kit, machine: &Machine, second: i64, online: bool) -> PresenceNote {
    PresenceNote { tenant: kit.tenant, machine: machine.id, last_seen: at(second), online, bundle: None }
}

async fn presence(store: &SqliteStore, kit: &Kit, machine: &Machine) -> Presence {
    let mut reads = store.reader().await.expect("a reader");
    reads.presence(kit.tenant, machine.id).await.expect("an answer")
}

#[tokio::test]
async fn presence_left_behind_ends_at_the_next_join() {
    let (_home, path) = place();
    let store = SqliteStore::create(&path).expect("a new database");
    let (kit, site) = founded(&store).await;
    let [held, left, ahead] = [kit.machine(&site), kit.machine(&site), kit.machine(&site)];
    for machine in [&held, &left, &ahead] {
        enroll(&store, &kit, machine.clone()).await.expect("written");
    }
    let notes =
        vec![note(&kit, &held, 10, true), note(&kit, &left, 20, false), note(&kit, &ahead, 900, true)];
    store.note_presence(notes).await.expect("noted");
    store.close().await;
    drop(store);
    let store = SqliteStore::open(&path).expect("it opens");
    let before = presence(&store, &kit, &held).await;
    assert_eq!(before, Presence { last_seen: Some(at(10)), online: true }, "opening alone ends nothing");
    store.join(Joining { now: at(100), ..joining(2) }).await.expect("joined");
    // Whoever was held counts as seen until now, and never as seen earlier than it was.
    for (machine, seen) in [(&held, 100), (&left, 20), (&ahead, 900)] {
        let now = presence(&store, &kit, machine).await;
        assert_eq!(now, Presence { last_seen: Some(at(seen)), online: false });
    }
    store.note_presence(vec![note(&kit, &held, 101, true)]).await.expect("noted");
    assert!(presence(&store, &kit, &held).await.online);
}

#[tokio::test]
async fn who_joined_last_does_every_job() {
    let store = SqliteStore::in_memory().expect("a new database");
    let span = SignedDuration::from_secs(30);
    assert_eq!(store.lease("expiry", span).await.expect("an answer"), None, "who has not joined does no job");
    for number in [3, 4] {
        store.join(joining(number)).await.expect("joined");
        for job in ["expiry", "another"] {
            let fence = store.lease(job, span).await.expect("an answer").expect("nobody else has it");
            assert_eq!((fence.job, fence.holder), (job, joining(number).replica));
        }
    }
    assert_eq!(store.signals().await.expect("an answer"), [], "there is nobody else to hear of");
}
