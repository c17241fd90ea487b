//! What is acknowledged survives: a power cut that tears the log, and a process that is killed.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use muster_model::MachineId;
use muster_store_sqlite::SqliteStore;
use muster_testkit::{Ids, Kit};

use crate::support::{enroll, founded, machines_in};

/// Tells a child process where to write.
const CHILD: &str = "MUSTER_TEST_CRASH_CHILD";

fn log_of(path: &Path) -> PathBuf {
    path.with_file_name("muster.db-wal")
}

/// What is on the disk after a power cut at this moment: of the log, all that was there when the last write was
/// acknowledged, a part of what came later, and noise where the next sector was being written.
fn power_cut(from: &Path, to: &Path, synced: usize, seed: usize) {
    fs::copy(from, to).expect("copied");
    let log = fs::read(log_of(from)).expect("the log");
    let torn = synced + (seed * 7919) % (log.len() - synced + 1);
    let mut left = log[..torn].to_vec();
    left.extend(std::iter::repeat_n(0xa5, (seed * 31) % 512));
    fs::write(log_of(to), left).expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_54_a_power_cut_loses_no_acknowledged_write() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("muster.db");
    let store = SqliteStore::create(&path).expect("a new database");
    let (kit, site) = founded(&store).await;
    let kit = Arc::new(kit);
    let acknowledged: Arc<Mutex<(Vec<MachineId>, usize)>> = Arc::default();
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let (store, kit, site) = (store.clone(), Arc::clone(&kit), site.clone());
            let (acknowledged, log) = (Arc::clone(&acknowledged), log_of(&path));
            tokio::spawn(async move {
                for _ in 0..40 {
                    let id = enroll(&store, &kit, kit.machine(&site)).await.expect("written");
                    let synced = fs::metadata(&log).expect("the log").len() as usize;
                    let mut known = acknowledged.lock().expect("no panic");
                    known.0.push(id);
                    known.1 = known.1.max(synced);
                }
            })
        })
        .collect();
    let mut cuts = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        cuts += 1;
        let elsewhere = tempfile::tempdir().expect("a directory");
        let copy = elsewhere.path().join("muster.db");
        let (known, synced) = acknowledged.lock().expect("no panic").clone();
        power_cut(&path, &copy, synced, cuts);
        assert_eq!(machines_in(&copy, &kit, &known).await, known, "after cut {cuts}");
    }
    assert!(cuts > 3, "only {cuts} cuts");
    let writes = store.writes();
    assert!(writes < 321, "{writes} commits for 321 plans: some were committed together");
}

/// Not a test by itself: what the killed process does. It tells each acknowledged machine on its own line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = SqliteStore::open(&path).expect("it opens");
    let kit = Arc::new(Kit { tenant: Kit::default().tenant, ids: Ids::after(1 << 40) });
    let site = Kit::default().site();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, kit, site) = (store.clone(), Arc::clone(&kit), site.clone());
        writers.spawn(async move {
            loop {
                let id = enroll(&store, &kit, kit.machine(&site)).await.expect("written");
                writeln!(std::io::stderr(), "acknowledged {id}").expect("told");
            }
        });
    }
    writers.join_next().await;
}

#[tokio::test]
async fn q_54_a_killed_process_loses_no_acknowledged_write() {
    for acknowledged in [1, 50, 600] {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("muster.db");
        let store = SqliteStore::create(&path).expect("a new database");
        let (kit, _) = founded(&store).await;
        drop(store);
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "crash::child_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child");
        let told = BufReader::new(child.stderr.take().expect("its output"));
        let mut known: Vec<MachineId> = Vec::new();
        for line in told.lines() {
            let line = line.expect("a line");
            let id: Option<MachineId> = line.strip_prefix("acknowledged ").and_then(|id| id.parse().ok());
            known.extend(id);
            if known.len() == acknowledged {
                child.kill().expect("killed");
            }
        }
        child.wait().expect("it ended");
        assert!(known.len() >= acknowledged, "{}", known.len());
        assert_eq!(machines_in(&path, &kit, &known).await, known);
    }
}
