//! A site's enrollment key has leaked.
//!
//! 1. `site rotate-key` shows its generation as `v1 (XXXX)`: version and the start of the key's SHA-256.
//! 2. Whoever has it makes new machines within the seats and then is held; no existing machine changes in a column.
//! 3. Rotating it lets nobody else in by the old one; those who are in stay in.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Agent, Device, SOON, Server, eventually, text, token_in};

fn generation(version: u32, key: &str) -> String {
    let hash = Sha256::digest(key.as_bytes());
    format!("v{version} ({:02X}{:02X})", hash[0], hash[1])
}

fn rotate(server: &Server) -> Value {
    server.muster(&["site", "rotate-key", "plant"])
}

fn plant(seats: &str) -> Server {
    let server = Server::up(&[]);
    server.muster(&["site", "create", "plant", "--seats", seats, "--reimage", "never"]);
    server
}

/// The machines of the site, without what only presence changes.
fn machines(server: &Server) -> Vec<Value> {
    let mut machines = server.list(&["machine", "ls", "--site", "plant"]);
    machines.sort_by_key(|machine| machine["id"].to_string());
    for machine in &mut machines {
        machine.as_object_mut().expect("an object").remove("last_seen");
        machine.as_object_mut().expect("an object").remove("contested_by");
    }
    machines
}

#[test]
fn a_generation_is_shown_by_version_and_hash() {
    let server = plant("10");
    let first = rotate(&server);
    assert_eq!(first["generation"], generation(1, &text(&first["key"])));
    assert_eq!(text(&first["key"]), token_in(&text(&first["invite"])), "the invite carries the key");
    let second = rotate(&server);
    assert_eq!(second["generation"], generation(2, &text(&second["key"])));
    let sites = server.list(&["site", "ls"]);
    let site = sites.iter().find(|site| site["code"] == "plant").expect("it was made");
    assert_eq!(site["enrollment_key"], second["generation"]);
}

#[test]
fn a_leaked_key_makes_new_machines_within_the_seats_and_changes_no_other() {
    let server = plant("5");
    let key = text(&rotate(&server)["key"]);
    let http = server.http();
    let victim = Device::new();
    assert_eq!(http.post("/v1/enroll", &victim.enrollment_on(&key, "hw_victim")).status, 201);
    let before = machines(&server);

    // Whoever has the key claims the victim's hardware, in every spelling that is the same.
    for hardware in ["hw_victim", "hw_victim", "HW_VICTIM"] {
        let answer = http.post("/v1/enroll", &Device::new().enrollment_on(&key, hardware));
        assert!([201, 202].contains(&answer.status), "{}", answer.text());
    }
    let taken: Vec<Value> =
        machines(&server).into_iter().filter(|machine| before.contains(machine)).collect();
    assert_eq!(taken, before, "the victim is as it was");

    let answers: Vec<u16> = (0..8).map(|_| Device::new().enroll(&http, &key).status).collect();
    let admitted = machines(&server).len();
    assert_eq!(admitted, 5, "as many as there are seats: {answers:?}");
    assert_eq!(answers.last(), Some(&202), "then a person must look");
    let quota = server.list(&["hold", "ls"]).iter().filter(|hold| hold["reason"] == "quota").count();
    assert_eq!(quota, answers.iter().filter(|status| **status == 202).count());
    assert_eq!(victim.enroll(&http, &key).status, 200, "who is in is in");
}

#[test]
fn a_rotated_key_lets_nobody_in_and_throws_nobody_out() {
    let server = plant("20");
    let old = rotate(&server);
    let (old_key, old_invite) = (text(&old["key"]), text(&old["invite"]));
    let mut agent = Agent::online(&old_invite);
    let http = server.http();
    let device = Device::new();
    assert_eq!(device.enroll(&http, &old_key).status, 201);
    let before = machines(&server);

    let new = rotate(&server);
    let refused = Device::new().enroll(&http, &old_key);
    assert_eq!(refused.problem(), (401, "not_entitled".into()));
    assert_eq!(machines(&server), before, "rotating touches no machine");
    assert_eq!(device.signed(&http, "GET", "/v1/machines/self", b"").status, 200);
    assert!(agent.is_running());
    let late = Agent::new().enroll(&old_invite, &["--no-wait"]);
    assert_eq!(late.status.code(), Some(10), "{}", String::from_utf8_lossy(&late.stderr));
    Agent::enrolled(&text(&new["invite"]));

    assert_eq!(agent.stop(), 0);
    agent.start(&[]);
    agent.event("online");
    let refusal = eventually("the refusal is in the audit log", SOON, || {
        server.audit().into_iter().find(|entry| entry["reason"] == "not_entitled")
    });
    assert_eq!((&refusal["action"], &refusal["actor"]), (&json!("machine.enroll"), &json!("anonymous")));
}

#[test]
fn q_07_a_leaked_grant_ends_with_all_who_came_in_by_it_and_no_one_else() {
    let server = Server::up(&[]);
    let leaked = server.muster(&["grant", "create", "--uses", "0"]);
    let (token, grant) = (text(&leaked["token"]), text(&leaked["grant"]["id"]));
    let http = server.http();
    for hardware in ["hw_one", "hw_two"] {
        assert_eq!(http.post("/v1/enroll", &Device::new().enrollment_on(&token, hardware)).status, 201);
    }
    let begins = &grant[..grant.len() - 3];
    let told = server.muster(&["machine", "revoke", "--grant", begins, "--dry-run"]);
    assert_eq!((&told["counts"]["machines"], &told["counts"]["certificates"]), (&json!(2), &json!(2)));
    assert_eq!((&told["counts"]["grants"], &told["dry_run"]), (&json!(1), &json!(true)));
    let (code, said) = server.fails(&["machine", "revoke", "--grant", &grant]);
    assert!(code == 2 && said.contains("--yes --expect 2"), "nobody is here to be asked: {code} {said}");
    let (code, said) = server.fails(&["machine", "revoke", "--grant", &grant, "--yes", "--expect", "3"]);
    assert!(said.contains("2 machines are meant, not 3"), "{code} {said}");
    let done = server.muster(&["machine", "revoke", "--grant", &grant, "--yes", "--expect", "2"]);
    assert_eq!((&done["counts"], &done["machines"]), (&told["counts"], &told["machines"]));
    let after = server.list(&["machine", "ls", "--state", "suspended"]);
    assert_eq!(after.len(), 2, "this machine, which came in otherwise, is left alone");
    assert_eq!(Device::new().enroll(&http, &token).status, 401, "nobody comes in by it any more");
    let again = server.muster(&["machine", "revoke", "--grant", &grant, "--yes"]);
    assert_eq!(again["counts"]["machines"], json!(0), "done is done");
}

#[test]
fn what_was_retired_comes_back_once_where_an_operator_says_so() {
    let server = Server::up(&[]);
    let token = text(&server.muster(&["grant", "create", "--uses", "0"])["token"]);
    let http = server.http();
    let enroll = || http.post("/v1/enroll", &Device::new().enrollment_on(&token, "hw_one"));
    let first = enroll();
    let id = text(&first.json()["machine"]["id"]);
    server.muster(&["machine", "retire", &id]);
    assert_eq!(enroll().status, 202, "it waits for a person");
    let permitted = server.muster(&["machine", "readmit", &id, "--expires", "1h"]);
    assert!(permitted["readmit_until"].is_string(), "{permitted}");
    let back = enroll();
    assert_eq!((back.status, text(&back.json()["machine"]["id"])), (201, id.clone()), "{}", back.text());
    assert!(server.show(&id)["readmit_until"].is_null(), "the permit was spent");
    server.muster(&["machine", "retire", &id]);
    assert_eq!(enroll().status, 202);
}
