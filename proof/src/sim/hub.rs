//! What the world and the stores of its replicas have in common: the hour, the dice, what is broken just now, and what was
//! seen to be wrong.
//!
//! One lock, held for moments; all of it runs on one thread.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_app::Ports;
use muster_model::{KeyFingerprint, MachineId, SignedDuration, Timestamp};
use muster_store::Signal;
use muster_testkit::reference::Snapshot;
use tokio::sync::oneshot;

use super::Setup;
use super::call::Kind;
use super::coverage::Coverage;
use super::steps::{Cell, Column, Step};

/// Milliseconds since the world began.
pub(super) type Millis = i64;
pub(super) const SECOND: Millis = 1000;
pub(super) const MINUTE: Millis = 60 * SECOND;
pub(super) const HOUR: Millis = 60 * MINUTE;
pub(super) const YEAR: Millis = 365 * 24 * HOUR;
/// Events that are told with a failure.
const TRACE: usize = 20_000;
/// Commits that a failover may take back.
pub(super) const WINDOW: usize = 6;

/// Clones are the same.
#[derive(Clone)]
pub(super) struct Hub(Arc<Mutex<Inside>>);

pub(super) struct Inside {
    pub(super) now: Millis,
    pub(super) dice: fastrand::Rng,
    pub(super) setup: Setup,
    /// Whether faults strike.
    pub(super) chaos: bool,
    pub(super) condition: Condition,
    pub(super) seats: Vec<Seat>,
    /// Store operations that wait for their turn.
    pub(super) waits: Vec<Wait>,
    /// What earlier commits began from, the newest last.
    pub(super) history: VecDeque<Snapshot>,
    pub(super) facts: Vec<(u64, Fact)>,
    /// Keys and machines that a failover with an asynchronous standby took back.
    pub(super) lost: Vec<Lost>,
    /// When that was.
    pub(super) lost_at: Option<Millis>,
    /// Whether something was committed since the world last looked.
    pub(super) stirred: bool,
    pub(super) coverage: Coverage,
    pub(super) violations: Vec<String>,
    pub(super) focused: u32,
    pub(super) spoiled: u32,
    /// Requests in whose way the store was.
    pub(super) troubled: BTreeSet<u64>,
    /// A failover began that the world has not heard of.
    pub(super) failing_over: bool,
    trace: VecDeque<String>,
}

/// How the database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Well,
    Down,
    Full,
    ReadOnly,
    FailingOver,
}

/// How one replica is.
#[derive(Debug, Default)]
pub(super) struct Seat {
    /// Rises with every start.
    pub(super) incarnation: u32,
    pub(super) alive: bool,
    /// It is to be stopped: its crash was drawn.
    pub(super) dying: bool,
    /// Cut off from the store.
    pub(super) cut: bool,
    pub(super) forgotten: bool,
    pub(super) offset: Millis,
    pub(super) signals: Vec<Signal>,
    /// What it read last.
    pub(super) last_read: Option<Snapshot>,
    pub(super) read_at: Millis,
    pub(super) serving: BTreeMap<u64, Kind>,
}

/// A store operation that waits.
pub(super) struct Wait {
    pub(super) seat: usize,
    pub(super) incarnation: u32,
    pub(super) after: Millis,
    pub(super) go: oneshot::Sender<()>,
}

/// What somebody was told is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    Enrolled(MachineId, KeyFingerprint),
    Revoked(MachineId),
    Retired(MachineId),
    Decided(String, &'static str),
}

/// What a failover took back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    Machine(MachineId),
    Key(KeyFingerprint),
}

impl Hub {
    pub(super) fn new(seed: u64, setup: Setup) -> Self {
        Self(Arc::new(Mutex::new(Inside {
            now: 0,
            dice: fastrand::Rng::with_seed(seed ^ 0x5eed_0fa1),
            chaos: setup.faults,
            seats: (0..setup.replicas).map(|_| Seat::default()).collect(),
            setup,
            condition: Condition::Well,
            waits: Vec::new(),
            history: VecDeque::new(),
            facts: Vec::new(),
            lost: Vec::new(),
            lost_at: None,
            stirred: false,
            coverage: Coverage::default(),
            violations: Vec::new(),
            focused: 0,
            spoiled: 0,
            troubled: BTreeSet::new(),
            failing_over: false,
            trace: VecDeque::new(),
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// True once in so many.
    pub(super) fn once_in(&mut self, times: u32) -> bool {
        self.dice.u32(0..times.max(1)) == 0
    }

    /// Between both.
    pub(super) fn between(&mut self, least: Millis, most: Millis) -> Millis {
        self.dice.i64(least..=most)
    }

    pub(super) fn hit(&mut self, step: Step, column: Column) {
        self.coverage.hit(step, column);
    }

    /// Notes a hit on the server's step and on that of whoever asked.
    pub(super) fn hit_both(&mut self, kind: Kind, server: Option<Step>, column: Column) {
        let asked = kind.asked().filter(|asked| Some(*asked) != server);
        for step in [server, asked].into_iter().flatten() {
            if step.struck_by().contains(&column) {
                self.coverage.hit(step, column);
            }
        }
    }

    /// Whether a fault strikes here: more often where the seed looks.
    pub(super) fn strikes(&mut self, step: Step, column: Column, once_in: u32) -> bool {
        if !self.chaos || !step.struck_by().contains(&column) {
            return false;
        }
        if self.setup.focus == Some((step, column)) && self.focused < 4 {
            let strikes = self.focused == 0 || self.once_in(2);
            self.focused += u32::from(strikes);
            return strikes;
        }
        self.once_in(once_in)
    }

    /// Whether the seed looks at this fault, wherever it strikes.
    pub(super) fn looks_at(&self, column: Column) -> bool {
        self.setup.focus.is_some_and(|(_, focused): Cell| focused == column)
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if !self.setup.tells {
            return;
        }
        if self.trace.len() == TRACE {
            self.trace.pop_front();
        }
        let (hour, rest) = (self.now / HOUR, self.now % HOUR);
        self.trace.push_back(format!(
            "{hour:>3}:{:02}:{:06.3} {}",
            rest / MINUTE,
            (rest % MINUTE) as f64 / 1000.0,
            what()
        ));
    }

    pub(super) fn wrong(&mut self, what: String) {
        self.tell(|| format!("VIOLATION {what}"));
        if self.violations.len() < 20 && !self.violations.contains(&what) {
            self.violations.push(what);
        }
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.trace.iter().cloned().collect()
    }

    pub(super) fn remember(&mut self, before: Snapshot) {
        if self.history.len() == WINDOW {
            self.history.pop_front();
        }
        self.history.push_back(before);
    }

    /// Whether the seed looks at what becomes of the files of this step while nobody uses them.
    pub(super) fn spoils(&mut self, step: Step) -> bool {
        let cells = [Column::Corrupt, Column::Permissions].map(|column| Some((step, column)));
        let spoils = self.chaos && self.spoiled < 4 && self.focused < 2 && cells.contains(&self.setup.focus);
        self.spoiled += u32::from(spoils);
        spoils
    }

    /// The hour by a replica's clock.
    fn hour_at(&self, seat: usize) -> Timestamp {
        at(self.now + self.seats[seat].offset)
    }
}

/// An hour of the world as a time: it begins at noon of 1 November 2026.
pub(super) fn at(millis: Millis) -> Timestamp {
    muster_testkit::at(0) + SignedDuration::from_millis(millis)
}

/// The clock and the dice as a replica has them.
pub(super) struct SeatPorts {
    pub(super) hub: Hub,
    pub(super) seat: usize,
}

impl Ports for SeatPorts {
    fn now(&self) -> Timestamp {
        self.hub.lock().hour_at(self.seat)
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.hub.lock().dice.fill(bytes);
    }
}
