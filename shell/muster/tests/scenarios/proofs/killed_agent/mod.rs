//! An agent is killed, or its disk fails, at one system call after the other.
//!
//! 1. A machine enrolls, renews or rotates its key, and every system call of it is written down.
//! 2. For each call another machine does the same and is killed as it enters that call; then it is started again.
//! 3. For each call on the agent's own directory, that call fails: a broken, full or read-only disk, a missing right, a
//!    write that wrote nothing. The agent ends with the code and the message of that, or goes on by itself.
//! 4. Whatever happened, in the end there is one machine with one key, its token let in nobody else, and nobody suspects it.

mod ordered;
mod recovery;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use super::{Dice, Tally, size};
use crate::support::strace::{Blow, Call, Seen, hit, seen, strace, struck, traced};
use crate::support::{Agent, Server, text};

/// What a disk can say, by the call it says it to.
const TROUBLES: [(&str, &[Blow]); 8] = [
    ("openat", &[Blow::Error("EIO"), Blow::Error("ENOSPC"), Blow::Error("EROFS"), Blow::Error("EACCES")]),
    ("write", &[Blow::Error("EIO"), Blow::Error("ENOSPC"), Blow::Nothing]),
    ("fsync", &[Blow::Error("EIO"), Blow::Error("ENOSPC")]),
    ("renameat", &[Blow::Error("EIO"), Blow::Error("ENOSPC"), Blow::Error("EROFS"), Blow::Error("EACCES")]),
    ("mkdir", &[Blow::Error("EIO"), Blow::Error("ENOSPC"), Blow::Error("EROFS"), Blow::Error("EACCES")]),
    ("unlink", &[Blow::Error("EIO"), Blow::Error("EROFS"), Blow::Error("EACCES")]),
    ("read", &[Blow::Error("EIO")]),
    ("statx", &[Blow::Error("EIO"), Blow::Error("EACCES")]),
];
/// A permission that is missing, a store that cannot be read, a disk that cannot be written.
const CODES: [i32; 3] = [11, 12, 14];

/// One call, and what happens there.
type Case = (Call, Blow);

/// A kill at every call and every trouble at those about the directory, in an order that the seed draws.
fn cases(seen: &[Seen], seed: u64, small: u64) -> Vec<Case> {
    let kills = seen.iter().map(|seen| (seen.call.clone(), Blow::Kill));
    let troubled = seen.iter().filter(|seen| seen.is_inside).flat_map(|seen| {
        let blows =
            TROUBLES.iter().find(|(name, _)| *name == seen.call.name).map_or(&[][..], |(_, blows)| *blows);
        blows.iter().map(|blow| (seen.call.clone(), *blow))
    });
    let mut all: Vec<Case> = kills.chain(troubled).collect();
    let mut dice = Dice::part(seed, 0);
    for at in (1..all.len()).rev() {
        all.swap(at, dice.below(at + 1));
    }
    let asked = size(small, u64::MAX);
    all.truncate(usize::try_from(asked).unwrap_or(usize::MAX));
    all
}

/// Whether a call in a log is about the agent's directory.
fn is_about(call: &str, agent: &Agent) -> bool {
    call.contains(agent.dir().to_str().expect("temporary directories have plain names"))
}

/// What a case must have said, if it ended by what happened.
fn judged(tally: &Tally, case: &Case, is_inside: bool, dir: &Path, output: &Output) {
    let code = output.status.code();
    let said = String::from_utf8_lossy(&output.stderr);
    let is_silent = matches!(case.1, Blow::Kill) || code == Some(0) || !is_inside;
    if is_silent {
        return;
    }
    tally
        .hold(code.is_some_and(|code| CODES.contains(&code)), format!("{case:?} ends with {code:?}: {said}"));
    tells(tally, case, dir, &said);
}

fn tells(tally: &Tally, case: &Case, dir: &Path, said: &str) {
    let dir = dir.to_str().expect("temporary directories have plain names");
    tally.hold(said.contains(dir), format!("{case:?} names no path: {said}"));
    tally.hold(said.contains(case.1.message()), format!("{case:?} does not say what the disk said: {said}"));
}

fn enrolling(agent: &Agent, name: &str) -> std::process::Command {
    let invite = agent.home().path().join("invite");
    let invite = invite.to_str().expect("temporary directories have plain names");
    let words =
        ["enroll", "--output", "json", "--invite-file", invite, "--hardware-id", "none", "--name", name];
    agent.command(&words)
}

#[test]
fn i_5_an_agent_that_is_struck_at_any_call_of_its_enrollment_becomes_one_machine() {
    let Some(strace) = strace() else { return };
    let server = Server::up(&[]);
    let first = Agent::new();
    first.home().write("invite", &server.invite());
    let log = first.home().path().join("trace");
    let output = traced(&strace, &enrolling(&first, "first"), &log).output().expect("strace runs");
    assert!(output.status.success(), "{output:?}");
    let calls = seen(&log, &first.dir());
    assert!(calls.iter().filter(|seen| seen.is_inside).count() > 50, "it sees the agent's files");

    let draft = Tally::new("kill-agent-enroll", 0);
    let cases = cases(&calls, draft.seed, 40);
    let tally = Tally { goal: cases.len() as u64, ..draft };
    let (mut struck_at, mut inside_at) = (0_u64, 0_u64);
    for (number, case) in cases.iter().enumerate() {
        let name = format!("case-{number}");
        let agent = Agent::new();
        agent.home().write("invite", &server.invite());
        let (log, command) = (agent.home().path().join("trace"), enrolling(&agent, &name));
        let output = struck(&strace, &command, &log, &case.0, case.1).output().expect("strace runs");
        let at = hit(&log);
        let is_inside = at.as_ref().is_some_and(|call| is_about(call, &agent));
        struck_at += u64::from(at.is_some());
        inside_at += u64::from(is_inside);
        judged(&tally, case, is_inside, &agent.dir(), &output);
        let again = enrolling(&agent, &name).output().expect("the binary runs");
        let said = String::from_utf8_lossy(&again.stderr);
        tally.hold(again.status.success(), format!("{case:?}, and then it does not get in: {said}"));
        if again.status.success() {
            let machine = server.show(&name);
            let id = agent.machine();
            tally.hold(machine["id"] == id.as_str(), format!("{case:?}: {id} is not {machine}"));
            tally.hold(
                machine["state"] == "active" && machine["generation"] == 1,
                format!("{case:?}: {machine}"),
            );
        }
        tally.did(1);
    }
    one_machine_each(&tally, &server, cases.len());
    tally.figure("calls", calls.len());
    most_are_struck(&tally, struck_at);
    tally.figure("struck_in_the_directory", inside_at);
    tally.tell();
}

/// A proof whose blows go nowhere proves nothing. Some do: not every run makes every call as often as the first one.
fn most_are_struck(tally: &Tally, struck: u64) {
    tally.hold(struck * 10 >= tally.goal * 7, format!("only {struck} of {} were struck at all", tally.goal));
    tally.figure("struck", struck);
}

fn one_machine_each(tally: &Tally, server: &Server, cases: usize) {
    let machines = server.list(&["machine", "ls", "--limit", "100000"]);
    let mut names = BTreeMap::<String, usize>::new();
    machines.iter().for_each(|machine| *names.entry(text(&machine["name"])).or_default() += 1);
    let doubled: Vec<_> = names.iter().filter(|(_, count)| **count > 1).collect();
    tally.hold(doubled.is_empty(), format!("more than one machine: {doubled:?}"));
    // The server itself, the first one, and each case.
    tally.hold(machines.len() == cases + 2, format!("{} machines of {cases} cases", machines.len()));
    let holds = server.list(&["hold", "ls"]);
    tally.hold(holds.is_empty(), format!("somebody waits: {holds:?}"));
}
