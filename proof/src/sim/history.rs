//! What must hold from one commit to the next.

use std::collections::BTreeMap;

use muster_model::{Actor, CredentialState, EndReason, Grant, HoldState, KeyStanding, Uses};
use muster_testkit::reference::Snapshot;

use super::laws::{Found, is_retired};

pub(super) const MOVING: [fn(&str, &Snapshot, &Snapshot, &mut Found); 9] = [
    generations_rise,
    endings_stay,
    decisions_stay,
    approvals_are_a_persons,
    enrolling_changes_no_existing_machine,
    bindings_stay,
    changes_are_told_by_name,
    a_proposal_ends_nothing,
    keys_take_turns,
];

/// I-13.
fn generations_rise(_: &str, before: &Snapshot, after: &Snapshot, found: &mut Found) {
    for machine in after.machines() {
        let earlier = before.machine(machine.tenant, machine.id);
        if earlier.is_some_and(|earlier| earlier.generation > machine.generation) {
            found.push(format!("the generation of {} falls (I-13)", machine.id));
        }
    }
    for machine in before.machines() {
        if after.machine(machine.tenant, machine.id).is_none() {
            found.push(format!("{} is gone (I-3)", machine.id));
        }
    }
}

/// I-6.
fn endings_stay(_: &str, before: &Snapshot, after: &Snapshot, found: &mut Found) {
    for machine in before.machines().filter(|machine| is_retired(machine)) {
        if !after.machine(machine.tenant, machine.id).is_some_and(is_retired) {
            found.push(format!("{} was retired and is not any more (I-6)", machine.id));
        }
    }
    for (key, record) in before.keys().filter(|(_, record)| !record.standing.counts()) {
        let now = after.keys().find(|(name, _)| *name == key);
        if now.is_none_or(|(_, now)| now.standing.counts() || now.machine != record.machine) {
            found.push(format!("{key:?} had ended and counts again (I-6)"));
        }
    }
    let ended: BTreeMap<_, _> = after.credentials().map(|credential| (credential.id, credential)).collect();
    for credential in before.credentials() {
        if let CredentialState::Ended { reason, .. } = credential.state
            && reason != EndReason::Renewed
            && ended.get(&credential.id).is_none_or(|now| now.is_open())
        {
            found.push(format!("{} had ended and counts again (I-6)", credential.id));
        }
    }
}

/// The first decision stands.
fn decisions_stay(_: &str, before: &Snapshot, after: &Snapshot, found: &mut Found) {
    let now: BTreeMap<_, _> = after.holds().map(|hold| (hold.id, hold)).collect();
    for hold in before.holds().filter(|hold| hold.state != HoldState::Open) {
        if now.get(&hold.id).is_none_or(|now| now.state != hold.state) {
            found.push(format!("the decision of {} changed", hold.id));
        }
    }
}

/// A hold never becomes accepted by itself, and an approval names who gave it.
fn approvals_are_a_persons(name: &str, before: &Snapshot, after: &Snapshot, found: &mut Found) {
    let known: BTreeMap<_, _> = before.holds().map(|hold| (hold.id, &hold.state)).collect();
    for hold in after.holds() {
        let HoldState::Approved { by, .. } = &hold.state else { continue };
        let is_new = known.get(&hold.id).is_none_or(|state| **state == HoldState::Open);
        if is_new && (name != "hold.approve" || !matches!(by, Actor::Operator(_))) {
            found.push(format!("{} became accepted without a person", hold.id));
        }
    }
}

/// Nobody changes an existing machine that has a key by enrolling.
fn enrolling_changes_no_existing_machine(name: &str, before: &Snapshot, after: &Snapshot, found: &mut Found) {
    if name != "machine.enroll" {
        return;
    }
    for machine in before.machines().filter(|machine| machine.key.is_some()) {
        if after.machine(machine.tenant, machine.id) != Some(machine) {
            found.push(format!("enrolling changed the existing {}", machine.id));
        }
    }
    let known: BTreeMap<_, _> = before.keys().collect();
    for (key, record) in after.keys() {
        let is_new = known.get(key) != Some(&record);
        if is_new && before.machine_by_id(record.machine).is_some_and(|machine| machine.key.is_some()) {
            found.push(format!("enrolling gave {key:?} to an existing machine"));
        }
    }
}

/// I-7.
fn bindings_stay(_: &str, before: &Snapshot, after: &Snapshot, found: &mut Found) {
    let bound = |grant: &Grant| match grant.uses {
        Uses::Once(Some(binding)) => Some(binding),
        _ => None,
    };
    let now: BTreeMap<_, _> = after.grants().map(|grant| (grant.id, bound(grant))).collect();
    for grant in before.grants() {
        let earlier = bound(grant);
        if earlier.is_some() && now.get(&grant.id) != Some(&earlier) {
            found.push(format!("{} is bound to another key (I-7)", grant.id));
        }
    }
}

/// I-9: whoever reads the log finds each machine that changed.
fn changes_are_told_by_name(_: &str, before: &Snapshot, after: &Snapshot, found: &mut Found) {
    for machine in after.machines() {
        if before.machine(machine.tenant, machine.id) == Some(machine) {
            continue;
        }
        let id = machine.id.to_string();
        let is_told = after
            .audit_after(before.told())
            .any(|entry| entry.object == id || entry.detail.iter().any(|(_, value)| *value == id));
        if !is_told {
            found.push(format!("{id} changed and no entry names it (I-9)"));
        }
    }
}

/// I-15: the key that vouches goes on until the next one has worked.
fn a_proposal_ends_nothing(name: &str, before: &Snapshot, after: &Snapshot, found: &mut Found) {
    if name != "key.propose" {
        return;
    }
    for (key, record) in before.keys().filter(|(_, record)| record.standing == KeyStanding::Current) {
        let now = after.key_by_name(*key).map(|now| now.standing);
        let next = after.machine_by_id(record.machine).and_then(|machine| machine.key);
        // That a proposed key vouches is its first use.
        let has_worked = next
            .and_then(|next| before.key_by_name(next))
            .is_some_and(|next| next.standing == KeyStanding::Proposed);
        if now != Some(KeyStanding::Current) && !has_worked {
            found.push(format!("{key:?} ended by a proposal (I-15)"));
        }
    }
}

/// I-2: a key is proposed once, and nothing becomes the present key by its use that was not.
fn keys_take_turns(name: &str, before: &Snapshot, after: &Snapshot, found: &mut Found) {
    if name != "key.propose" && name != "key.use" {
        return;
    }
    for (key, record) in after.keys() {
        let earlier = before.key_by_name(*key).map(|earlier| earlier.standing);
        let may_be = match (earlier, record.standing) {
            (earlier, now) if earlier == Some(now) => true,
            (_, KeyStanding::Proposed) => earlier.is_none() && name == "key.propose",
            (_, KeyStanding::Current) => earlier == Some(KeyStanding::Proposed),
            (_, KeyStanding::Previous) => earlier == Some(KeyStanding::Current),
            (_, KeyStanding::Superseded | KeyStanding::Revoked) => true,
        };
        if !may_be {
            found.push(format!("{key:?} was {earlier:?} and is {:?} (I-2)", record.standing));
        }
    }
}
