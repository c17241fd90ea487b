//! The line between agent and server is faulty, or leads to somebody else, during each exchange.
//!
//! 1. An agent comes to an exchange: it looks for its root, enrolls, polls its hold, renews, holds its channel.
//! 2. From then on bytes in one direction are lost, late, doubled, cut, slow or wrong, from a byte that the seed draws;
//!    or another server answers in the place of ours.
//! 3. When the fault has bitten and a while has passed, the line is mended. How long it takes from there until the
//!    exchange is done is measured.
//! 4. It is the same machine as before, alone, by the same key.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_testkit::proxy::{Direction, Fault, Proxy, Trouble};
use muster_wire::invite::Invite;

use super::{Dice, Tally, is_full, size, spread};
use crate::support::impostor::{Impostor, Stand, stands};
use crate::support::{Agent, SOON, Server, Stopwatch, eventually, text, within};

/// Agents at once. They wait most of the time.
const AT_ONCE: usize = 10;
/// What is promised once the line is mended.
const CONVERGED: Duration = Duration::from_secs(120);
/// Faults bite somewhere in here: in the handshake, or in what is said after it.
const BYTES: usize = 3_000;

/// What an agent is doing when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exchange {
    Trust,
    Enroll,
    Poll,
    Renew,
    Channel,
}

/// What happens.
#[derive(Clone)]
enum Harm {
    Line(Fault, Direction, usize),
    Foreign(Box<Stand>),
}

struct Cell {
    name: String,
    exchange: Exchange,
    harm: Harm,
    /// How long it lasts after it has been met.
    lasts: Duration,
}

/// One agent, on a line of its own.
struct Line<'a> {
    server: &'a Server,
    tally: &'a Tally,
    cell: &'a Cell,
    proxy: Proxy,
    agent: Agent,
    /// Who answers in the server's place.
    stranger: Option<Impostor>,
}

const EXCHANGES: [Exchange; 5] =
    [Exchange::Trust, Exchange::Enroll, Exchange::Poll, Exchange::Renew, Exchange::Channel];

/// Every fault in both directions and every stranger, at every exchange, in an order that the seed draws.
fn cells(server: &Server, tally: &Tally) -> Vec<Cell> {
    let mut dice = Dice::part(tally.seed, 0);
    let directions = [Direction::Up, Direction::Down];
    let lines = Fault::ALL.iter().flat_map(|fault| directions.map(|direction| (*fault, direction)));
    let lines: Vec<(Fault, Direction)> = lines.collect();
    let strangers = stands(server);
    let mut all = Vec::new();
    for exchange in EXCHANGES {
        for (fault, direction) in &lines {
            // Half of them from the first byte on.
            let after = dice.below(2) * dice.below(BYTES);
            let name = format!("{exchange:?} {fault:?} {direction:?} after {after}");
            all.push((exchange, Harm::Line(*fault, *direction, after), name));
        }
        for stand in &strangers {
            all.push((
                exchange,
                Harm::Foreign(Box::new(stand.clone())),
                format!("{exchange:?}, {}", stand.name),
            ));
        }
    }
    for at in (1..all.len()).rev() {
        all.swap(at, dice.below(at + 1));
    }
    all.truncate(usize::try_from(size(20, u64::MAX)).unwrap_or(usize::MAX));
    let longest = if is_full() { 12_000 } else { 2_000 };
    let mut cell = |(number, (exchange, harm, name)): (usize, (Exchange, Harm, String))| {
        let lasts = Duration::from_millis(dice.below(longest) as u64);
        Cell { name: format!("cell-{number}: {name}"), exchange, harm, lasts }
    };
    all.into_iter().enumerate().map(&mut cell).collect()
}

impl Cell {
    fn host(&self) -> &str {
        self.name.split(':').next().expect("a split has a first part")
    }
}

impl Line<'_> {
    fn url(&self) -> String {
        format!("https://{}", self.proxy.address())
    }

    /// Brings the agent to where it is to happen.
    fn come(&mut self) {
        let name = ["--name", self.cell.host()];
        match self.cell.exchange {
            Exchange::Trust | Exchange::Enroll => {}
            Exchange::Poll => {
                let (url, pin) = (self.url(), self.server.told("ca_pin").to_owned());
                let ask = ["--request", "--hardware-id", "none", "--server", &url, "--ca-pin", &pin];
                self.agent.start(&[ask.as_slice(), &name].concat());
                let hold = text(&self.agent.event("held")["hold"]);
                self.harm();
                self.server.muster(&["hold", "approve", &hold]);
            }
            Exchange::Renew | Exchange::Channel => {
                self.start_with_invite(&name);
                self.agent.event("online");
                self.harm();
                if self.cell.exchange == Exchange::Renew {
                    self.server.muster(&["machine", "renew", &self.agent.machine()]);
                }
            }
        }
        if matches!(self.cell.exchange, Exchange::Trust | Exchange::Enroll) {
            self.harm();
            self.start_with_invite(&name);
        }
    }

    fn start_with_invite(&mut self, more: &[&str]) {
        let invite: Invite = self.server.invite().parse().expect("an invite");
        self.agent.start_with(&Invite { url: self.url(), ..invite }.reveal(), more);
    }

    /// From now on something is wrong.
    fn harm(&self) {
        let first = match self.cell.exchange {
            Exchange::Trust | Exchange::Channel => 0,
            // The first connection found the root; what it led to comes on the next one.
            Exchange::Enroll => 1,
            Exchange::Poll | Exchange::Renew => self.proxy.connections(),
        };
        let is_channel = self.cell.exchange == Exchange::Channel;
        match (&self.cell.harm, &self.stranger) {
            (Harm::Line(fault, direction, after), _) => {
                // A channel that is quiet says little: there it bites soon.
                let after = if is_channel { after % 100 } else { *after };
                self.proxy.harm(Trouble { fault: *fault, direction: *direction, first, after });
            }
            (Harm::Foreign(_), stranger) => {
                self.proxy.divert(first, stranger.as_ref().expect("it stands there").address());
                // A channel that stands is not the stranger's until it is lost.
                if is_channel {
                    self.proxy.cut();
                }
            }
        }
    }

    fn mend(&self) {
        self.proxy.mend();
        // A stranger goes, and what was said to it ends.
        if self.stranger.is_some() {
            self.proxy.cut();
        }
    }

    /// Waits until the exchange is done, whatever it was.
    fn done(&mut self) -> bool {
        let news = match self.cell.exchange {
            Exchange::Trust | Exchange::Enroll | Exchange::Poll => "online",
            Exchange::Renew => "renewed",
            Exchange::Channel => {
                // An order arrives over a channel alone.
                self.server.muster(&["machine", "suspend", &self.agent.machine()]);
                "standing"
            }
        };
        self.agent.event_within(news, CONVERGED).is_some()
    }

    fn is_met(&self) -> bool {
        let met = || match &self.stranger {
            Some(stranger) => stranger.met() > 0,
            None => self.proxy.bitten() > 0,
        };
        within(SOON, || met().then_some(())).is_some()
    }

    fn keeps_its_identity(&mut self) {
        let cell = &self.cell.name;
        let status = self.agent.status();
        let Some(id) = status["machine"]["id"].as_str() else {
            return self.tally.hold(false, format!("{cell}: it is no machine: {status}"));
        };
        let machine = self.server.show(id);
        let is_same = machine["hostname"] == self.cell.host() && machine["generation"] == 1;
        self.tally
            .hold(is_same && machine["key"] == status["key"], format!("{cell}: {machine} and {status}"));
        self.tally.hold(self.agent.is_running(), format!("{cell}: it ended: {}", self.agent.log()));
    }
}

/// Runs one cell. Gives how long it took from the mending on, where it was met at all.
fn run(server: &Server, tally: &Tally, cell: &Cell) -> Option<u64> {
    let proxy = Proxy::start(server.listens()).expect("a port");
    let stranger = match &cell.harm {
        Harm::Foreign(stand) => Some(Impostor::at("127.0.0.1:0", (**stand).clone())),
        Harm::Line(..) => None,
    };
    let mut line = Line { server, tally, cell, proxy, agent: Agent::new(), stranger };
    line.come();
    let is_met = line.is_met();
    // It lasts a while, or until there is nothing left to wait for.
    within(cell.lasts, || (!line.agent.is_running()).then_some(()));
    line.mend();
    let watch = Stopwatch::start();
    let is_done = line.done();
    let took = watch.elapsed();
    tally.hold(is_done, format!("{}: not within {CONVERGED:?}: {}", cell.name, line.agent.said()));
    line.keeps_its_identity();
    tally.did(1);
    is_met.then(|| u64::try_from(took.as_millis()).expect("minutes"))
}

#[test]
fn q_14_every_exchange_converges_after_every_fault_of_the_line_and_no_identity_is_lost() {
    let server = Server::up(&[]);
    let draft = Tally::new("network", 0);
    let cells = cells(&server, &draft);
    let tally = Tally { goal: cells.len() as u64, ..draft };
    let (next, took) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(cells.len()) {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let run = run(&server, &tally, cell);
                    took.lock().expect("nobody fails in here").push((run, cell.name.clone()));
                }
            });
        }
    });
    let took = took.into_inner().expect("nobody fails in here");
    let (met, unmet): (Vec<_>, Vec<_>) = took.into_iter().partition(|(took, _)| took.is_some());
    // The server itself, and one machine for each cell.
    let machines =
        eventually("the list", SOON, || Some(server.list(&["machine", "ls", "--limit", "10000"]).len()));
    tally.hold(machines == cells.len() + 1, format!("{machines} machines of {} cells", cells.len()));
    tally.hold(server.list(&["hold", "ls"]).is_empty(), "somebody waits");
    tally.figure("met", met.len());
    tally.figure("not_met", unmet.into_iter().map(|(_, name)| name).collect::<Vec<_>>());
    tally.figure("converged_ms", spread(met.into_iter().filter_map(|(took, _)| took).collect()));
    tally.tell();
}
