//! Everything out of one file and into another: whole, or not at all.

use std::collections::VecDeque;

use muster_lifecycle::DeploymentChange;
use muster_model::{DeploymentId, IncarnationId};
use muster_store::{Lists, MachineFilter, PageRequest, Reads, Store};
use muster_store_sql::transfer::{Head, Incoming, Sink, Source, TransferError, export};
use muster_store_sqlite::{ImportError, SqliteStore};
use muster_testkit::{Kit, at};
use tempfile::TempDir;

use crate::support::{enroll, founded, write};

#[derive(Debug, Clone, Default)]
struct Lines(VecDeque<String>);

impl Sink for Lines {
    async fn put(&mut self, line: String) -> Result<(), TransferError> {
        self.0.push_back(line);
        Ok(())
    }
}

impl Source for Lines {
    async fn next(&mut self) -> Result<Option<String>, TransferError> {
        Ok(self.0.pop_front())
    }
}

/// A deployment with so many machines, and all of it as lines.
async fn exported(machines: usize) -> (Kit, Lines, Head) {
    let store = SqliteStore::in_memory().expect("a new database");
    let (kit, site) = founded(&store).await;
    let (id, incarnation) = (DeploymentId::new(1, [1; 10]), IncarnationId::new(1, [2; 10]));
    let found = DeploymentChange::Found { id, proof: [7; 32], incarnation, at: at(1) };
    write(&store, &kit, vec![found.into()]).await.expect("written");
    for _ in 0..machines {
        enroll(&store, &kit, kit.machine(&site)).await.expect("written");
    }
    let mut lines = Lines::default();
    let mut reader = store.reader().await.expect("a reader");
    let head = export(reader.engine(), &mut lines, |_, _| {}).await.expect("exported");
    (kit, lines, head)
}

async fn imported(lines: Lines) -> (TempDir, Result<SqliteStore, ImportError>) {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("muster.db");
    let done = async {
        let mut incoming = Incoming::begin(lines).await?;
        SqliteStore::import(&path, &mut incoming, |_, _| {}).await
    };
    let opened = match done.await {
        Ok(()) => Ok(SqliteStore::open(&path).expect("it opens")),
        Err(error) => {
            assert!(!path.exists(), "what failed leaves no database");
            Err(error)
        }
    };
    (home, opened)
}

#[tokio::test]
async fn everything_comes_back_the_same_and_is_exported_the_same() {
    // More than a page, and a batch that is not full.
    let (kit, lines, head) = exported(1042).await;
    let (_home, store) = imported(lines.clone()).await;
    let store = store.expect("imported");
    let mut reader = store.reader().await.expect("a reader");
    let mut again = Lines::default();
    let second = export(reader.engine(), &mut again, |_, _| {}).await.expect("exported");
    assert_eq!(second, head);
    assert_eq!(again.0, lines.0);
    assert_eq!(reader.machine_counts(kit.tenant).await.expect("kept").iter().sum::<u64>(), 1042);
    let filter = MachineFilter { search: Some("hostname".to_owned()), ..MachineFilter::default() };
    let all = MachineFilter::default();
    let page = || PageRequest { limit: 2000, after: None };
    let listed = reader.machines(kit.tenant, &all, page()).await.expect("a list").items;
    let name = listed[17].machine.name.to_string();
    let filter = MachineFilter { search: Some(name), ..filter };
    let found = reader.machines(kit.tenant, &filter, page()).await.expect("a list").items;
    assert!(found.contains(&listed[17]), "{}", found.len());
    assert!(listed.iter().all(|row| !row.presence.online));
    drop(reader);
    let mut reader = store.reader().await.expect("a reader");
    let site =
        reader.site(kit.tenant, listed[0].machine.site).await.expect("an answer").expect("it came too");
    let mut machine = kit.machine(&site);
    machine.hardware_id = None;
    enroll(&store, &kit, machine).await.expect("its log and its numbers go on");
}

#[tokio::test]
async fn lines_that_were_cut_changed_or_added_to_are_refused_with_their_number_and_leave_nothing() {
    let (_, lines, _) = exported(3).await;
    let last = lines.0.len();
    let refused = async |lines: Lines| match imported(lines).await.1 {
        Err(ImportError::Transfer(error)) => error,
        other => panic!("{other:?}"),
    };
    for cut in 0..last {
        let error = refused(Lines(lines.0.iter().take(cut).cloned().collect())).await;
        let at = matches!(error, TransferError::Damaged { line, .. } if line == (cut + 1) as u64);
        assert!(at, "cut after {cut} lines: {error}");
    }
    let mut longer = lines.clone();
    longer.0.push_back(String::new());
    assert!(matches!(refused(longer).await, TransferError::Damaged { line, .. } if line == last as u64 + 1));
    let machine =
        lines.0.iter().position(|line| line.contains("\"table\":\"machines\"")).expect("it is there") + 1;
    let mut changed = lines.clone();
    changed.0[machine] = changed.0[machine].replace("host", "hast");
    assert_ne!(changed.0, lines.0);
    assert!(matches!(refused(changed).await, TransferError::Damaged { line, .. } if line == last as u64));
    let mut torn = lines.clone();
    torn.0[machine] = "[1".to_owned();
    assert!(matches!(refused(torn).await, TransferError::Damaged { line, .. } if line == machine as u64 + 1));
    let mut swapped = lines.clone();
    swapped.0.swap(machine, machine + 2);
    let error = refused(swapped).await;
    assert!(matches!(error, TransferError::Damaged { .. } | TransferError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn what_is_there_is_not_imported_over_and_what_was_never_founded_is_not_exported() {
    let (_, lines, _) = exported(1).await;
    let (home, store) = imported(lines.clone()).await;
    drop(store.expect("imported"));
    let path = home.path().join("muster.db");
    let before = std::fs::read(&path).expect("there");
    let mut incoming = Incoming::begin(lines).await.expect("a head");
    let again = SqliteStore::import(&path, &mut incoming, |_, _| {}).await;
    assert!(matches!(again, Err(ImportError::Open(muster_store_sqlite::OpenError::Exists(_)))), "{again:?}");
    assert_eq!(std::fs::read(&path).expect("there"), before);
    let empty = SqliteStore::in_memory().expect("a new database");
    let mut reader = empty.reader().await.expect("a reader");
    let nothing = export(reader.engine(), &mut Lines::default(), |_, _| {}).await;
    assert!(matches!(nothing, Err(TransferError::Nothing)), "{nothing:?}");
}

#[tokio::test]
async fn a_look_tells_what_is_there_and_changes_nothing() {
    let (_, lines, head) = exported(1).await;
    let (home, store) = imported(lines).await;
    store.expect("imported").close().await;
    let path = home.path().join("muster.db");
    let before = std::fs::read(&path).expect("there");
    let found = SqliteStore::look(&path).expect("ours");
    assert_eq!((found.deployment.map(|there| there.id), found.newest), (Some(head.deployment), head.newest));
    assert_eq!(std::fs::read(&path).expect("there"), before);
    std::fs::write(&path, "something else").expect("ours");
    assert!(SqliteStore::look(&path).is_err());
}

#[tokio::test]
async fn no_table_and_no_column_is_left_behind_but_those_that_are_made_anew() {
    const ANEW: [&str; 3] = ["meta", "machine_search", "machine_counts"];
    let (_, lines, _) = exported(1).await;
    let (home, store) = imported(lines.clone()).await;
    drop(store.expect("imported"));
    let db = rusqlite::Connection::open(home.path().join("muster.db")).expect("it opens");
    let column =
        "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'";
    let mut statement = db.prepare(column).expect("a statement");
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
    let kept = rows.expect("rows").map(|row| row.expect("a row"));
    for (table, column) in kept.filter(|(table, _)| !table.starts_with("sqlite_")) {
        let is_anew = ANEW.iter().any(|anew| table.starts_with(anew));
        let head = lines.0.iter().find(|line| line.starts_with(&format!("{{\"table\":\"{table}\"")));
        let carried = head.is_some_and(|head| head.contains(&format!("\"{column}\"")));
        let is_presence = (table.as_str(), column.as_str()) == ("presence", "online");
        assert!(carried || is_anew || is_presence, "{table}.{column} is not carried over");
    }
}
