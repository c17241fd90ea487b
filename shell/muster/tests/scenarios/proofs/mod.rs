//! Promises that are proved by numbers: the same thing happens again and again, each time at another moment.
//!
//! Every proof counts what it did and what was not as promised, and tells both in one line that a program can read.
//! In a run of all tests it is as small as that allows; `cargo xtask prove --full` makes it as large as it should be
//! (`MUSTER_PROVE=full`, `MUSTER_PROVE_COUNT`, `MUSTER_PROVE_SEED`).

mod killed_agent;
mod killed_server;
mod network;
mod restore_drill;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::support::Device;

/// Violations that are told one by one; the rest is counted.
const TOLD: usize = 20;

/// Whether somebody asked for the large size.
pub(crate) fn is_full() -> bool {
    std::env::var("MUSTER_PROVE").is_ok_and(|size| size == "full")
}

/// How many cases: what somebody asked for, else the size of this run.
pub(crate) fn size(small: u64, full: u64) -> u64 {
    let asked = number("MUSTER_PROVE_COUNT");
    asked.unwrap_or(if is_full() { full } else { small })
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

/// Numbers that look random and follow from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// One for a part of what the seed stands for.
    pub(crate) fn part(seed: u64, part: u64) -> Self {
        let mut dice = Self(seed ^ part.wrapping_mul(0xa076_1d64_78bd_642f));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// One of so many.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).expect("a small number");
        usize::try_from(self.next() % end).expect("below a small number")
    }
}

/// What a proof did, and what was not as promised.
pub(crate) struct Tally {
    kind: &'static str,
    goal: u64,
    pub(crate) seed: u64,
    done: AtomicU64,
    violations: Mutex<Vec<String>>,
    figures: Mutex<BTreeMap<&'static str, Value>>,
}

impl Tally {
    pub(crate) fn new(kind: &'static str, goal: u64) -> Self {
        let fresh =
            || u64::from_be_bytes(Device::new().fingerprint().0[..8].try_into().expect("eight bytes"));
        // A number that every reader of JSON reads exactly.
        let seed = number("MUSTER_PROVE_SEED").unwrap_or_else(|| fresh() >> 24);
        let (done, violations, figures) = (AtomicU64::new(0), Mutex::default(), Mutex::default());
        Self { kind, goal, seed, done, violations, figures }
    }

    pub(crate) fn did(&self, count: u64) {
        let before = self.done.fetch_add(count, Ordering::Relaxed);
        let hundreds = (before + count) / 100;
        if hundreds > before / 100 && self.goal > 200 {
            say(&format!("{}: {} of {}", self.kind, before + count, self.goal));
        }
    }

    /// Counts what was not as promised, and goes on.
    pub(crate) fn hold(&self, is_so: bool, what: impl Display) {
        if !is_so {
            let mut violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
            violations.push(what.to_string());
            if violations.len() <= TOLD {
                say(&format!("{} (seed {}): VIOLATION: {what}", self.kind, self.seed));
            }
        }
    }

    /// A figure that is told beside the counts.
    pub(crate) fn figure(&self, name: &'static str, value: impl Into<Value>) {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).insert(name, value.into());
    }

    /// Tells it all in one line, and fails where something was not as promised.
    pub(crate) fn tell(self) {
        let violations = self.violations.into_inner().unwrap_or_else(PoisonError::into_inner);
        let figures = self.figures.into_inner().unwrap_or_else(PoisonError::into_inner);
        let done = self.done.into_inner();
        let line = json!({
            "kind": self.kind, "goal": self.goal, "done": done, "violations": violations.len(),
            "seed": self.seed, "figures": figures,
        });
        say(&line.to_string());
        assert!(violations.is_empty(), "{} violations, the first: {}", violations.len(), violations[0]);
        assert!(done >= self.goal, "{}: only {done} of {}", self.kind, self.goal);
    }
}

/// Past the capture of tests: whoever runs a proof by hand wants to see how far it is.
fn say(line: &str) {
    // Nobody is left to tell when standard output is closed.
    writeln!(std::io::stdout().lock(), "{line}").ok();
}

/// The middle, the 99th of a hundred and the largest of some figures.
pub(crate) fn spread(mut figures: Vec<u64>) -> Value {
    figures.sort_unstable();
    let at = |percent: usize| figures.get((figures.len() * percent / 100).min(figures.len().max(1) - 1));
    json!({"p50": at(50), "p99": at(99), "max": figures.last()})
}
