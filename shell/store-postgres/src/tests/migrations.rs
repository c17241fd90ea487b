//! Each step of the schema is taken once, whoever else is about to take it.

use muster_testkit::postgres::Database;

use super::{connection, database};
use crate::schema::{From, KNOWN, Migration, Schema, Version, migrate_by};

/// The steps of a release to come: those that are there already, and two more.
fn steps() -> Vec<Migration> {
    let taken = Migration { sql: "SELECT 1 / 0", compatible_from: 1 };
    let made = "CREATE TABLE racks (n bigint); INSERT INTO racks SELECT count(*) FROM muster_schema";
    let slow = "INSERT INTO racks VALUES (7); SELECT pg_sleep(0.2)";
    let mut steps = vec![taken; usize::try_from(KNOWN).expect("a few")];
    steps.push(Migration { sql: made, compatible_from: 1 });
    steps.push(Migration { sql: slow, compatible_from: 2 });
    steps
}

fn racks(database: &Database) -> Vec<Vec<Option<String>>> {
    database.run_sql("SELECT n FROM racks ORDER BY n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_replicas_that_start_at_once_one_takes_each_step() {
    let Some(database) = database().await else { return };
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let mut connection = connection(&database).await;
        connection
            .client
            .batch_execute("SET statement_timeout = 0; SET lock_timeout = 0")
            .await
            .expect("set");
        starts.spawn(async move { migrate_by(&mut connection.client, From::Ours, &steps()).await });
    }
    for found in starts.join_all().await {
        assert!(matches!(found.expect("migrated"), Schema::Ours(_)));
    }
    assert_eq!(racks(&database), [[Some("1".to_owned())], [Some("7".to_owned())]]);
    let mut connection = connection(&database).await;
    let version = Version { version: KNOWN + 2, compatible_from: 2 };
    let found = migrate_by(&mut connection.client, From::Ours, &steps()).await;
    assert_eq!(found.expect("an answer"), Schema::Ours(version));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_fails_leaves_the_steps_before_it_and_nothing_of_its_own() {
    let Some(database) = database().await else { return };
    let broken = Migration { sql: "INSERT INTO racks VALUES (9); SELECT 1 / 0", compatible_from: 1 };
    let mut broken_steps = steps();
    *broken_steps.last_mut().expect("the last one") = broken;
    let mut connection = connection(&database).await;
    assert!(migrate_by(&mut connection.client, From::Ours, &broken_steps).await.is_err());
    connection.client.batch_execute("ROLLBACK").await.expect("rolled back");
    assert_eq!(racks(&database), [[Some("1".to_owned())]]);
    let found =
        migrate_by(&mut connection.client, From::Ours, &steps()).await.expect("the next release works");
    assert_eq!(found, Schema::Ours(Version { version: KNOWN + 1, compatible_from: 1 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_is_left_as_it_is() {
    let Some(database) = database().await else { return };
    database.run_sql("UPDATE muster_schema SET version = 9, compatible_from = 8");
    let mut connection = connection(&database).await;
    let found = migrate_by(&mut connection.client, From::Ours, &steps()).await.expect("an answer");
    assert_eq!(found, Schema::Ours(Version { version: 9, compatible_from: 8 }));
    let version = database.run_sql("SELECT version, compatible_from FROM muster_schema");
    assert_eq!(version, [[Some("9".to_owned()), Some("8".to_owned())]]);
}
