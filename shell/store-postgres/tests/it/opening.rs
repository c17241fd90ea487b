//! Which databases are opened, and what is said of the others.

use muster_store::Store;
use muster_store_postgres::{Found, OpenError, PostgresStore, Settings, probe};
use muster_testkit::postgres::shared;

use crate::support::{database, enroll, founded, has, open, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_database_is_filled_by_creating_and_never_by_opening() {
    let Some(shared) = shared() else { return };
    let database = shared.empty_database();
    let settings = settings(database.url());
    assert_eq!(probe(&settings).await.expect("an answer"), Found::Empty);
    let refused = PostgresStore::open(settings.clone()).await;
    assert!(matches!(refused, Err(OpenError::Empty(_))), "{refused:?}");
    assert_eq!(probe(&settings).await.expect("an answer"), Found::Empty, "and it is empty still");
    let store = PostgresStore::create(settings.clone()).await.expect("a schema");
    store.check().await.expect("it answers");
    assert_eq!(probe(&settings).await.expect("an answer"), Found::Muster { version: 4, deployment: None });
    let refused = PostgresStore::create(settings).await;
    assert!(matches!(refused, Err(OpenError::Exists(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_database_is_left_alone() {
    let Some(shared) = shared() else { return };
    let database = shared.empty_database();
    database.run_sql("CREATE TABLE invoices (n bigint)");
    let settings = settings(database.url());
    assert_eq!(probe(&settings).await.expect("an answer"), Found::Foreign);
    for refused in [PostgresStore::open(settings.clone()).await, PostgresStore::create(settings).await] {
        assert!(matches!(refused, Err(OpenError::NotOurs(_))), "{refused:?}");
    }
    let tables = database.run_sql(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    );
    assert_eq!(tables, [[Some("invoices".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_of_before_works_on_a_schema_that_grew_and_not_on_one_that_lost_what_it_needs() {
    let Some(database) = database().await else { return };
    let store = open(database.url()).await;
    let (kit, site) = founded(&store).await;
    // What the next release adds, while this one runs.
    database.run_sql(
        "ALTER TABLE machines ADD COLUMN rack text; ALTER TABLE machines ADD COLUMN shelf bigint NOT NULL DEFAULT 7;
        CREATE TABLE racks (id bytea PRIMARY KEY);
        UPDATE muster_schema SET version = 5, compatible_from = 1",
    );
    let machine = kit.machine(&site);
    enroll(&store, &kit, &machine).await.expect("written");
    let restarted = open(database.url()).await;
    assert!(has(&restarted, &machine).await);
    let machine = kit.machine(&site);
    enroll(&restarted, &kit, &machine).await.expect("written");
    assert!(has(&store, &machine).await);
    assert_eq!(
        probe(&settings(database.url())).await.expect("an answer"),
        Found::Muster { version: 5, deployment: None }
    );
    database.run_sql("UPDATE muster_schema SET version = 6, compatible_from = 5");
    let refused = PostgresStore::open(settings(database.url())).await;
    assert!(matches!(refused, Err(OpenError::Newer { found: 6, known: 4, .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_create_at_once_one_does() {
    let Some(shared) = shared() else { return };
    let database = shared.empty_database();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let settings = settings(database.url());
        calls.spawn(async move { PostgresStore::create(settings).await.map(drop) });
    }
    let results = calls.join_all().await;
    let refused = results.iter().filter(|result| matches!(result, Err(OpenError::Exists(_)))).count();
    assert_eq!((results.iter().filter(|result| result.is_ok()).count(), refused), (1, 5), "{results:?}");
    open(database.url()).await.check().await.expect("it is whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_54_a_server_that_would_lose_what_it_acknowledged_is_refused() {
    let Some(database) = database().await else { return };
    let name = database.name();
    database.run_sql(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let refused = PostgresStore::open(settings(database.url())).await;
    let Err(OpenError::NotDurable { setting, found, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!((setting, &*found), ("synchronous_commit", "off"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_27_what_is_said_never_holds_the_password() {
    let Some(database) = database().await else { return };
    let secret = "corr3ct-horse";
    let port = database.port();
    let url = |rest: &str| format!("postgres://muster:{secret}@{rest}");
    let cases = [
        (url(&format!("127.0.0.1:{port}/{}", database.name())), "Denied"),
        (url(&format!("127.0.0.1:{port}/nowhere")), "Denied"),
        (url("127.0.0.1:1/muster"), "Unreachable"),
        (url("127.0.0.1:badport/muster"), "BadUrl"),
        (url("127.0.0.1/muster?sslmode=sometimes"), "BadUrl"),
        (url("127.0.0.1/muster?sslmode=verify-full"), "Tls"),
        (url("127.0.0.1"), "BadUrl"),
        (format!("host=localhost password={secret}"), "BadUrl"),
    ];
    for (url, kind) in cases {
        let settings = Settings { password: Some(secret.to_owned().into()), ..Settings::new(url) };
        let refused = PostgresStore::open(settings.clone()).await.expect_err("it is refused");
        assert!(format!("{refused:?}").starts_with(kind), "{refused:?}");
        for said in [format!("{refused}"), format!("{refused:?}"), format!("{settings:?}"), settings.shown()]
        {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_closed_finished_what_was_asked_and_takes_no_more() {
    let Some(database) = database().await else { return };
    let store = open(database.url()).await;
    let (kit, site) = founded(&store).await;
    let machines: Vec<_> = (0..50).map(|_| kit.machine(&site)).collect();
    let kit = std::sync::Arc::new(kit);
    let mut calls = tokio::task::JoinSet::new();
    for machine in machines.clone() {
        let (store, kit) = (store.clone(), std::sync::Arc::clone(&kit));
        calls.spawn(async move { enroll(&store, &kit, &machine).await });
    }
    let first = calls.join_next().await.expect("a call").expect("no panic");
    first.expect("written");
    store.close().await;
    let other = open(database.url()).await;
    let acknowledged = 1 + calls.join_all().await.into_iter().filter(Result::is_ok).count();
    let mut kept = 0;
    for machine in &machines {
        kept += usize::from(has(&other, machine).await);
    }
    assert_eq!(kept, acknowledged);
    assert!(enroll(&store, &kit, &kit.machine(&site)).await.is_err());
    assert!(store.reader().await.is_err());
}
