//! A machine with no secret at all asks, and a person decides.
//!
//! 1. `muster enroll --request` waits and shows the words of its key.
//! 2. `hold ls` and `hold show` show the same words, where it asks from and what it says of itself.
//! 3. `hold approve` lets it go on by itself; `hold reject --reason` ends it with code 20, and it does not ask again.
//! 4. `--reset` asks again, with another key.

use serde_json::{Value, json};

use crate::support::{Agent, Program, SOON, Server, eventually, json};

const ASK: [&str; 5] = ["--request", "--hardware-id", "none", "--attribute", "rack=7"];

fn ask<'a>(server: &'a Server, more: &[&'a str]) -> Vec<&'a str> {
    [ASK.as_slice(), &["--server", server.url(), "--ca-pin", server.told("ca_pin")], more].concat()
}

fn only_hold(server: &Server) -> Value {
    let mut holds = server.list(&["hold", "ls"]);
    assert_eq!(holds.len(), 1, "{holds:?}");
    holds.remove(0)
}

#[test]
fn an_approved_machine_goes_on_by_itself() {
    let server = Server::up(&[]);
    let agent = Agent::new();
    let mut command = agent.command(&["enroll", "--output", "json"]);
    let mut enrolling = Program::start("enrolling", command.args(ask(&server, &["--name", "lab-3"])));
    let told = eventually("it shows its words", SOON, || {
        enrolling
            .log()
            .lines()
            .find_map(|line| line.strip_prefix("words to compare: ").map(ToOwned::to_owned))
    });

    let listed = only_hold(&server);
    let hold = server.muster(&["hold", "show", listed["id"].as_str().expect("an id")]);
    let words = serde_json::from_value::<Vec<String>>(hold["claimant"]["words"].clone()).expect("words");
    assert_eq!(words.join(" "), told, "console and machine derive the same words");
    assert_eq!(words.len(), 5);
    assert_eq!((&hold["reason"], &hold["state"]), (&json!("approval"), &json!("open")));
    assert_eq!(hold["claimant"]["source"], "127.0.0.1");
    assert_eq!(hold["claimant"]["hostname"], "lab-3");
    assert_eq!(hold["claimant"]["attributes"]["rack"], "7");
    assert_eq!(server.list(&["machine", "ls"]).len(), 1, "nobody is in yet");
    assert!(enrolling.is_running());

    let decided = server.muster(&["hold", "approve", hold["id"].as_str().expect("an id")]);
    assert_eq!(decided["state"], "approved");
    assert_eq!(enrolling.exit_code(), 0, "{}", enrolling.log());
    let machine = server.show("lab-3");
    assert_eq!((&machine["id"], &machine["key"]), (&decided["machine"], &hold["claimant"]["key"]));
    assert_eq!(agent.machine(), decided["machine"].as_str().expect("an id"));
    assert_eq!(server.list(&["hold", "ls"]), Vec::<Value>::new());
}

#[test]
fn a_rejected_machine_stops_and_asks_again_only_when_told() {
    let server = Server::up(&[]);
    let mut agent = Agent::new();
    agent.start(&ask(&server, &[]));
    let first = agent.event("held");
    server.muster(&["hold", "reject", first["hold"].as_str().expect("an id"), "--reason", "not ours"]);
    assert_eq!(agent.exit_code(), 20, "{}", agent.log());
    assert!(agent.log().contains("not ours"), "{}", agent.log());
    let key = agent.status();

    agent.start(&ask(&server, &[]));
    assert_eq!(agent.exit_code(), 20);
    assert_eq!(server.list(&["hold", "ls"]), Vec::<Value>::new(), "it did not ask again: {key}");

    agent.start(&ask(&server, &["--reset"]));
    let second = agent.event("held");
    assert_ne!(second["words"], first["words"], "another key");
    assert_ne!(second["hold"], first["hold"]);
    let hold = only_hold(&server);
    assert_eq!(hold["id"], second["hold"]);
    server.muster(&["hold", "approve", hold["id"].as_str().expect("an id")]);
    agent.event("online");
}

#[test]
fn a_hold_repeated_stays_the_same_hold_and_never_becomes_accepted_by_itself() {
    let server = Server::up(&[]);
    let agent = Agent::new();
    let once = || {
        let output = agent.command(&["enroll", "--no-wait"]).args(ask(&server, &[])).output();
        output.expect("the binary runs").status.code()
    };
    assert_eq!([once(), once(), once()], [Some(21); 3], "a person must decide");
    let hold = only_hold(&server);
    server.muster(&["hold", "approve", hold["id"].as_str().expect("an id")]);
    assert_eq!(once(), Some(0));
    assert_eq!(server.list(&["machine", "ls"]).len(), 2);
}

#[test]
fn an_agent_that_was_stopped_while_it_waited_waits_on() {
    let server = Server::up(&[]);
    let mut agent = Agent::new();
    agent.start(&ask(&server, &[]));
    let held = agent.event("held");
    assert_eq!(agent.stop(), 0);
    assert_eq!(agent.status()["state"], "waiting");
    server.muster(&["hold", "approve", held["hold"].as_str().expect("an id")]);
    agent.start(&[]);
    agent.event("online");
    assert_eq!(server.list(&["machine", "ls"]).len(), 2);
}

#[test]
fn a_token_that_needs_approval_is_held_like_a_request() {
    let server = Server::up(&[]);
    let invite = server.muster(&["invite", "create", "--approve", "--uses", "3", "--label", "env=prod"]);
    let mut agent = Agent::new();
    agent.start_with(invite["invite"].as_str().expect("an invite"), &[]);
    let held = agent.event("held");
    assert_eq!(held["reason"], "approval");
    server.muster(&["hold", "approve", held["hold"].as_str().expect("an id")]);
    agent.event("online");
    assert_eq!(server.show(&agent.machine())["labels"]["env"], "prod");
}

#[test]
fn who_has_the_wrong_pin_sends_nothing() {
    let server = Server::up(&[]);
    let agent = Agent::new();
    let wrong = format!("sha256:{}", "0".repeat(64));
    let mut args = ask(&server, &["--no-wait"]);
    let pin = args.iter().position(|arg| *arg == "--ca-pin").expect("it is there") + 1;
    args[pin] = &wrong;
    let output = agent.command(&["enroll"]).args(&args).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(31), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.list(&["hold", "ls"]), Vec::<Value>::new());
    let refused = server.audit().iter().filter(|entry| entry["action"] == "machine.enroll").count();
    assert_eq!(refused, 1, "only this machine's own enrollment ever reached the server");
}

#[test]
fn the_table_names_the_command_that_decides() {
    let server = Server::up(&[]);
    let mut agent = Agent::new();
    agent.start(&ask(&server, &[]));
    let held = agent.event("held");
    let output = server.run(&["hold", "show", held["hold"].as_str().expect("an id")]);
    let text = String::from_utf8(output.stdout).expect("text");
    let words = held["words"].as_array().expect("words").iter().map(|word| word.as_str().expect("a word"));
    assert!(text.contains(&words.collect::<Vec<_>>().join(" ")), "{text}");
    assert!(text.contains("hold approve") && text.contains("hold reject"), "{text}");
    let status = json(&agent.run(&["agent", "status", "-o", "json"]));
    assert_eq!((&status["state"], &status["hold"]["id"]), (&json!("waiting"), &held["hold"]));
}
