//! A renewal and a rotation of an agent that is at work.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::{Case, cases, is_about, most_are_struck, tells};
use crate::proofs::Tally;
use crate::support::strace::{Blow, Seen, attached, hit, seen, strace};
use crate::support::{Agent, SOON, Server, within};

/// Cases for one agent: each rotates up to three times, and a machine may rotate 30 times an hour.
const OF_ONE: usize = 8;

/// An agent goes on by itself within this time; its first pause is at most a second.
const BY_ITSELF: Duration = Duration::from_secs(10);
/// Who tells nothing for so long has told everything.
const QUIET: Duration = Duration::from_millis(100);

/// What an agent is ordered to do while it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Renew,
    Rotate,
}

/// An act, watched from the order to the news of it.
pub(super) struct Watched<'a> {
    pub(super) act: Act,
    pub(super) server: &'a Server,
    pub(super) strace: &'a Path,
    pub(super) tally: &'a Tally,
}

impl Act {
    pub(super) fn order(self, server: &Server, agent: &Agent) {
        let verb = match self {
            Self::Renew => "renew",
            Self::Rotate => "rotate",
        };
        server.muster(&["machine", verb, &agent.machine()]);
    }

    /// The event that tells of its end.
    fn done(self) -> &'static str {
        match self {
            Self::Renew => "renewed",
            Self::Rotate => "rotated",
        }
    }

    /// Certificates that may count at once: the present one and the one before; and where the order came a second time, as it was
    /// under way, that of the key after.
    fn most_credentials(self) -> usize {
        match self {
            Self::Renew => 2,
            Self::Rotate => 3,
        }
    }
}

impl Watched<'_> {
    /// Has the act struck. Gives the call that it was struck at.
    fn struck(&self, agent: &mut Agent, case: &Case) -> Option<String> {
        let log = agent.home().path().join("trace");
        // What it has still to tell of the case before.
        while agent.event_within(self.act.done(), QUIET).is_some() {}
        let mut follower = attached(self.strace, agent.pid(), &log, Some((&case.0, case.1)));
        let known = agent.events().len();
        self.act.order(self.server, agent);
        let limit = if case.1 == Blow::Kill { SOON } else { BY_ITSELF };
        let mut done = false;
        within(limit, || {
            done = done || agent.event_within(self.act.done(), Duration::from_millis(1)).is_some();
            (done || !agent.is_running()).then_some(())
        });
        let at = hit(&log);
        // A call of that number may be another one this time, such as a word from one thread to the other: no disk fails so.
        if case.1 != Blow::Kill && at.as_ref().is_none_or(|call| is_about(call, agent)) {
            self.holds_out(agent, case, done, at.is_some(), known);
        }
        // It goes with what it follows, or is told to.
        if follower.is_running() {
            follower.signal(Signal::INT);
        }
        follower.exit_code();
        at
    }

    /// A disk that fails ends no agent that is at work: it tries again, and tells what the disk said.
    fn holds_out(&self, agent: &mut Agent, case: &Case, done: bool, is_struck: bool, known: usize) {
        let act = self.act.done();
        self.tally.hold(agent.is_running(), format!("{case:?} ended it: {}", agent.log()));
        self.tally.hold(done, format!("{case:?}: not {act} by itself: {}", agent.log()));
        // What cost an attempt is told. A status file that was not written comes with the next change.
        let told: Vec<String> = agent.events()[known..].iter().map(ToString::to_string).collect();
        let told: Vec<&str> = told.iter().filter(|told| is_of_a_disk(told)).map(String::as_str).collect();
        if is_struck && !told.is_empty() {
            tells(self.tally, case, &agent.dir(), &told.join("\n"));
        }
    }

    fn renews(&self, agent: &mut Agent) -> bool {
        self.act.order(self.server, agent);
        agent.event_within(self.act.done(), SOON).is_some()
    }

    /// What was begun comes to its end, and then it makes another key.
    fn rotates(&self, agent: &Agent, id: &str) -> bool {
        let rests = || at_rest(self.server, agent, id);
        let Some(first) = within(SOON, rests) else { return false };
        self.act.order(self.server, agent);
        within(SOON, || rests().filter(|key| *key != first)).is_some()
    }

    /// Whatever happened: the same machine, by a key of its own, that can do it again.
    pub(super) fn goes_on(&self, agent: &mut Agent, id: &str, case: &Case) {
        if agent.is_running() {
            agent.signal(Signal::KILL);
            agent.exit_code();
        }
        agent.start(&[]);
        let online = agent.event_within("online", SOON).is_some();
        self.tally.hold(online, format!("{case:?}, and then it is not online: {}", agent.log()));
        if !online {
            return;
        }
        let done = match self.act {
            Act::Renew => self.renews(agent),
            Act::Rotate => self.rotates(agent, id),
        };
        let act = self.act.done();
        self.tally.hold(done, format!("{case:?}, and then it is not {act}: {}", agent.said()));
        let machine = self.server.show(id);
        let is_same = agent.machine() == id && machine["state"] == "active";
        self.tally.hold(is_same, format!("{case:?}: {machine}"));
        let kept_its_key = self.act == Act::Rotate || machine["generation"] == 1;
        self.tally.hold(kept_its_key, format!("{case:?}: another key: {machine}"));
        let credentials = machine["credentials"].as_array().cloned().unwrap_or_default();
        let live = credentials.iter().filter(|credential| credential["state"] == "issued").count();
        let is_few = (1..=self.act.most_credentials()).contains(&live);
        self.tally.hold(is_few, format!("{case:?}: {live} credentials"));
    }
}

/// The key that both sides know, once no rotation is under way.
fn at_rest(server: &Server, agent: &Agent, id: &str) -> Option<Value> {
    let present = server.show(id)["key"].take();
    let rests = !agent.files().contains(&"rotation.json".to_owned()) && agent.status()["key"] == present;
    rests.then_some(present)
}

/// Whether an event tells of trouble with a file.
fn is_of_a_disk(told: &str) -> bool {
    told.contains("trouble") && told.contains("os error")
}

/// Nobody is suspected who was only struck.
fn nobody_is_suspected(tally: &Tally, server: &Server, id: &str) {
    let machine = server.show(id);
    let alarm = &machine["rotation"]["forked_by"];
    tally.hold(alarm.is_null(), format!("its own restarts are taken for a copy: {alarm}"));
    let odd = server.audit().into_iter().find(|entry| {
        let reason = entry["reason"].as_str().unwrap_or_default();
        entry["action"] == "key.propose" && ["conflict", "recovery"].contains(&reason)
    });
    tally.hold(odd.is_none(), format!("a second key beside an open rotation: {odd:?}"));
}

/// Strikes an act at each of its calls, one after the other.
fn struck_at_each_call(act: Act, kind: &'static str, small: u64) {
    let Some(strace) = strace() else { return };
    let server = Server::up(&[]);
    let draft = Tally::new(kind, 0);
    let calls = calls_of(act, &server, &strace);
    let cases = cases(&calls, draft.seed, small);
    let tally = Tally { goal: cases.len() as u64, ..draft };
    let watched = Watched { act, server: &server, strace: &strace, tally: &tally };
    let (mut struck_at, mut inside_at) = (0_u64, 0_u64);
    for some in cases.chunks(OF_ONE) {
        let mut agent = Agent::online(&server.invite());
        let (id, log) = (agent.machine(), agent.home().path().join("trace"));
        for case in some {
            match fs::remove_file(&log) {
                Err(error) if error.kind() != ErrorKind::NotFound => panic!("{}: {error}", log.display()),
                _gone => {}
            }
            let at = watched.struck(&mut agent, case);
            struck_at += u64::from(at.is_some());
            inside_at += u64::from(at.is_some_and(|call| is_about(&call, &agent)));
            watched.goes_on(&mut agent, &id, case);
            tally.did(1);
        }
        nobody_is_suspected(&tally, &server, &id);
    }
    // The server itself, the one that was watched, and those that were struck.
    let (machines, agents) =
        (server.list(&["machine", "ls", "--limit", "100000"]).len(), cases.len().div_ceil(OF_ONE));
    tally.hold(machines == agents + 2, format!("{machines} machines of {agents} agents"));
    tally.figure("calls", calls.len());
    most_are_struck(&tally, struck_at);
    tally.figure("struck_in_the_directory", inside_at);
    tally.tell();
}

/// Every call of an act that nothing disturbs.
fn calls_of(act: Act, server: &Server, strace: &Path) -> Vec<Seen> {
    let mut agent = Agent::online(&server.invite());
    let log = agent.home().path().join("trace");
    let mut follower = attached(strace, agent.pid(), &log, None);
    act.order(server, &agent);
    agent.event(act.done());
    follower.end(Signal::INT);
    let calls = seen(&log, &agent.dir());
    assert!(calls.iter().filter(|seen| seen.is_inside).count() > 20, "it sees the agent's files");
    calls
}

#[test]
fn i_15_an_agent_that_is_struck_at_any_call_of_a_renewal_stays_the_machine_it_is() {
    struck_at_each_call(Act::Renew, "kill-agent-renew", 25);
}

#[test]
fn i_5_an_agent_that_is_struck_at_any_call_of_a_rotation_stays_the_machine_it_is() {
    struck_at_each_call(Act::Rotate, "kill-agent-rotate", 20);
}
