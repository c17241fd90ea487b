//! A database is put back to an older day.
//!
//! 1. A server has seen a newer one. It starts, reads and shows presence, and changes nothing: who wants in is told to
//!    come again later.
//! 2. `status` and `doctor` say what is missing and what to do.
//! 3. A server that has not seen the newer one is told by the database itself, where another one has noticed.
//! 4. An operator accepts, and everything goes on from there; a start after that is like any other.

use std::fs;

use muster_testkit::postgres::query;
use serde_json::Value;

use crate::support::{Agent, Device, SOON, Server, database, eventually, text};

/// What a server in mode `restored` does and does not.
fn reads_and_changes_nothing(server: &Server, agent: &mut Agent) {
    let status = server.muster(&["status"]);
    assert_eq!(status["mode"], "restored");
    assert!(status["warnings"].to_string().contains("muster restore accept"), "{status}");
    assert!(server.log().contains("RESTORED"), "{}", server.log());
    assert_eq!(server.list(&["machine", "ls"]).len(), 2, "reading goes on");
    agent.event("online");
    let (code, refused) = server.fails(&["invite", "create"]);
    assert!(code == 75 && refused.contains("muster restore accept"), "{code} {refused}");
    let (_, found) = doctor(server);
    let mode = found.iter().find(|check| check["name"] == "mode").expect("it is looked at");
    assert_eq!(mode["status"], "fail");
    assert!(text(&mode["fix"]).contains("muster restore accept"), "{mode}");
}

fn doctor(server: &Server) -> (bool, Vec<Value>) {
    let output = server.run(&["doctor", "--output", "json"]);
    let mut report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let checks = serde_json::from_value(report["checks"].take()).expect("checks");
    (report["ok"] == true, checks)
}

/// Accepting needs somebody who is sure, and heals.
fn accepted(server: &mut Server, token: &str) {
    let http = server.http();
    let refused = Device::new().enroll(&http, token);
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (503, Some("restored")),
        "{}",
        refused.text()
    );
    assert!(refused.header("retry-after").is_some());
    let (code, asked) = server.fails(&["restore", "accept"]);
    assert!(code == 2 && asked.contains("--yes") && asked.contains("older day"), "{code} {asked}");
    let accepted = server.muster(&["restore", "accept", "--yes"]);
    assert!(accepted["seen"].as_u64() > accepted["found"].as_u64(), "{accepted}");
    assert_eq!(server.muster(&["status"])["mode"], "normal");
    let enrolled = Device::new().enroll(&http, token);
    assert_eq!(enrolled.status, 201, "{}", enrolled.text());
    let log = server.audit();
    assert!(log.iter().any(|entry| entry["action"] == "restore.accept"), "{log:?}");
    let (code, nothing) = server.fails(&["restore", "accept", "--yes"]);
    assert!(code == 5, "{code} {nothing}");
    server.stop();
    server.start();
    assert_eq!(server.muster(&["status"])["mode"], "normal");
    assert!(doctor(server).1.iter().all(|check| check["name"] != "mode" || check["status"] == "ok"));
}

#[test]
fn an_older_file_is_read_and_not_written_until_somebody_accepts_it() {
    let mut server = Server::up(&[]);
    let mut agent = Agent::online(&server.invite());
    let token = server.token();
    server.stop();
    let file = server.dir().join("muster.db");
    let older = fs::read(&file).expect("there");
    server.start();
    let lost = Agent::enrolled(&server.invite());
    server.muster(&["machine", "retire", &lost.machine()]);
    agent.event("online");
    server.stop();
    fs::write(&file, &older).expect("ours");
    server.start();
    reads_and_changes_nothing(&server, &mut agent);
    // Also after another start: what was seen stays seen.
    server.stop();
    server.start();
    accepted(&mut server, &token);
    assert!(server.list(&["machine", "ls"]).iter().all(|machine| machine["id"] != lost.machine().as_str()));
}

#[test]
fn an_older_postgresql_database_is_read_and_not_written_until_somebody_accepts_it() {
    let Some(database) = database() else { return };
    let on = |url: &str| format!("database = '{url}'\n");
    let mut server = Server::configured(&on(&database.url()), &[]);
    let mut agent = Agent::online(&server.invite());
    let token = server.token();
    server.stop();
    let older = format!("{}_older", database.name());
    let copy = format!("CREATE DATABASE {older} TEMPLATE {}", database.name());
    query(database.port(), "postgres", &copy).expect("nobody is connected");
    server.start();
    server.invite();
    agent.event("online");
    server.stop();
    server.home().write("muster.toml", &on(&database.url().replace(database.name(), &older)));
    server.start();
    reads_and_changes_nothing(&server, &mut agent);
    // One that has seen nothing of what is missing is told by the database itself.
    eventually("it is noted", SOON, || {
        server.audit().iter().any(|entry| entry["action"] == "restore.notice").then_some(())
    });
    server.stop();
    fs::remove_file(server.dir().join("seen")).expect("it has seen something");
    server.start();
    reads_and_changes_nothing(&server, &mut agent);
    assert!(server.log().contains("is not known here"), "{}", server.log());
    accepted(&mut server, &token);
    drop(server);
    query(database.port(), "postgres", &format!("DROP DATABASE {older} WITH (FORCE)")).expect("ours");
}
