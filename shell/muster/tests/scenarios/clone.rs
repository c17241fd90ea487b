//! A machine is cloned.
//!
//! 1. A second agent shows the hardware of the first, with another key: it is held, and nothing of the first changes.
//! 2. `hold show` has both claimants side by side.
//! 3. `--as-new` lets both run; `--as-same` gives the machine the new key, and the first agent ends as revoked.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Agent, SOON, Server, eventually, json, skipped, within};

struct Cloned {
    server: Server,
    first: Agent,
    id: String,
    second: Agent,
    hold: Value,
}

/// A machine that runs, and another one with its hardware that waits.
fn cloned() -> Cloned {
    let server = Server::up(&[]);
    let mut first = Agent::new();
    first.start_with(&server.invite(), &["--hardware-id", "hw_twin", "--name", "original"]);
    first.event("online");
    let id = first.machine();
    let before = untouched(server.show(&id));

    let mut second = Agent::new();
    second.start_with(&server.invite(), &["--hardware-id", "hw_twin", "--name", "copy"]);
    let held = second.event("held");
    assert_eq!(held["reason"], "key_mismatch");
    let hold = server.muster(&["hold", "show", held["hold"].as_str().expect("an id")]);
    let after = server.show(&id);
    assert_eq!(after["contested_by"], held["hold"], "the operator sees it on the machine too");
    assert_eq!(untouched(after), before, "nothing else of the machine changed");
    Cloned { server, first, id, second, hold }
}

/// A machine without what a hold may show on it, and without what its own channel says.
fn untouched(mut machine: Value) -> String {
    for key in ["contested_by", "last_seen"] {
        machine.as_object_mut().expect("an object").remove(key);
    }
    machine.to_string()
}

fn decide(cloned: &Cloned, choice: &str) -> Value {
    cloned.server.muster(&["hold", "approve", cloned.hold["id"].as_str().expect("an id"), choice])
}

#[test]
fn both_claimants_are_shown_side_by_side_and_both_wait_for_a_person() {
    let mut cloned = cloned();
    let hold = &cloned.hold;
    assert_eq!((&hold["existing"], &hold["existing_machine"]["id"]), (&json!(cloned.id), &json!(cloned.id)));
    assert_eq!(hold["existing_words"], cloned.first.status()["words"]);
    assert_eq!(hold["claimant"]["words"], cloned.second.status()["words"]);
    assert_ne!(hold["existing_words"], hold["claimant"]["words"]);
    assert_eq!(
        (&hold["claimant"]["hostname"], &hold["existing_machine"]["hostname"]),
        (&json!("copy"), &json!("original"))
    );
    assert_eq!(hold["choices"], json!(["same", "new"]));
    let (code, complaint) = cloned.server.fails(&["hold", "approve", hold["id"].as_str().expect("an id")]);
    assert_eq!(code, 5, "nobody decides without a choice: {complaint}");
    assert!(complaint.contains("--as-same"), "{complaint}");
    assert!(cloned.first.is_running() && cloned.second.is_running());
    assert_eq!(cloned.server.show(&cloned.id)["online"], true);
}

#[test]
fn as_another_machine_both_run() {
    let mut cloned = cloned();
    let decided = decide(&cloned, "--as-new");
    cloned.second.event("online");
    assert_ne!(cloned.second.machine(), cloned.id);
    assert_eq!(decided["machine"], cloned.second.machine());
    let original = cloned.server.show(&cloned.id);
    assert_eq!((&original["online"], &original["generation"]), (&json!(true), &json!(1)));
    assert!(original["contested_by"].is_null(), "the question is answered");
    assert!(within(Duration::from_millis(300), || (!cloned.first.is_running()).then_some(())).is_none());
    let online = cloned.server.list(&["machine", "ls"]).iter().filter(|m| m["online"] == true).count();
    assert_eq!(online, 3);
}

#[test]
fn as_the_same_machine_the_new_key_takes_over_and_the_old_one_ends() {
    let mut cloned = cloned();
    decide(&cloned, "--as-same");
    cloned.second.event("online");
    assert_eq!(cloned.second.machine(), cloned.id, "the same machine, with its history");
    assert_eq!(cloned.first.exit_code(), 22, "{}", cloned.first.log());
    assert_eq!(cloned.first.status()["ended"]["ending"], "superseded");
    let machine = eventually("it is online under the new key", SOON, || {
        Some(cloned.server.show(&cloned.id)).filter(|machine| machine["online"] == true)
    });
    assert_eq!((&machine["generation"], &machine["key"]), (&json!(2), &cloned.hold["claimant"]["key"]));
    let credentials = machine["credentials"].as_array().expect("a list");
    let live = credentials.iter().filter(|credential| credential["state"] == "issued").count();
    assert_eq!(live, 1, "the older ones ended with the decision: {credentials:?}");
    assert_eq!(cloned.server.list(&["machine", "ls"]).len(), 2);
}

#[test]
fn a_rejected_copy_leaves_the_machine_as_it_was() {
    let mut cloned = cloned();
    let hold = cloned.hold["id"].as_str().expect("an id").to_owned();
    cloned.server.muster(&["hold", "reject", &hold, "--reason", "a stolen image"]);
    assert_eq!(cloned.second.exit_code(), 20);
    let machine = cloned.server.show(&cloned.id);
    assert_eq!((&machine["online"], &machine["generation"]), (&json!(true), &json!(1)));
    assert!(machine["contested_by"].is_null());
}

#[test]
fn a_second_agent_on_the_same_host_is_held_as_a_clone_unless_told_otherwise() {
    let server = Server::up(&["--hardware-id", "auto"]);
    if server.show(server.machine())["hardware_id"].is_null() {
        skipped("this host shows no hardware id at all");
        return;
    }
    let agent = Agent::new();
    let output = agent.enroll(&server.invite(), &["--hardware-id", "auto", "--no-wait"]);
    assert_eq!(output.status.code(), Some(21), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.list(&["hold", "ls"])[0]["reason"], "key_mismatch");
    let other = Agent::new();
    assert_eq!(json(&other.enroll(&server.invite(), &["--hardware-id", "none"]))["state"], "active");
}
