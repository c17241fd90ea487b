//! The private PostgreSQL itself: it does what it says, and leaves nothing behind.
#![cfg(feature = "postgres")]

use muster_testkit::postgres::{Server, Stop, query, shared};

fn numbers(server: &Server) -> Vec<Vec<Option<String>>> {
    server.run_sql("postgres", "SELECT n FROM t ORDER BY n")
}

#[test]
fn a_server_keeps_what_it_committed_through_stops_and_kills() {
    let Some(server) = Server::start() else { return };
    server.run_sql("postgres", "CREATE TABLE t (n bigint); INSERT INTO t VALUES (1)");
    server.restart(Stop::Fast);
    server.restart(Stop::Immediate);
    server.run_sql("postgres", "INSERT INTO t VALUES (2)");
    server.kill_9();
    server.start_again();
    assert_eq!(numbers(&server), [[Some("1".to_owned())], [Some("2".to_owned())]]);
}

#[test]
fn a_standby_has_what_was_committed_and_takes_over() {
    let Some(server) = Server::start() else { return };
    let standby = server.standby(true);
    server.run_sql("postgres", "CREATE TABLE t (n bigint); INSERT INTO t VALUES (1)");
    server.kill_9();
    standby.promote();
    standby.run_sql("postgres", "INSERT INTO t VALUES (2)");
    assert_eq!(numbers(&standby).len(), 2);
}

#[test]
fn a_server_is_gone_when_it_is_dropped() {
    let Some(server) = Server::start() else { return };
    let port = server.port();
    assert!(query(port, "postgres", "SELECT 1").is_ok());
    drop(server);
    assert!(query(port, "postgres", "SELECT 1").is_err());
}

#[test]
fn a_statement_that_fails_says_so() {
    let Some(shared) = shared() else { return };
    let database = shared.empty_database();
    let error =
        query(database.port(), database.name(), "SELECT FROM nowhere").expect_err("there is no such table");
    assert!(error.to_string().contains("42P01"), "{error}");
    assert_eq!(database.run_sql("SELECT NULL, 'a'"), [[None, Some("a".to_owned())]]);
}
