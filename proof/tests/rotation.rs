//! Rotation never strands an agent and never hides a thief, in every order in which things can happen (I-4, I-5, I-15).

use muster_proof::rotation::{Bounds, Bug, Explored, explore};

fn holds(bounds: Bounds) -> usize {
    let Explored { states, violations } = explore(bounds, None);
    assert_eq!(violations, [], "{bounds:?}");
    states
}

#[test]
fn no_agent_is_stranded_whatever_is_lost_doubled_or_late() {
    for slot_lost in [false, true] {
        let states = holds(Bounds { keys: 4, slot_lost, thief: false });
        println!("slot lost: {slot_lost}, states: {states}");
        assert!(states > 100);
    }
}

#[test]
fn a_thief_is_noticed_by_the_next_word_of_the_machine() {
    let states = holds(Bounds { keys: 3, slot_lost: false, thief: true });
    println!("states: {states}");
    assert!(states > 1_000);
}

/// Each mistake is found by some bounds: an exploration that finds nothing proves nothing.
#[test]
fn every_planted_mistake_is_found() {
    for bug in Bug::ALL {
        let bounds: [Bounds; 2] = [
            Bounds { keys: 4, slot_lost: true, thief: false },
            Bounds { keys: 3, slot_lost: false, thief: true },
        ];
        let found = bounds.into_iter().any(|bounds| !explore(bounds, Some(bug)).violations.is_empty());
        assert!(found, "{bug:?}");
    }
}
