//! Two agents, two replicas, a thief, an operator and an older database, in every order in which things can happen (I-1 to I-13).

use muster_proof::fleet::{Bug, SMALL, bounds_of, explore};

#[test]
fn nothing_strands_and_nothing_doubles_in_any_order() {
    for (name, bounds) in SMALL {
        let explored = explore(bounds, None);
        println!("{name}: {} states, {} deep", explored.states, explored.depth);
        assert_eq!(explored.violations, [], "{name}");
        assert!(explored.whole && explored.states > 1_000, "{name}: {}", explored.states);
    }
}

/// Each mistake is found, and by a property that it breaks: an exploration that finds nothing proves nothing.
#[test]
fn every_mistake_that_is_planted_around_the_decisions_is_found() {
    for bug in Bug::ALL {
        let explored = explore(bounds_of(bug), Some(bug));
        println!(
            "{bug:?}: {:?}",
            explored.violations.iter().map(|(name, way)| (name, way.len())).collect::<Vec<_>>()
        );
        assert!(!explored.violations.is_empty(), "{bug:?}");
    }
}
