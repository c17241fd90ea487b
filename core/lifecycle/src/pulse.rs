//! What a fleet did, counted from the changes of a plan, so that no use case can forget to count.

use std::collections::BTreeSet;

use muster_model::{Counted, Machine, MachineId, MachineState, Timestamp};

use crate::{Change, MachineChange};

/// What these changes, written at this time, count as. Who comes under another key of its own, or is confirmed, was let in
/// before.
pub fn counted(changes: &[Change], now: Timestamp) -> Counted {
    let (mut enrolled, mut ended) = (BTreeSet::<MachineId>::new(), BTreeSet::new());
    for change in changes {
        let Change::Machine(MachineChange::Create(machine) | MachineChange::Update(machine)) = change else {
            continue;
        };
        if is_let_in(machine, now) {
            enrolled.insert(machine.id);
        }
        if matches!(&machine.state, MachineState::Retired(retired) if retired.since == now) {
            ended.insert(machine.id);
        }
    }
    Counted { enrolled: enrolled.len() as u64, refused: 0, ended: ended.len() as u64 }
}

/// Somebody let it in now, and this is its enrollment: a confirmation has the first alone, another key the second.
fn is_let_in(machine: &Machine, now: Timestamp) -> bool {
    machine.lineage.at == Some(now) && machine.enrolled_at.is_some_and(|at| at >= now)
}

#[cfg(test)]
mod tests;
