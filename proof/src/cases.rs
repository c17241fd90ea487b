//! Many sequences, several at once: each worker has databases of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;

use crate::differential::{Finding, compare, shrink};
use crate::ground::Ground;
use crate::op::sequence;
use crate::pairs::Pairs;
use crate::side::{Sides, Which};

/// What to compare.
#[derive(Debug, Clone)]
pub struct Cases {
    /// The seed of the first sequence; the next ones count on.
    pub seed: u64,
    /// How many sequences.
    pub count: u64,
    /// What is compared with the reference.
    pub which: Vec<Which>,
    /// How many are played at once.
    pub workers: u64,
}

struct Shared {
    cases: Cases,
    ground: Arc<Ground>,
    next: AtomicU64,
    stop: AtomicBool,
    tell: fn(u64, u64),
}

/// Plays them all, telling now and then how many were played of how many.
///
/// # Errors
/// The first finding, with the shortest sequence that shows it.
///
/// # Panics
/// Where a database cannot be made.
pub async fn run(cases: Cases, tell: fn(u64, u64)) -> Result<Pairs, Box<Finding>> {
    let workers = cases.workers.clamp(1, cases.count.max(1));
    let ground = Arc::new(Ground::new());
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let shared = Arc::new(Shared { cases, ground, next, stop, tell });
    let mut set = JoinSet::new();
    for _ in 0..workers {
        set.spawn(work(Arc::clone(&shared)));
    }
    let mut pairs = Pairs::default();
    let mut findings = Vec::new();
    while let Some(done) = set.join_next().await {
        match done.expect("a worker does not panic") {
            Ok(counted) => pairs.add(counted),
            Err(finding) => findings.push(finding),
        }
    }
    match findings.into_iter().min_by_key(|finding| finding.ops.len()) {
        Some(finding) => Err(finding),
        None => Ok(pairs),
    }
}

async fn work(shared: Arc<Shared>) -> Result<Pairs, Box<Finding>> {
    let Cases { seed, count, which, .. } = &shared.cases;
    let mut sides = Sides::new(&shared.ground, which).await;
    let mut pairs = Pairs::default();
    while !shared.stop.load(Ordering::Relaxed) {
        let place = shared.next.fetch_add(1, Ordering::Relaxed);
        if place >= *count {
            break;
        }
        let seed = seed + place;
        let ops = sequence(seed);
        match compare(&mut sides, &ops).await {
            Ok(transcript) => pairs.count(&ops, &transcript.answers),
            Err(difference) => {
                shared.stop.store(true, Ordering::Relaxed);
                return Err(Box::new(shrink(&mut sides, seed, ops, difference).await));
            }
        }
        (shared.tell)(place + 1, *count);
    }
    Ok(pairs)
}
