//! What the writer does with many jobs, a full disk and a damaged one. Needs the inside: the connection and the queue.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_lifecycle::{Change, GrantChange, MachineChange, Plan, SiteChange, TenantChange};
use muster_model::{Entry, Grant, GrantId, KeyFingerprint, Machine, Refusal, Site};
use muster_store::{Decision, Lists, PresenceNote, Reads, SettleError, Store, StoreError, Unscoped};
use muster_store_sql::Dialect;
use muster_testkit::{Kit, at, public_key};
use rusqlite::ffi;

use crate::engine::Sqlite;
use crate::failure::failed;
use crate::job::Note;
use crate::{Pooled, SqliteStore, open};

struct Write {
    changes: Vec<Change>,
    entry: Entry,
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

/// Spends a token, or refuses because it is spent.
struct Spend {
    grant: Grant,
    key: KeyFingerprint,
    entry: Entry,
}

impl Decision for Spend {
    const NAME: &'static str = "test.spend";
    type Facts = Option<Grant>;
    type Outcome = GrantId;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Grant>, StoreError> {
        reads.grant(self.grant.tenant, self.grant.id).await
    }

    fn decide(&self, grant: Option<Grant>) -> Result<Plan<GrantId>, Refusal> {
        let uses = grant.and_then(|grant| grant.drawn(Some(self.key), at(1)));
        let uses = uses.ok_or(Refusal::NotEntitled { cause: "spent" })?;
        let change = GrantChange::Draw { grant: self.grant.id, uses };
        Ok(Plan::new(self.grant.id, vec![change.into()], self.entry.clone()))
    }
}

/// Waits for something that is not the store.
struct Patient;

impl Decision for Patient {
    const NAME: &'static str = "test.patient";
    type Facts = ();
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        std::future::pending().await
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        Ok(Plan::unchanged(()))
    }
}

async fn founded(store: &SqliteStore) -> (Kit, Site, Grant) {
    let kit = Kit::default();
    let site = kit.site();
    let grant = kit.grant(&site);
    let changes = vec![
        TenantChange::Create(kit.tenant()).into(),
        SiteChange::Create(site.clone()).into(),
        GrantChange::Create(grant.clone()).into(),
    ];
    store.settle(Write { changes, entry: kit.entry("test.found") }).await.expect("written");
    (kit, site, grant)
}

fn create(kit: &Kit, machine: Machine) -> Write {
    Write { changes: vec![MachineChange::Create(machine).into()], entry: kit.entry("test.create") }
}

/// A change of a machine that is not there.
fn wrong(kit: &Kit, site: &Site) -> Write {
    let changes = vec![MachineChange::Update(kit.machine(site)).into()];
    Write { changes, entry: kit.entry("test.wrong") }
}

/// Keeps the writer in a transaction until it is let go, so that what is queued meanwhile shares that transaction.
async fn hold_up(store: &SqliteStore) -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel();
    let (busy, mut is_busy) = tokio::sync::mpsc::unbounded_channel();
    let wait = Mutex::new(wait);
    let (job, answer) = Note::new(move |_| {
        // Run again, it finds the other end gone and goes on.
        if busy.send(()).is_ok() {
            wait.lock().expect("nobody panics").recv().ok();
        }
        Ok(Ok(()))
    });
    let store = store.clone();
    tokio::spawn(async move { store.ask(job, answer).await });
    is_busy.recv().await.expect("the writer has it");
    go
}

/// Starts calls in their order and gives their results when the writer has been let go.
macro_rules! together {
    ($store:expr, $($call:expr),+ $(,)?) => {{
        let go = hold_up($store).await;
        let all = async { tokio::join!($($call),+) };
        tokio::pin!(all);
        let queued = std::future::poll_fn(|context| {
            let pending = all.as_mut().poll(context).is_pending();
            std::task::Poll::Ready(pending)
        });
        assert!(queued.await, "they wait for the writer");
        go.send(()).expect("the writer waits");
        all.await
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_queued_is_committed_together() {
    let store = SqliteStore::in_memory().expect("a new database");
    let (kit, site, _) = founded(&store).await;
    let before = store.writes();
    let (one, two, three) = together!(
        &store,
        store.settle(create(&kit, kit.machine(&site))),
        store.settle(create(&kit, kit.machine(&site))),
        store.settle(create(&kit, kit.machine(&site))),
    );
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(store.writes(), before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_fails_takes_no_other_with_it() {
    let store = SqliteStore::in_memory().expect("a new database");
    let (kit, site, grant) = founded(&store).await;
    let before = store.writes();
    let spend = |number| Spend {
        grant: grant.clone(),
        key: public_key(number).fingerprint(),
        entry: kit.entry("test.spend"),
    };
    let (one, bad, first, second, two) = together!(
        &store,
        store.settle(create(&kit, kit.machine(&site))),
        store.settle(wrong(&kit, &site)),
        store.settle(spend(1)),
        store.settle(spend(2)),
        store.settle(create(&kit, kit.machine(&site))),
    );
    assert!(one.is_ok() && two.is_ok());
    assert!(matches!(bad, Err(SettleError::Store(StoreError::Invariant { .. }))), "{bad:?}");
    assert!(first.is_ok(), "{first:?}");
    assert!(matches!(second, Err(SettleError::Refused(Refusal::NotEntitled { .. }))), "{second:?}");
    assert_eq!(store.writes(), before + 1);
    let mut reads = store.reader().await.expect("a reader");
    assert_eq!(reads.machine_counts(kit.tenant).await.expect("an answer"), [0, 2, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_53_nobody_is_answered_from_a_transaction_that_was_lost() {
    let store = SqliteStore::in_memory().expect("a new database");
    let (kit, site, grant) = founded(&store).await;
    let before = store.writes();
    let spend = |number| Spend {
        grant: grant.clone(),
        key: public_key(number).fingerprint(),
        entry: kit.entry("test.spend"),
    };
    let (failing, answer) = Note::new(|batch| {
        batch.write(|_| {
            let code = ffi::Error::new(ffi::SQLITE_IOERR_FSYNC);
            Err(failed("sync")(rusqlite::Error::SqliteFailure(code, None)))
        })
    });
    let (first, second, lost) =
        together!(&store, store.settle(spend(1)), store.settle(spend(2)), store.ask(failing, answer));
    // The second was refused because the first had spent the token, and the first had not: an outage is no answer.
    for result in [first.map(drop), second.map(drop)] {
        assert!(matches!(result, Err(SettleError::Store(StoreError::Unavailable { .. }))), "{result:?}");
    }
    assert!(matches!(lost, Ok(Err(StoreError::Unavailable { .. }))), "{lost:?}");
    assert_eq!(store.writes(), before);
    store.damaged().await;
    let later = store.settle(create(&kit, kit.machine(&site))).await;
    assert!(matches!(later, Err(SettleError::Store(StoreError::Unavailable { .. }))), "{later:?}");
    assert!(store.check().await.is_err());
    let mut reads = store.reader().await.expect("reading goes on");
    assert_eq!(reads.grant(kit.tenant, grant.id).await.expect("an answer"), Some(grant));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_failed_is_checked_at_its_next_start() {
    let store = SqliteStore::in_memory().expect("a new database");
    founded(&store).await;
    let (failing, answer) = Note::new(|batch| {
        batch.write(|_| {
            let code = ffi::Error::new(ffi::SQLITE_CORRUPT);
            Err(failed("write")(rusqlite::Error::SqliteFailure(code, None)))
        })
    });
    assert!(store.ask(failing, answer).await.expect("an answer").is_err());
    store.close().await;
    let db = open::connect(store.path()).expect("a connection");
    let clean: bool = db.query_row("SELECT clean FROM meta", [], |row| row.get(0)).expect("an answer");
    assert!(!clean);
}

/// A store whose file may grow by so many pages and no more.
fn with_room_for(pages: i64) -> SqliteStore {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("muster.db");
    let opened = open::create(&path).expect("a new database");
    let count: i64 = opened.db.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("a number");
    opened.db.pragma_update(None, "max_page_count", count + pages).expect("a setting");
    SqliteStore::start(&path, opened, Some(home)).expect("a store")
}

#[tokio::test]
async fn a_full_disk_stops_writing_and_nothing_else() {
    let store = with_room_for(20);
    let (kit, site, _) = founded(&store).await;
    let first = kit.machine(&site);
    let seen = |second| PresenceNote {
        tenant: kit.tenant,
        machine: first.id,
        last_seen: at(second),
        online: true,
        bundle: None,
    };
    store.settle(create(&kit, first.clone())).await.expect("written");
    store.note_presence(vec![seen(0)]).await.expect("noted");
    store.check().await.expect("there is room");
    let mut written = 1;
    let error = loop {
        match store.settle(create(&kit, kit.machine(&site))).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 10_000, "there is an end to the room");
    };
    assert!(matches!(error, SettleError::Store(StoreError::Full { .. })), "{error:?}");
    assert!(matches!(store.check().await, Err(StoreError::Full { .. })));
    let mut reads = store.reader().await.expect("reading goes on");
    assert_eq!(reads.machine_counts(kit.tenant).await.expect("an answer"), [0, written, 0, 0]);
    drop(reads);
    store.note_presence(vec![seen(60)]).await.expect("what needs no new page is written");
    store.check().await.expect("the last write found room");
}

#[tokio::test]
async fn room_that_was_made_is_found_by_looking() {
    let store = with_room_for(20);
    let (kit, site, _) = founded(&store).await;
    while store.settle(create(&kit, kit.machine(&site))).await.is_ok() {}
    assert!(store.check().await.is_err(), "it is full");
    let (job, answer) = Note::new(|batch| {
        batch.db.pragma_update(None, "max_page_count", 1_000_000).expect("a setting");
        Ok(Ok::<(), StoreError>(()))
    });
    store.ask(job, answer).await.expect("an answer").expect("a larger disk");
    store.check().await.expect("looking is enough");
}

#[tokio::test]
async fn a_decision_that_waits_for_something_else_is_a_mistake() {
    let store = SqliteStore::in_memory().expect("a new database");
    let settled = store.settle(Patient).await;
    assert!(matches!(settled, Err(SettleError::Store(StoreError::Invariant { .. }))), "{settled:?}");
}

#[tokio::test]
async fn a_large_file_that_was_not_closed_is_checked_beside_the_work() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("muster.db");
    let store = SqliteStore::create(&path).expect("a new database");
    let (kit, site, _) = founded(&store).await;
    for _ in 0..100 {
        store.settle(create(&kit, kit.machine(&site))).await.expect("written");
    }
    store.close().await;
    let mut bytes = std::fs::read(&path).expect("the file");
    let third = bytes.len() / 3;
    bytes[third..third + 8192].fill(0xa5);
    std::fs::write(&path, bytes).expect("written");
    let health = Arc::new(crate::health::Health::default());
    crate::store::check_beside(&path, &health).expect("a thread");
    health.damaged().await;
    assert!(health.sound().is_err());
}

/// A list that goes on until another task of the same runtime says so.
async fn list_until_let_go() -> Result<(), mpsc::RecvTimeoutError> {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    tokio::spawn(async move { go.send(()) });
    let list = async move { wait.lock().expect("nobody panics").recv_timeout(Duration::from_secs(20)) };
    <Sqlite<Pooled> as Dialect>::aside(list).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_list_keeps_no_other_task_from_running() {
    let done = tokio::spawn(list_until_let_go()).await.expect("no panic");
    assert_eq!(done, Ok(()), "the other task had no thread to run on");
}

#[tokio::test]
async fn a_list_is_answered_where_there_is_one_thread_and_where_it_waits() {
    let store = SqliteStore::in_memory().expect("a new database");
    let (kit, ..) = founded(&store).await;
    let mut reads = store.reader().await.expect("a reader");
    assert_eq!(reads.machine_counts(kit.tenant).await.expect("an answer"), [0; 4]);
    let waits = async {
        tokio::task::yield_now().await;
        7
    };
    assert_eq!(<Sqlite<Pooled> as Dialect>::aside(waits).await, 7);
}
