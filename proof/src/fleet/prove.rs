//! Every exploration there is, in either size, as one line: what was explored without a mistake, and with each planted one.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Bounds, Bug, Explored, explore};
use crate::line::Line;

/// Nothing but two agents at one replica: what the others add to.
pub const ALONE: Bounds = Bounds {
    keys: [2, 1],
    thief: false,
    replicas: 1,
    slot_lost: false,
    revokes: false,
    restore: false,
    renews: false,
    split: false,
};

/// What is explored in a run of the tests: each part beside the ones that it has to do with.
pub const SMALL: [(&str, Bounds); 6] = [
    ("one agent with four keys", Bounds { keys: [4, 0], slot_lost: true, ..ALONE }),
    ("two agents, two replicas", Bounds { replicas: 2, slot_lost: true, ..ALONE }),
    ("an older database", Bounds { keys: [2, 0], restore: true, ..ALONE }),
    ("and a lost slot", Bounds { keys: [2, 0], slot_lost: true, restore: true, ..ALONE }),
    ("a thief", Bounds { keys: [2, 0], thief: true, ..ALONE }),
    ("the version check", Bounds { keys: [1, 1], replicas: 2, split: true, ..ALONE }),
];

/// What is explored by hand.
const FULL: [(&str, Bounds); 12] = [
    ("two agents, one rotates twice", Bounds { keys: [3, 1], replicas: 2, slot_lost: true, ..ALONE }),
    ("an operator who revokes", Bounds { replicas: 2, slot_lost: true, revokes: true, ..ALONE }),
    ("an older database, four keys", Bounds { keys: [4, 0], replicas: 2, restore: true, ..ALONE }),
    (
        "and an operator who revokes",
        Bounds { keys: [3, 0], replicas: 2, revokes: true, restore: true, ..ALONE },
    ),
    ("a thief beside one agent", Bounds { keys: [2, 0], thief: true, replicas: 2, slot_lost: true, ..ALONE }),
    ("a thief beside one agent with three keys", Bounds { keys: [3, 0], thief: true, ..ALONE }),
    ("a thief beside two agents", Bounds { keys: [1, 1], thief: true, replicas: 2, ..ALONE }),
    ("and one of them rotates", Bounds { keys: [2, 1], thief: true, replicas: 2, ..ALONE }),
    ("an older database, two agents", Bounds { replicas: 2, restore: true, ..ALONE }),
    (
        "an older database and a lost slot",
        Bounds { keys: [3, 0], replicas: 2, slot_lost: true, restore: true, ..ALONE },
    ),
    (
        "the same with four keys",
        Bounds { keys: [4, 0], replicas: 2, slot_lost: true, restore: true, ..ALONE },
    ),
    (
        "and certificates that are renewed",
        Bounds { keys: [3, 0], replicas: 2, slot_lost: true, restore: true, renews: true, ..ALONE },
    ),
];

/// Where a mistake is looked for: the smallest bounds that show it.
pub fn bounds_of(bug: Bug) -> Bounds {
    match bug {
        Bug::EndsAtIssue | Bug::ForgetsPrevious => Bounds { slot_lost: true, ..ALONE },
        Bug::TakesTwice => Bounds { keys: [2, 0], thief: true, ..ALONE },
        Bug::DeafToBase => Bounds { keys: [3, 0], slot_lost: true, ..ALONE },
        Bug::KeepsBoth => Bounds { keys: [3, 0], slot_lost: true, ..ALONE },
        Bug::CommitsStale => Bounds { keys: [1, 1], thief: true, replicas: 2, split: true, ..ALONE },
        Bug::TokenUnbound => Bounds { keys: [1, 1], thief: true, ..ALONE },
        Bug::TokenBurnt | Bug::HoldApprovesItself | Bug::HoldTouches => Bounds { keys: [1, 1], ..ALONE },
        Bug::MergeKeepsKeys => Bounds { keys: [1, 1], ..ALONE },
        Bug::RevokeMissesNext | Bug::ConfirmsEnded => Bounds { revokes: true, ..ALONE },
        Bug::AdoptsDead | Bug::NeverAdopts => {
            Bounds { keys: [3, 1], slot_lost: true, restore: true, ..ALONE }
        }
        Bug::AdoptsDeaf => Bounds { keys: [3, 0], slot_lost: true, restore: true, ..ALONE },
        Bug::HearsBefore => Bounds { keys: [3, 0], restore: true, ..ALONE },
        Bug::Unordered => Bounds { keys: [3, 0], slot_lost: true, restore: true, ..ALONE },
        Bug::OrderedOnce => Bounds { keys: [3, 0], replicas: 2, slot_lost: true, restore: true, ..ALONE },
    }
}

/// All of it, told as it comes. A mistake that is not found is a violation like one that is found where none was planted.
pub fn prove(full: bool, mut tell: impl FnMut(String)) -> Line {
    let all: &[(&str, Bounds)] = if full { &FULL } else { &SMALL };
    let (mut states, mut depth, mut violations) = (0, 0, 0);
    for (name, bounds) in all {
        let Explored { states: some, whole, depth: deep, violations: found } = explore(*bounds, None);
        tell(format!("{name}: {some} states, {deep} deep{}", if whole { "" } else { ", NOT ALL" }));
        for (property, way) in &found {
            tell(format!("  VIOLATED {property}, in {} steps: {}", way.len(), way.join(" ")));
        }
        (states, depth) = (states + some, depth.max(deep));
        violations += found.len() + usize::from(!whole);
    }
    let mut found = BTreeMap::new();
    for bug in Bug::ALL {
        let shortest =
            explore(bounds_of(bug), Some(bug)).violations.into_iter().min_by_key(|(_, way)| way.len());
        match shortest {
            Some((property, way)) => {
                tell(format!("{bug:?}: {property}, in {} steps", way.len()));
                found.insert(format!("{bug:?}"), way.len());
            }
            None => {
                tell(format!("{bug:?}: NOT FOUND"));
                violations += 1;
            }
        }
    }
    let goal = if full { 1_000_000 } else { 10_000 };
    let figures =
        BTreeMap::from([("depth", json!(depth)), ("bugs", json!(Bug::ALL.len())), ("found", json!(found))]);
    Line { kind: "model", goal, done: states as u64, violations: violations as u64, seed: 0, figures }
}
