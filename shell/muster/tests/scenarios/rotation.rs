//! A machine's key is rotated, in quiet and while its agent is killed.
//!
//! 1. A machine is enrolled; its agent makes a key of its own accord, again and again. The machine stays the same.
//! 2. A copy of its first files is of no use to anybody.
//! 3. The agent is killed at many points of a rotation, and started again: it comes back each time, without hands.
//! 4. Operators order it, of machines that are there and of one that is away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Agent, SOON, Server, Stopwatch, eventually, text};

const OFTEN: &str = "[agent]\nrotate_after = \"2s\"\n";
const NEVER: &str = "[agent]\nrotate_after = \"never\"\n";

/// The key that a machine is known by.
fn known(server: &Server, machine: &str) -> String {
    server.show(machine)["key"].as_str().expect("a key").to_owned()
}

/// The key that the agent has in its durable slot.
fn kept(agent: &Agent) -> String {
    agent.status()["key"].as_str().expect("a key").to_owned()
}

/// An agent without a rotation under way, by the key that the server knows.
fn is_at_rest(server: &Server, agent: &Agent, machine: &str) {
    eventually("both sides know the same key", SOON, || {
        let rests = !agent.files().contains(&"rotation.json".to_owned());
        (rests && kept(agent) == known(server, machine)).then_some(())
    });
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir(to).expect("our own directory");
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).expect("ours");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("readable").path();
        if path.is_file() {
            // Keeps the mode of each file.
            fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("ours");
        }
    }
}

#[test]
fn a_key_is_rotated_again_and_again_and_a_copy_of_the_first_one_opens_nothing() {
    let server = Server::up(&[]);
    let mut agent = Agent::enrolled(&server.invite());
    let (machine, first) = (agent.machine(), kept(&agent));
    let thief = Agent::new();
    copied(&agent.dir(), &thief.dir());
    agent.home().write("muster.toml", OFTEN);
    agent.start(&[]);
    for _ in 0..3 {
        agent.event("rotated");
    }
    assert_eq!(agent.stop(), 0);
    agent.home().write("muster.toml", NEVER);
    agent.start(&[]);
    agent.event("online");
    is_at_rest(&server, &agent, &machine);
    assert_eq!((agent.machine(), server.show(&machine)["state"].clone()), (machine.clone(), "active".into()));
    assert_ne!(kept(&agent), first);
    assert_eq!(
        agent.files().iter().filter(|name| name.starts_with("key-")).count(),
        1,
        "{:?}",
        agent.files()
    );
    let alarm = || server.show(&machine)["rotation"]["forked_by"].clone();
    assert_eq!(alarm(), serde_json::Value::Null, "its own rotations are no sign of a copy");
    let mut thief = thief;
    thief.home().write("muster.toml", NEVER);
    thief.start(&[]);
    assert_eq!(thief.exit_code(), 22, "{}", thief.log());
    assert_eq!(thief.status()["ended"]["ending"], "superseded");
    assert_eq!(alarm(), "superseded_key");
    assert!(agent.is_running(), "the machine itself goes on");
}

#[test]
fn i_5_an_agent_that_is_killed_anywhere_in_a_rotation_comes_back_as_the_same_machine() {
    let server = Server::up(&[]);
    let mut agent = Agent::enrolled(&server.invite());
    let (machine, first) = (agent.machine(), kept(&agent));
    agent.home().write("muster.toml", OFTEN);
    for n in 0..12 {
        agent.start(&[]);
        agent.event("online");
        // Somewhere in the few milliseconds of a rotation, and sometimes right at its end.
        let watch = Stopwatch::start();
        match n % 4 {
            0 => agent.event("rotated"),
            _ => eventually("a rotation is under way", SOON, || {
                agent.files().contains(&"rotation.json".to_owned()).then(|| serde_json::Value::Null)
            }),
        };
        assert!(watch.elapsed() < SOON);
        eventually("a moment goes by", Duration::from_secs(5), || {
            (watch.elapsed() >= Duration::from_millis(n * 2)).then_some(())
        });
        agent.signal(Signal::KILL);
        agent.exit_code();
    }
    agent.home().write("muster.toml", NEVER);
    agent.start(&[]);
    agent.event("online");
    is_at_rest(&server, &agent, &machine);
    assert_eq!(agent.machine(), machine);
    assert_ne!(kept(&agent), first);
    assert_eq!(server.list(&["machine", "ls"]).len(), 2, "it never enrolled anew");
    let odd = server.audit().into_iter().filter(|entry| {
        entry["action"] == "key.propose"
            && ["conflict", "recovery"].contains(&entry["reason"].as_str().unwrap_or(""))
    });
    assert_eq!(odd.count(), 0, "no restart made a second key beside an open rotation");
}

/// Which machines a command was about, by their names.
fn names(answer: &serde_json::Value) -> Vec<String> {
    let items = answer["items"].as_array().expect("a page");
    let mut names: Vec<String> = items.iter().map(|item| text(&item["name"])).collect();
    names.sort_unstable();
    names
}

/// What a person is shown of a machine.
fn shown(server: &Server, machine: &str) -> String {
    let output = server.run(&["machine", "show", machine]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn an_operator_has_machines_rotated_by_name_by_site_and_by_label_also_those_that_are_away() {
    let server = Server::up(&[]);
    server.muster(&["site", "create", "lab"]);
    let online = |name: &str, args: &[&str]| {
        let invite = text(&server.muster(&[&["invite", "create"], args].concat())["invite"]);
        let mut agent = Agent::new();
        agent.start_with(&invite, &["--name", name]);
        agent.event("online");
        agent
    };
    let mut here = online("here", &["--site", "default", "--label", "ring=canary"]);
    let mut away = online("away", &["--site", "lab"]);
    let (first, last) = (kept(&here), kept(&away));

    let dry = server.muster(&["machine", "rotate", "--label", "ring=canary", "--dry-run"]);
    assert_eq!(names(&dry), ["here"]);
    assert_eq!(kept(&here), first, "nobody was told");
    let told = server.muster(&["machine", "rotate", "--label", "ring=canary"]);
    assert_eq!(names(&told), ["here"]);
    here.event("rotated");
    is_at_rest(&server, &here, &here.machine());
    assert_ne!(kept(&here), first);

    away.stop();
    assert_eq!(names(&server.muster(&["machine", "rotate", "--site", "lab"])), ["away"]);
    let said = shown(&server, "away");
    assert!(said.contains("ordered"), "{said}");
    away.start(&[]);
    away.event("rotated");
    is_at_rest(&server, &away, &away.machine());
    assert_ne!(kept(&away), last);
    let said = shown(&server, "away");
    assert!(said.contains("key in use") && !said.contains("ordered"), "{said}");

    let (code, said) = server.fails(&["machine", "rotate", "--label", "ring=none"]);
    assert!(code != 0 && said.contains("machine ls"), "{said}");
    let everyone = names(&server.muster(&["machine", "rotate", "--all", "--over", "1s", "--dry-run"]));
    assert_eq!(everyone.len(), 3, "{everyone:?}");
}
