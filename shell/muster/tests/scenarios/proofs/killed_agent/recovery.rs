//! An agent whose next key is at work and lost, from its start to the key after.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::ordered::{Act, Watched};
use super::{CODES, Case, cases, is_about, most_are_struck, tells};
use crate::proofs::Tally;
use crate::support::strace::{Blow, Call, hit, seen, slowed, started, strace};
use crate::support::{Agent, SOON, Server, text, within};

/// An agent that was killed after its next key's first use and before that was the durable one, and then lost it. Only the
/// key before can help: it must vouch for another one.
fn bereft(server: &Server, strace: &Path) -> Agent {
    for _ in 0..10 {
        let mut agent = Agent::online(&server.invite());
        let (id, log) = (agent.machine(), agent.home().path().join("trace"));
        let present = text(&server.show(&id)["key"]);
        let mut follower = slowed(strace, agent.pid(), &log, "renameat");
        Act::Rotate.order(server, &agent);
        within(SOON, || (server.show(&id)["key"] != present.as_str()).then_some(()));
        agent.signal(Signal::KILL);
        agent.exit_code();
        follower.exit_code();
        fs::remove_file(&log).expect("strace has written it");
        // The first key is in slot a.
        let next = agent.dir().join("key-b.pem");
        if agent.status()["key"] == present.as_str() && next.exists() {
            fs::write(next, "lost").expect("ours");
            return agent;
        }
    }
    panic!("no agent was killed in time");
}

/// An agent from its start to its recovery, under strace.
fn recovering(agent: &mut Agent, strace: &Path, blow: Option<(&Call, Blow)>) -> Option<String> {
    let log = agent.home().path().join("trace");
    agent.start_under(|command| started(strace, command, &log, blow));
    let is_done = |agent: &mut Agent| agent.event_within("rotated", Duration::from_millis(1)).is_some();
    within(SOON, || (is_done(agent) || !agent.is_running()).then_some(()));
    // strace writes it as the call returns, or the agent goes.
    blow.and_then(|_| within(Duration::from_secs(1), || hit(&log)))
}

#[test]
fn i_5_an_agent_that_is_struck_at_any_call_of_a_recovery_stays_the_machine_it_is() {
    let Some(strace) = strace() else { return };
    let server = Server::up(&[]);
    let mut first = bereft(&server, &strace);
    recovering(&mut first, &strace, None);
    assert_eq!(first.stop(), 0);
    let calls = seen(&first.home().path().join("trace"), &first.dir());
    let draft = Tally::new("kill-agent-recover", 0);
    let cases = cases(&calls, draft.seed, 8);
    let tally = Tally { goal: cases.len() as u64, ..draft };
    let watched = Watched { act: Act::Rotate, server: &server, strace: &strace, tally: &tally };
    let mut struck_at = 0;
    for case in &cases {
        let mut agent = bereft(&server, &strace);
        let (id, lost) = (agent.machine(), text(&server.show(&agent.machine())["key"]));
        let at = recovering(&mut agent, &strace, Some((&case.0, case.1)));
        struck_at += u64::from(at.is_some());
        let is_inside = at.as_ref().is_some_and(|call| is_about(call, &agent));
        if case.1 != Blow::Kill && is_inside && !agent.is_running() {
            ended_by_its_disk(&tally, case, &mut agent);
        }
        watched.goes_on(&mut agent, &id, case);
        let present = text(&server.show(&id)["key"]);
        tally.hold(present != lost, format!("{case:?}: a key that is lost is still the present one"));
        tally.did(1);
    }
    let machines = server.list(&["machine", "ls", "--limit", "100000"]).len();
    tally.hold(machines > cases.len(), format!("{machines} machines of {} cases", cases.len()));
    tally.figure("calls", calls.len());
    most_are_struck(&tally, struck_at);
    tally.tell();
}

/// An agent that may not or cannot start on its files says so.
fn ended_by_its_disk(tally: &Tally, case: &Case, agent: &mut Agent) {
    let (code, said) = (agent.exit_code(), agent.log());
    tally.hold(CODES.contains(&code), format!("{case:?} ends with {code}: {said}"));
    tells(tally, case, &agent.dir(), &said);
}
