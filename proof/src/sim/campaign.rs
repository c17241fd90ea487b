//! Many seeds, on as many threads as are wanted; the first that fails is run again, with its events.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Cell, Coverage, EVERY_RUN, Plant, Setup, Told, simulate};

/// Which seeds.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first.
    pub from: u64,
    /// How many.
    pub count: u64,
    /// On so many threads.
    pub jobs: usize,
}

/// What came of them.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// How many ran.
    pub done: u64,
    /// Those that failed, each with what does not hold.
    pub failed: Vec<(u64, Vec<String>)>,
    /// What struck where.
    pub coverage: Coverage,
    /// How many events there were.
    pub events: u64,
}

impl Outcome {
    /// The first seed that failed.
    pub fn first(&self) -> Option<u64> {
        self.failed.iter().map(|(seed, _)| *seed).min()
    }

    /// What came of it, in one line for programs.
    pub fn line(&self, goal: u64) -> String {
        serde_json::json!({
            "kind": "simulation",
            "goal": goal,
            "done": self.done,
            "violations": self.failed.len(),
            "seed": self.first(),
        })
        .to_string()
    }
}

/// Runs them all.
pub fn run(campaign: Campaign, tell: impl Fn(u64) + Sync) -> Outcome {
    let next = AtomicU64::new(0);
    let outcome = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..campaign.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= campaign.count {
                        return;
                    }
                    let seed = campaign.from + number;
                    let told = simulate(seed, Setup::of(seed));
                    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                    outcome.take(seed, told);
                    tell(outcome.done);
                }
            });
        }
    });
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Outcome {
    fn take(&mut self, seed: u64, told: Told) {
        self.done += 1;
        self.events += told.events;
        self.coverage.add(&told.coverage);
        if !told.violations.is_empty() {
            self.failed.push((seed, told.violations));
        }
    }
}

/// Looks at a pair that the seeds of every run left out, by further ones, until it comes.
pub fn strike(cell: Cell, most: u64) -> Option<Outcome> {
    let looking = (EVERY_RUN..).filter(|seed| Coverage::looked_at(*seed) == cell);
    let mut outcome = Outcome::default();
    for (_, seed) in (0..most).zip(looking) {
        outcome.take(seed, simulate(seed, Setup::of(seed)));
        if outcome.coverage.count(cell) > 0 {
            return Some(outcome);
        }
    }
    None
}

/// Looks for a planted mistake, first by seeds that look at the step where it shows; how many seeds that took, with what was
/// found.
pub fn find(plant: Plant, most: u64) -> Option<(u64, String)> {
    let looking = (0..).filter(|seed| Coverage::looked_at(*seed).0 == plant.step());
    let looking = looking.take(usize::try_from(most).unwrap_or(usize::MAX));
    // First in small worlds, then in ones of full size.
    let worlds = looking.clone().map(|seed| (seed, true)).chain(looking.map(|seed| (seed, false)));
    (1..).zip(worlds).find_map(|(number, (seed, small))| {
        let told = simulate(seed, Setup::planted(seed, plant, small));
        told.violations.into_iter().next().map(|what| (number, what))
    })
}
