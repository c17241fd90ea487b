//! The file: making, opening, refusing, closing.

use std::fs;
use std::path::{Path, PathBuf};

use muster_lifecycle::DeploymentChange;
use muster_model::{Deployment, DeploymentId, IncarnationId, Machine, Site, Timestamp};
use muster_store::{Reads, SettleError, Store, StoreError, Unscoped};
use muster_store_sqlite::{OpenError, SqliteStore};
use muster_testkit::Kit;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use crate::support::{enroll, founded, write};

fn place() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("muster.db");
    (home, path)
}

fn refused(path: &Path) -> OpenError {
    let before = fs::read(path).ok();
    let error = SqliteStore::open(path).expect_err("it is refused");
    assert_eq!(fs::read(path).ok(), before, "what is refused is left as it is");
    error
}

#[tokio::test]
async fn what_was_written_is_there_after_closing_and_opening() {
    let (_home, path) = place();
    let store = SqliteStore::create(&path).expect("a new database");
    let (kit, site) = founded(&store).await;
    let machine = kit.machine(&site);
    enroll(&store, &kit, machine.clone()).await.expect("written");
    store.close().await;
    drop(store);
    let store = SqliteStore::open(&path).expect("it opens");
    let mut reads = store.reader().await.expect("a reader");
    assert_eq!(reads.machine(kit.tenant, machine.id).await.expect("an answer"), Some(machine));
}

#[tokio::test]
async fn a_closed_store_takes_nothing_and_leaves_one_file() {
    let (home, path) = place();
    let store = SqliteStore::create(&path).expect("a new database");
    let (kit, site) = founded(&store).await;
    drop(store.reader().await.expect("a reader"));
    store.close().await;
    store.close().await;
    let settled = enroll(&store, &kit, kit.machine(&site)).await;
    assert!(matches!(settled, Err(SettleError::Store(StoreError::Unavailable { .. }))), "{settled:?}");
    assert!(matches!(store.reader().await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(store.check().await, Err(StoreError::Unavailable { .. })));
    let files = fs::read_dir(home.path()).expect("the directory").count();
    assert_eq!(files, 1, "the log is in the file");
    let clean: bool = Connection::open(&path)
        .and_then(|db| db.query_row("SELECT clean FROM meta", [], |row| row.get(0)))
        .expect("an answer");
    assert!(clean);
}

#[test]
fn nothing_is_made_where_something_is() {
    for content in ["", "something"] {
        let (_home, path) = place();
        fs::write(&path, content).expect("written");
        assert!(matches!(SqliteStore::create(&path), Err(OpenError::Exists(_))));
        assert_eq!(fs::read(&path).expect("the file"), content.as_bytes());
    }
}

#[test]
fn making_goes_on_where_an_earlier_attempt_was_cut_off() {
    let (home, path) = place();
    fs::write(home.path().join("muster.db.new"), "half a database").expect("written");
    drop(SqliteStore::create(&path).expect("a new database"));
    let files = fs::read_dir(home.path()).expect("the directory").count();
    assert_eq!(files, 1);
}

#[test]
fn an_empty_registry_never_takes_the_place_of_a_lost_one() {
    let (_home, path) = place();
    assert!(matches!(refused(&path), OpenError::Missing(_)));
    assert!(!path.exists());
    fs::write(&path, "").expect("written");
    assert!(matches!(refused(&path), OpenError::Empty(_)));
    fs::write(&path, "not a database at all, but long enough to have a header of one".repeat(100))
        .expect("written");
    assert!(matches!(refused(&path), OpenError::Damaged { .. }));
}

#[test]
fn databases_of_others_and_of_newer_versions_are_refused() {
    let (_home, path) = place();
    let db = Connection::open(&path).expect("a database");
    db.execute_batch("CREATE TABLE machines (id INTEGER)").expect("a table");
    drop(db);
    assert!(matches!(refused(&path), OpenError::NotOurs(_)));
    let (_home, path) = place();
    drop(SqliteStore::create(&path).expect("a new database"));
    let db = Connection::open(&path).expect("the database");
    db.pragma_update(None, "user_version", 1000).expect("a setting");
    db.close().expect("closed");
    let error = refused(&path);
    assert!(matches!(error, OpenError::Newer { found: 1000, .. }), "{error:?}");
}

/// A database as the first version made it, with a machine in it.
fn of_the_first_version(path: &Path, kit: &Kit, site: &Site, machine: &Machine) {
    let db = Connection::open(path).expect("a database");
    db.execute_batch(include_str!("../../migrations/0001_start.sql")).expect("the first schema");
    let millis = |time: Timestamp| time.as_millisecond();
    let (tenant, state) = (kit.tenant(), &machine.state);
    db.execute(
        "INSERT INTO tenants (id, code, created_at) VALUES (?1, ?2, ?3)",
        params![tenant.id.as_bytes(), tenant.code.as_str(), millis(tenant.created_at)],
    )
    .expect("a tenant");
    db.execute(
        "INSERT INTO sites (tenant_id, id, code, approval, requests, reimage, seats, hold_cap, created_at)
            VALUES (?1, ?2, ?3, 0, 1, 'never', NULL, 5, ?4)",
        params![tenant.id.as_bytes(), site.id.as_bytes(), site.code.as_str(), millis(site.created_at)],
    )
    .expect("a site");
    db.execute(
        "INSERT INTO machines (tenant_id, id, site_id, name, kind, generation, labels, attributes, state, state_since,
            created_at) VALUES (?1, ?2, ?3, ?4, ?5, 1, '{}', '{}', ?6, ?7, ?8)",
        params![
            tenant.id.as_bytes(),
            machine.id.as_bytes(),
            site.id.as_bytes(),
            machine.name.as_str(),
            machine.kind.as_str(),
            state.as_str(),
            millis(state.since()),
            millis(machine.created_at),
        ],
    )
    .expect("a machine");
    db.execute("UPDATE meta SET clean = 1", []).expect("closed in good order");
    db.close().expect("closed");
}

#[tokio::test]
async fn a_database_of_the_first_version_is_brought_up_to_date_with_all_that_is_in_it() {
    let (_home, path) = place();
    let kit = Kit::default();
    let site = kit.site();
    let machine = kit.machine(&site);
    of_the_first_version(&path, &kit, &site, &machine);
    let store = SqliteStore::open(&path).expect("it opens");
    let mut reads = store.reader().await.expect("a reader");
    let found = reads.machine(kit.tenant, machine.id).await.expect("an answer").expect("the machine");
    assert_eq!((found.id, found.name, found.state), (machine.id, machine.name, machine.state));
    assert_eq!(reads.deployment().await.expect("an answer"), None, "it was founded before this was kept");
    drop(reads);
    let deployment = founding(&kit);
    write(&store, &kit, vec![deployment.clone().into()]).await.expect("written");
    store.close().await;
    drop(store);
    let version: i64 = Connection::open(&path)
        .and_then(|db| db.query_row("PRAGMA user_version", [], |row| row.get(0)))
        .expect("an answer");
    assert_eq!(version, 5);
    let store = SqliteStore::open(&path).expect("it opens again");
    let mut reads = store.reader().await.expect("a reader");
    let found = reads.deployment().await.expect("an answer").expect("the deployment");
    let DeploymentChange::Found { id, proof, incarnation, .. } = deployment else {
        unreachable!("it founds")
    };
    assert_eq!(found, Deployment { id, proof, incarnations: vec![incarnation], gap: None });
}

fn founding(kit: &Kit) -> DeploymentChange {
    let now = kit.tenant().created_at;
    let (id, incarnation) = (DeploymentId::from_bytes([3; 16]), IncarnationId::from_bytes([4; 16]));
    DeploymentChange::Found { id, proof: [5; 32], incarnation, at: now }
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let (_home, path) = place();
    let store = SqliteStore::create(&path).expect("a new database");
    let (kit, site) = founded(&store).await;
    for _ in 0..200 {
        enroll(&store, &kit, kit.machine(&site)).await.expect("written");
    }
    store.close().await;
    drop(store);
    let sound = fs::read(&path).expect("the file");
    let mut torn = sound.clone();
    let third = sound.len() / 3;
    torn[third..third + 8192].fill(0xa5);
    for damaged in [&torn[..], &sound[..sound.len() - 4096 * 3]] {
        fs::write(&path, damaged).expect("written");
        let error = refused(&path);
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_and_its_log_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (home, path) = place();
    let store = SqliteStore::create(&path).expect("a new database");
    founded(&store).await;
    let files: Vec<_> = fs::read_dir(home.path()).expect("the directory").flatten().collect();
    assert_eq!(files.len(), 3, "the file, its log and the index of the log");
    for file in files {
        let mode = file.metadata().expect("its metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
    }
}

#[tokio::test]
async fn reading_refusing_and_checking_write_nothing() {
    let store = SqliteStore::in_memory().expect("a new database");
    let (kit, site) = founded(&store).await;
    let before = store.writes();
    enroll(&store, &kit, kit.machine(&site)).await.expect("written");
    assert_eq!(store.writes(), before + 1);
    store.check().await.expect("it can be written to");
    drop(store.reader().await.expect("a reader"));
    store.note_presence(Vec::new()).await.expect("nothing to note");
    store.tell(Vec::new()).await.expect("nothing to tell");
    assert_eq!(store.writes(), before + 1);
}

#[tokio::test]
async fn a_database_for_tests_is_gone_with_its_last_clone() {
    let store = SqliteStore::in_memory().expect("a new database");
    let (path, clone) = (store.path().to_owned(), store.clone());
    drop(store);
    clone.check().await.expect("it lives on");
    drop(clone);
    assert!(!path.exists());
}
