//! The certificate authority is changed under a fleet.
//!
//! 1. The whole change with two agents: one stays online throughout, the other sleeps through publication and activation
//!    and comes back by what it knows. An invite of before lets in until the old roots are removed, and says so then.
//! 2. A taint: every machine has another key soon, and nothing that the old authority signed opens anything.
//! 3. Several servers on one database: each step is taken by another one, and one that was away begins where they are.
//! 4. The database is put back to the day before the change: nobody is asked to trust the old roots again.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Agent, Replicas, SOON, Server, database, eventually, text};

/// What an operator sees of it.
fn ca(server: &Server) -> Value {
    server.muster(&["ca", "status"])
}

fn step(server: &Server, args: &[&str]) -> Value {
    server.muster(&[&["ca"], args].concat())
}

/// Waits until so many machines are not ready.
fn behind(server: &Server, count: u64) -> Value {
    eventually("machines say which roots they hold", SOON, || {
        Some(ca(server)).filter(|status| status["behind"] == count)
    })
}

/// Has every machine that is online get its next certificate.
fn renew_all(server: &Server) {
    for machine in server.list(&["machine", "ls"]) {
        if machine["online"] == true {
            server.muster(&["machine", "renew", &text(&machine["id"])]);
        }
    }
}

fn went_offline(agent: &mut Agent) -> usize {
    // Everything that was told up to now is read.
    while agent.event_within("never", Duration::from_millis(50)).is_some() {}
    agent.events().iter().filter(|event| event["event"] == "offline").count()
}

#[test]
fn a_change_leaves_one_agent_online_another_asleep_comes_back_and_an_old_invite_lets_in_until_it_ends() {
    let mut server = Server::up(&[]);
    let mut agent = Agent::online(&server.invite());
    let mut sleeper = Agent::online(&server.invite());
    let (early, late) = (server.invite(), server.invite());
    let pin = text(&ca(&server)["pin"]);
    assert_eq!(sleeper.stop(), 0);

    assert_eq!(step(&server, &["prepare"])["phase"], "prepared");
    assert_eq!(step(&server, &["publish"])["bundle"], 2);
    let status = behind(&server, 1);
    assert_eq!(status["machines_behind"][0]["id"], sleeper.machine().as_str(), "{status}");
    let (code, refused) = server.fails(&["ca", "activate"]);
    assert!(code == 2 && refused.contains("--yes"), "{code} {refused}");
    let (code, refused) = server.fails(&["ca", "activate", "--yes"]);
    assert!(code == 5 && refused.contains("--even-so"), "{code} {refused}");
    let active = step(&server, &["activate", "--yes", "--even-so", "--expect", "1"]);
    assert_ne!(active["pin"], pin.as_str());

    // First contact: by the old pin, and by the new one.
    let (by_old, by_new) = (Agent::enrolled(&early), Agent::enrolled(&server.invite()));
    sleeper.start(&[]);
    sleeper.event("online");
    renew_all(&server);
    agent.event("renewed");
    sleeper.event("renewed");
    assert_eq!(went_offline(&mut agent), 0, "{}", agent.said());
    // Those two only enrolled, and are not online to say what they hold.
    let status = behind(&server, 2);
    let ids: Vec<String> = [&by_old, &by_new].iter().map(|agent| agent.machine()).collect();
    for machine in status["machines_behind"].as_array().expect("a list") {
        assert!(ids.contains(&text(&machine["id"])), "{status}");
    }
    let removed = step(&server, &["remove", "--yes", "--even-so", "--expect", "2"]);
    assert_eq!((&removed["phase"], &removed["bundle"]), (&Value::from("settled"), &Value::from(3)));
    eventually("those who are online hold the newest", SOON, || (ca(&server)["behind"] == 2).then_some(()));

    let refused = Agent::new().enroll(&late, &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("ask for a new invite"), "{said}");
    Agent::enrolled(&server.invite());
    // Whoever only enrolled got the new roots with that, and needs no more.
    let mut by_old = by_old;
    by_old.start(&[]);
    by_old.event("online");
    server.stop();
    server.start();
    assert_eq!(ca(&server)["pin"], active["pin"]);
    for agent in [&mut agent, &mut sleeper] {
        agent.event("online");
        assert!(agent.is_running());
    }
    let undone = server.fails(&["ca", "undo"]);
    assert!(undone.0 == 5, "{undone:?}");
}

#[test]
fn a_taint_gives_every_machine_another_key_and_a_step_back_is_a_step() {
    let server = Server::up(&[]);
    let mut agent = Agent::online(&server.invite());
    let (machine, key) = (agent.machine(), text(&agent.status()["key"]));
    let mut sleeper = Agent::online(&server.invite());
    for args in [&["prepare"][..], &["publish"]] {
        step(&server, args);
    }
    behind(&server, 0);
    sleeper.stop();
    step(&server, &["activate", "--yes"]);
    assert_eq!(step(&server, &["undo"])["phase"], "published");
    step(&server, &["activate", "--yes"]);
    let tainted = step(&server, &["taint", "--yes"]);
    assert_eq!((&tainted["phase"], &tainted["not_rotated"]), (&Value::from("tainted"), &Value::from(3)));
    agent.event("rotated");
    // Its certificate is of before: its key gets it another one, and then it changes that.
    sleeper.start(&[]);
    sleeper.event("rotated");
    eventually("all have", SOON, || (ca(&server)["not_rotated"] == 0).then_some(()));
    assert_eq!(agent.machine(), machine);
    eventually("it is noted", SOON, || (text(&agent.status()["key"]) != key).then_some(()));
    behind(&server, 0);
    step(&server, &["remove", "--yes"]);
    behind(&server, 0);
    assert!(agent.is_running() && sleeper.is_running());
}

#[test]
fn every_server_of_a_database_takes_a_step_over_within_seconds_and_one_that_was_away_begins_there() {
    let Some(database) = database() else { return };
    let mut replicas = Replicas::on(&database.url());
    let door = replicas.door(1);
    let mut agent = Agent::online(&replicas.invite(&door));
    let all_are = |replicas: &Replicas, phase: &str| {
        let pins: Vec<Value> = replicas
            .iter()
            .map(|server| {
                eventually("it follows", SOON, || Some(ca(server)).filter(|status| status["phase"] == phase))
            })
            .map(|status| status["pins"].clone())
            .collect();
        assert!(pins.iter().all(|other| *other == pins[0]), "{pins:?}");
    };
    step(&replicas[0], &["prepare"]);
    all_are(&replicas, "prepared");
    step(&replicas[1], &["publish"]);
    all_are(&replicas, "published");
    behind(&replicas[0], 0);
    replicas.kill(0);
    step(&replicas[2], &["activate", "--yes"]);
    replicas.start(0);
    all_are(&replicas, "activated");
    replicas[0].muster(&["machine", "renew", &agent.machine()]);
    agent.event("renewed");
    behind(&replicas[1], 0);
    step(&replicas[1], &["taint", "--yes"]);
    all_are(&replicas, "tainted");
    agent.event("rotated");
    step(&replicas[2], &["remove", "--yes"]);
    all_are(&replicas, "settled");
    behind(&replicas[0], 0);
    assert!(agent.is_running());
}

#[test]
fn q_55_a_database_of_before_the_change_does_not_bring_the_old_roots_back() {
    let mut server = Server::up(&[]);
    let mut agent = Agent::online(&server.invite());
    server.stop();
    let file = server.dir().join("muster.db");
    let older = fs::read(&file).expect("there");
    server.start();
    agent.event("online");
    for args in [&["prepare"][..], &["publish"]] {
        step(&server, args);
    }
    behind(&server, 0);
    step(&server, &["activate", "--yes"]);
    renew_all(&server);
    agent.event("renewed");
    behind(&server, 0);
    step(&server, &["remove", "--yes"]);
    let settled = behind(&server, 0);
    assert_eq!(agent.stop(), 0);
    server.stop();
    fs::write(&file, &older).expect("ours");
    server.start();
    assert_eq!(server.muster(&["status"])["mode"], "restored");
    assert_eq!(ca(&server)["pins"], settled["pins"], "by what the directory knows");
    server.muster(&["restore", "accept", "--yes"]);
    // It knows the new roots alone, and has a certificate that the database forgot.
    agent.start(&[]);
    agent.event("online");
    eventually("it is written down again", SOON, || {
        server.audit().iter().any(|entry| entry["action"] == "ca.recall").then_some(())
    });
    let again = ca(&server);
    assert_eq!((&again["pins"], &again["bundle"]), (&settled["pins"], &settled["bundle"]));
}
