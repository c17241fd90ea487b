//! A second machine.
//!
//! 1. `muster up` prints a line to paste; typed on another machine as it stands, it brings that machine in.
//! 2. `muster enroll` with the invite from a file, from standard input or from the environment, then `agent run`.
//! 3. An operator suspends, resumes, retires and revokes it: the agent knows within a second and runs its hooks.
//! 4. A retired or revoked agent ends with code 22, sets its files aside and does not come back by itself.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Agent, Home, Program, SOON, Server, Stopwatch, eventually, json, muster, text, within};

/// What the design promises, and as much again for processes that have to be scheduled on a busy machine.
const A_SECOND: Duration = Duration::from_secs(2);

#[test]
fn the_printed_line_brings_a_second_machine_in_as_it_is_printed() {
    let home = Home::new();
    let dir = home.path().join("server");
    let mut up = muster(home.path());
    up.args(["up", "--listen", "127.0.0.1:0", "--hardware-id", "none", "--data-dir"]).arg(&dir);
    let server = Program::start("the server", &mut up);
    let paste = std::iter::from_fn(|| server.line(SOON)).find(|line| line.contains("muster agent run"));
    let paste = paste.expect("the next command is printed");

    let other = Home::new();
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_muster")).parent().expect("it is in a directory");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(paste.trim()).env_clear().env("HOME", other.path());
    shell.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    shell
        .env("MUSTER_CONFIG", other.write("muster.toml", ""))
        .env("MUSTER_DATA_DIR", other.path().join("agent"));
    let mut agent = Program::start("the pasted line", &mut shell);
    let machine = |args: &[&str]| {
        let mut command = muster(home.path());
        let output =
            command.arg("--data-dir").arg(&dir).arg("machine").args(args).args(["-o", "json"]).output();
        json(&output.expect("the binary runs"))
    };
    let newest = eventually("two machines are online", SOON, || {
        let listed = machine(&["ls"]);
        let items = listed["items"].as_array()?;
        let online = items.iter().filter(|machine| machine["online"] == true).count();
        items.iter().map(|machine| text(&machine["id"])).max().filter(|_| online == 2)
    });
    assert!(agent.log().contains(&format!("enrolled as {newest}")), "{}", agent.log());
    // Its end is the shell's, so that nothing is left running behind that.
    machine(&["retire", &newest]);
    assert_eq!(agent.exit_code(), 22, "{}", agent.log());
}

#[test]
fn both_are_listed_live_with_what_an_operator_wants_to_know() {
    let server = Server::up(&[]);
    let agent = Agent::new();
    let mut agent = {
        let enrolled = json(&agent.enroll(&server.invite(), &["--name", "web-1", "--attribute", "rack=7"]));
        assert_eq!(enrolled["name"], "web-1");
        agent
    };
    let before = server.show("web-1");
    assert_eq!((&before["state"], &before["online"]), (&json!("active"), &json!(false)));
    agent.start(&[]);
    agent.event("online");
    let watch = Stopwatch::start();
    eventually("the server shows it online", A_SECOND, || {
        (server.show("web-1")["online"] == true).then_some(())
    });
    assert!(watch.elapsed() < A_SECOND);

    let machines = server.list(&["machine", "ls"]);
    assert_eq!(machines.len(), 2);
    for machine in &machines {
        for key in ["id", "name", "kind", "state", "site", "last_seen", "credential_expires"] {
            assert!(machine[key].is_string(), "{key} in {machine}");
        }
        assert!(machine["online"] == true && machine.as_object().expect("one").contains_key("hardware_id"));
    }
    let detail = server.show("web-1");
    assert_eq!(detail["attributes"]["rack"], "7");
    assert_eq!(detail["words"], agent.status()["words"], "people compare the same words");
    assert_eq!(agent.stop(), 0, "{}", agent.log());
    eventually("the server shows it offline", A_SECOND, || {
        (server.show("web-1")["online"] == false).then_some(())
    });
}

#[test]
fn a_machine_that_falls_silent_is_offline_within_fifteen_seconds_and_comes_back() {
    let server = Server::up(&[]);
    let mut agent = Agent::online(&server.invite());
    let id = agent.machine();
    let online = |expected: bool, limit| {
        let seen = || (server.show(&id)["online"] == expected).then_some(());
        eventually(&format!("online is {expected}"), Duration::from_secs(limit), seen);
    };
    agent.signal(Signal::STOP);
    online(false, 15);
    assert_eq!(server.show(&id)["state"], "active", "silence is no end");
    agent.signal(Signal::CONT);
    online(true, 30);
    agent.signal(Signal::KILL);
    online(false, 2);
}

#[test]
fn an_invite_travels_by_standard_input_or_environment_too() {
    let server = Server::up(&[]);
    let agent = Agent::new();
    let mut command = agent.command(&["enroll", "--invite-file", "-", "--hardware-id", "none", "-o", "json"]);
    let mut enrolling = Program::start("enrolling", &mut command).tell(&server.invite());
    assert_eq!(enrolling.exit_code(), 0, "{}", enrolling.log());

    let other = Agent::new();
    let mut command = other.command(&["enroll", "--hardware-id", "none", "-o", "json"]);
    let output = command.env("MUSTER_INVITE", server.invite()).output().expect("the binary runs");
    assert_eq!(json(&output)["state"], "active");
    assert_eq!(server.list(&["machine", "ls"]).len(), 3);
}

#[test]
fn a_machine_made_ahead_waits_for_the_one_that_its_invite_is_bound_to() {
    let server = Server::up(&[]);
    let created = server.muster(&["machine", "create", "db-1", "--label", "tier=gold", "--role", "worker"]);
    assert_eq!(
        (&created["machine"]["state"], &created["machine"]["online"]),
        (&json!("pending"), &json!(false))
    );
    let agent = Agent::enrolled(&text(&created["invite"]));
    assert_eq!(agent.machine(), created["machine"]["id"], "the machine that was made, not a new one");
    let machine = server.show("db-1");
    assert_eq!(
        (&machine["state"], &machine["role"], &machine["labels"]["tier"]),
        (&json!("active"), &json!("worker"), &json!("gold"))
    );
    let late = Agent::new().enroll(&text(&created["invite"]), &["--no-wait"]);
    assert_eq!(
        late.status.code(),
        Some(10),
        "the invite is spent: {}",
        String::from_utf8_lossy(&late.stderr)
    );
}

#[test]
fn suspending_and_resuming_reaches_the_agent_within_a_second() {
    let server = Server::up(&[]);
    let mut agent = Agent::online(&server.invite());
    let id = agent.machine();
    for (verb, standing) in [("suspend", "suspended"), ("resume", "active")] {
        server.muster(&["machine", verb, &id, "--reason", "drill"]);
        let watch = Stopwatch::start();
        assert_eq!(agent.standing(), standing);
        assert!(watch.elapsed() < A_SECOND, "{verb} took {:?}", watch.elapsed());
        assert_eq!(agent.status()["state"], standing);
        assert_eq!(server.show(&id)["online"], true, "it stays connected");
    }
    let expected = ["on_enrolled", "on_suspended", "on_resumed"];
    let called =
        eventually("the hooks are done", SOON, || Some(agent.called()).filter(|called| called.len() == 3));
    for (line, hook) in called.iter().zip(expected) {
        assert!(line.starts_with(&format!("{hook} {id} ")), "{called:?}");
    }
}

/// What an operator did to end a machine reaches the agent, which stops for good.
fn ends(verb: &str, ending: &str) {
    let server = Server::up(&[]);
    let mut agent = Agent::online(&server.invite());
    let id = agent.machine();
    server.muster(&["machine", verb, &id, "--reason", "sold"]);
    let watch = Stopwatch::start();
    assert_eq!(agent.exit_code(), 22, "{}", agent.log());
    assert!(watch.elapsed() < A_SECOND, "{verb} took {:?}", watch.elapsed());

    let status = agent.status();
    assert_eq!((&status["state"], &status["ended"]["ending"]), (&json!("ended"), &json!(ending)), "{status}");
    let files = agent.files();
    for name in ["identity.json", "certificate-a.pem", "key-a.pem"] {
        assert!(!files.iter().any(|file| file == name), "{name} still counts: {files:?}");
        let aside = files.iter().any(|file| file.starts_with(&format!("{name}.retired-")));
        assert!(aside, "{name} was not kept: {files:?}");
    }
    assert!(
        agent.called().iter().any(|line| line.starts_with(&format!("on_retired {id}"))),
        "{:?}",
        agent.called()
    );
    assert_eq!(server.show(&id)["online"], false);

    // It does not come back by itself, whatever invite it is given.
    agent.start_with(&server.invite(), &[]);
    assert_eq!(agent.exit_code(), 22);
    let mut machines = server.list(&["machine", "ls"]);
    machines.retain(|machine| machine["id"] == id.as_str());
    assert_eq!(machines.len(), 1, "it stays listed");
}

#[test]
fn a_retired_agent_ends_within_a_second_and_for_good() {
    ends("retire", "retired");
}

#[test]
fn a_revoked_agent_ends_within_a_second_and_for_good() {
    ends("revoke", "revoked");
}

#[test]
fn a_dry_run_tells_what_would_end_and_ends_nothing() {
    let server = Server::up(&[]);
    let mut agent = Agent::online(&server.invite());
    let id = agent.machine();
    let told = server.muster(&["machine", "revoke", &id, "--dry-run"]);
    assert_eq!(
        (told["dry_run"].clone(), told["credentials"].as_array().map(Vec::len)),
        (json!(true), Some(1))
    );
    assert!(within(Duration::from_millis(300), || (!agent.is_running()).then_some(())).is_none());
    assert_eq!(server.show(&id)["credentials"][0]["state"], "issued");
}

#[test]
fn a_machine_that_leaves_is_retired_and_knows_it() {
    let server = Server::up(&[]);
    let agent = Agent::enrolled(&server.invite());
    let id = agent.machine();
    let output = agent.run(&["agent", "leave"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let machine = server.show(&id);
    assert_eq!((&machine["state"], &machine["state_reason"]), (&json!("retired"), &json!("left")));
    assert_eq!(agent.status()["state"], "not_enrolled", "it asked for that itself, so it may enroll again");
    assert!(agent.files().iter().any(|file| file.starts_with("key-a.pem.retired-")), "{:?}", agent.files());
}
