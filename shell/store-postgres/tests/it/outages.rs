//! The server goes away, hangs, comes back, or another takes its place: nothing that was acknowledged is lost, no wait is
//! without an end, and nobody needs a restart.

use std::sync::Arc;
use std::time::Duration;

use muster_lifecycle::{MachineChange, SiteChange};
use muster_model::{Machine, Site};
use muster_store::{Reads, SettleError, Store, StoreError};
use muster_store_postgres::PostgresStore;
use muster_testkit::Kit;
use muster_testkit::postgres::Stop;
use tokio::sync::watch;
use tokio_postgres::NoTls;

use crate::support::{database, enroll, founded, has, open, server, settings, write};

/// Enrolls until it is told to stop, and gives the machines that were acknowledged.
async fn enrolling(
    store: PostgresStore,
    kit: Arc<Kit>,
    site: Site,
    stop: watch::Receiver<bool>,
) -> Vec<Machine> {
    let mut acknowledged = Vec::new();
    while !*stop.borrow() {
        let machine = kit.machine(&site);
        match enroll(&store, &kit, &machine).await {
            Ok(()) => acknowledged.push(machine),
            Err(SettleError::Store(StoreError::Unavailable { .. } | StoreError::Unknown { .. })) => {}
            Err(error) => panic!("an outage is an outage: {error:?}"),
        }
    }
    acknowledged
}

struct Crowd {
    stop: watch::Sender<bool>,
    calls: tokio::task::JoinSet<Vec<Machine>>,
}

impl Crowd {
    fn start(store: &PostgresStore, kit: &Arc<Kit>, site: &Site) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..16 {
            calls.spawn(enrolling(store.clone(), Arc::clone(kit), site.clone(), stopped.clone()));
        }
        Self { stop, calls }
    }

    async fn stop(self) -> Vec<Machine> {
        self.stop.send_replace(true);
        self.calls.join_all().await.into_iter().flatten().collect()
    }
}

/// Waits until this many machines more are there.
async fn more(store: &PostgresStore, kit: &Kit, count: u64) {
    use muster_store::Lists;
    let counted = async || {
        let mut reads = store.reader().await.ok()?;
        Some(reads.machine_counts(kit.tenant).await.ok()?.iter().sum::<u64>())
    };
    let mut goal = None;
    let progress = async {
        loop {
            if let Some(now) = counted().await {
                let goal = *goal.get_or_insert(now + count);
                if now >= goal {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), progress).await.expect("it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_and_comes_back_has_all_that_was_acknowledged() {
    let Some((server, url)) = server().await else { return };
    let store = open(url).await;
    let (kit, site) = founded(&store).await;
    let kit = Arc::new(kit);
    let crowd = Crowd::start(&store, &kit, &site);
    for stop in [Stop::Immediate, Stop::Fast, Stop::Immediate] {
        more(&store, &kit, 50).await;
        server.restart(stop);
    }
    more(&store, &kit, 50).await;
    server.kill_9();
    server.start_again();
    more(&store, &kit, 50).await;
    let acknowledged = crowd.stop().await;
    assert!(acknowledged.len() >= 200, "{}", acknowledged.len());
    for machine in &acknowledged {
        assert!(has(&store, machine).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_takes_over_has_all_that_was_acknowledged() {
    let Some((server, _)) = server().await else { return };
    let standby = server.standby(true);
    let url = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/muster?sslmode=disable",
        server.port(),
        standby.port()
    );
    let store = open(url).await;
    let (kit, site) = founded(&store).await;
    let kit = Arc::new(kit);
    let crowd = Crowd::start(&store, &kit, &site);
    more(&store, &kit, 100).await;
    server.kill_9();
    standby.promote();
    more(&store, &kit, 50).await;
    let acknowledged = crowd.stop().await;
    for machine in &acknowledged {
        assert!(has(&store, machine).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_makes_nobody_wait_for_ever() {
    let Some((server, url)) = server().await else { return };
    let store = open(url).await;
    let (kit, site) = founded(&store).await;
    let mut early = store.reader().await.expect("a reader");
    early.site(kit.tenant, site.id).await.expect("an answer");
    server.pause(true);
    let machine = kit.machine(&site);
    let written = tokio::time::timeout(Duration::from_secs(40), enroll(&store, &kit, &machine));
    let written = written.await.expect("it ends");
    assert!(matches!(written, Err(SettleError::Store(_))), "{written:?}");
    let read = tokio::time::timeout(Duration::from_secs(20), early.site(kit.tenant, site.id));
    assert!(read.await.expect("it ends").is_err());
    drop(early);
    let checked = tokio::time::timeout(Duration::from_secs(20), store.check());
    assert!(checked.await.expect("it ends").is_err());
    server.pause(false);
    more(&store, &kit, 0).await;
    let later = kit.machine(&site);
    enroll(&store, &kit, &later).await.expect("it works again");
    assert!(has(&store, &later).await);
    store.check().await.expect("it answers again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_hold_is_waited_for_a_while_tried_again_and_counted() {
    let Some(database) = database().await else { return };
    let store = PostgresStore::open(settings(database.url())).await.expect("a store");
    let (kit, site) = founded(&store).await;
    let machine = kit.machine(&site);
    enroll(&store, &kit, &machine).await.expect("written");
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT FROM machines FOR UPDATE").await.expect("locked");
    // Longer than the store waits for a lock, and shorter than it tries.
    let release = tokio::spawn(async move { client.batch_execute("SELECT pg_sleep(2.5); COMMIT").await });
    let before = store.retries();
    let renamed = Machine { name: "omega".parse().expect("a name"), ..machine.clone() };
    write(&store, &kit, vec![MachineChange::Update(renamed.clone()).into()]).await.expect("in the end");
    release.await.expect("no panic").expect("released");
    assert!(store.retries() > before);
    let mut reads = store.reader().await.expect("a reader");
    let found = reads.machine(machine.tenant, machine.id).await.expect("an answer");
    assert_eq!(found, Some(renamed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_a_connection_that_died_idle_reads_on_another() {
    let Some(database) = database().await else { return };
    let store = open(database.url()).await;
    let (kit, site) = founded(&store).await;
    for _ in 0..3 {
        let mut reads = store.reader().await.expect("a reader");
        assert!(reads.site(kit.tenant, site.id).await.expect("an answer").is_some());
        drop(reads);
        database.run_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
    let site = kit.site();
    write(&store, &kit, vec![SiteChange::Create(site).into()]).await.expect("written on another as well");
    store.check().await.expect("and asked");
}
