//! The whole system under seeded faults: agents, replicas, store, network, disks and clocks in one process.
//!
//! `MUSTER_SIM_SEED=N proof simulate` runs one seed again and tells its events.

use muster_proof::sim::{Campaign, EVERY_RUN, Plant, Setup, find, simulate, simulate_all, strike};

/// A mistake is found, and a pair that did not come is struck, within so many.
const MOST: u64 = 300;

#[test]
fn no_seed_breaks_a_promise_and_every_fault_strikes_every_step_it_can() {
    let campaign = Campaign { from: 0, count: EVERY_RUN, jobs: 2 };
    let outcome = simulate_all(campaign, |_| {});
    println!("{}", outcome.coverage);
    println!("{}", outcome.line(EVERY_RUN));
    assert!(outcome.failed.is_empty(), "run MUSTER_SIM_SEED=N proof simulate: {:#?}", outcome.failed);
    for cell in outcome.coverage.missing() {
        let strike = strike(cell, MOST).unwrap_or_else(|| panic!("{cell:?} never came"));
        println!("{cell:?} came by another {} seeds", strike.done);
        assert!(strike.failed.is_empty(), "run MUSTER_SIM_SEED=N proof simulate: {:#?}", strike.failed);
    }
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    let seed = 11;
    let run = || simulate(seed, Setup { tells: true, ..Setup::of(seed) });
    let (one, other) = (run(), run());
    assert_eq!((one.events, one.trace), (other.events, other.trace));
}

/// A simulation that finds nothing proves nothing. Each search ends with its first finding.
#[test]
fn every_planted_mistake_is_found() {
    let lost: Vec<&Plant> = Plant::ALL.iter().filter(|plant| find(**plant, MOST).is_none()).collect();
    println!("{} of {} found", Plant::ALL.len() - lost.len(), Plant::ALL.len());
    assert!(Plant::ALL.len() >= 40);
    assert!(lost.is_empty(), "not found: {lost:?}");
}

#[test]
fn a_quiet_day_of_twenty_machines_ends_with_all_of_them_at_work() {
    let told = simulate(1, Setup::quiet(20));
    println!("20 machines, one day: {} events", told.events);
    assert_eq!(told.violations, Vec::<String>::new());
    assert!(told.events > 100);
}
