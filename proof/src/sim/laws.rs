//! What must always hold: of everything that is kept, and of every step from one moment to the next.
//!
//! Each law is a small function over one moment or two; [`moved`] asks all of them after every commit.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{
    HoldReason, HoldState, KeyStanding, Machine, MachineId, MachineState, SignedDuration, SuspendCause,
    Suspended, Uses,
};
use muster_testkit::reference::Snapshot;

pub(super) type Found = Vec<String>;

/// Every law, after a commit.
pub(super) fn moved(name: &str, before: &Snapshot, after: &Snapshot, changed: bool) -> Found {
    let mut found = Found::new();
    for law in STANDING {
        law(after, &mut found);
    }
    for law in super::history::MOVING {
        law(name, before, after, &mut found);
    }
    if changed && after.told() == before.told() {
        found.push(format!("{name} changed something and told nothing (I-9)"));
    }
    found.iter_mut().for_each(|what| *what = format!("{what}, after {name}"));
    found
}

const STANDING: [fn(&Snapshot, &mut Found); 9] = [
    one_live_machine_for_hardware,
    one_key_of_each_standing,
    at_most_two_working_keys,
    machines_at_work_have_their_key,
    what_ended_has_nothing,
    credentials_are_of_their_generation,
    lives_are_short,
    held_keys_hold_nothing,
    one_time_grants_have_one_machine,
];

pub(super) fn is_retired(machine: &Machine) -> bool {
    matches!(machine.state, MachineState::Retired(_))
}

fn is_ended(machine: &Machine) -> bool {
    is_retired(machine)
        || matches!(machine.state, MachineState::Suspended(Suspended { cause: SuspendCause::Revoked(_), .. }))
}

/// I-1.
fn one_live_machine_for_hardware(moment: &Snapshot, found: &mut Found) {
    let mut seen = BTreeSet::new();
    for machine in moment.machines().filter(|machine| !is_retired(machine)) {
        if let Some(hardware) = &machine.hardware_id
            && !seen.insert((machine.tenant, hardware.to_string()))
        {
            found.push(format!("two machines have the hardware {hardware} (I-1)"));
        }
    }
}

/// I-1: and one proposed, one previous.
fn one_key_of_each_standing(moment: &Snapshot, found: &mut Found) {
    let mut seen = BTreeSet::new();
    for (_, record) in moment.keys().filter(|(_, record)| record.standing.counts()) {
        let standing = record.standing.as_str();
        if !seen.insert((record.machine, standing)) {
            found.push(format!("{} has two {standing} keys (I-1)", record.machine));
        }
    }
}

/// I-4.
fn at_most_two_working_keys(moment: &Snapshot, found: &mut Found) {
    let mut working: BTreeMap<MachineId, u32> = BTreeMap::new();
    for (_, record) in moment.keys() {
        if matches!(record.standing, KeyStanding::Current | KeyStanding::Proposed) {
            *working.entry(record.machine).or_default() += 1;
        }
    }
    found.extend(
        working
            .iter()
            .filter(|(_, n)| **n > 2)
            .map(|(machine, n)| format!("{machine} has {n} working keys (I-4)")),
    );
}

/// I-1, I-2.
fn machines_at_work_have_their_key(moment: &Snapshot, found: &mut Found) {
    for machine in moment.machines() {
        let works = match &machine.state {
            MachineState::Active(_) => true,
            MachineState::Suspended(_) => !is_ended(machine),
            MachineState::Pending(_) | MachineState::Retired(_) => false,
        };
        let record = machine.key.and_then(|key| moment.key(machine.tenant, key));
        let is_its = record
            .is_some_and(|record| record.machine == machine.id && record.standing == KeyStanding::Current);
        if works && !is_its {
            found.push(format!("{} is at work without a key of its own (I-2)", machine.id));
        }
    }
}

/// I-6.
fn what_ended_has_nothing(moment: &Snapshot, found: &mut Found) {
    let ended: BTreeSet<MachineId> =
        moment.machines().filter(|machine| is_ended(machine)).map(|machine| machine.id).collect();
    for credential in moment.credentials().filter(|credential| ended.contains(&credential.machine)) {
        if credential.is_open() {
            found.push(format!("{} has ended and a credential of it has not (I-6)", credential.machine));
        }
    }
    for (key, record) in moment.keys().filter(|(_, record)| ended.contains(&record.machine)) {
        if record.standing.counts() {
            found.push(format!("{} has ended and {key:?} counts (I-6)", record.machine));
        }
    }
}

/// I-2, I-6: what counts is of the machine's present generation, and for a key that counts.
fn credentials_are_of_their_generation(moment: &Snapshot, found: &mut Found) {
    let machines: BTreeMap<MachineId, &Machine> =
        moment.machines().map(|machine| (machine.id, machine)).collect();
    let counting: BTreeSet<_> =
        moment.keys().filter(|(_, record)| record.standing.counts()).map(|(name, _)| *name).collect();
    for credential in moment.credentials().filter(|credential| credential.is_open()) {
        let muster_model::CredentialKind::Certificate { key } = credential.kind else { continue };
        if !machines.contains_key(&credential.machine) {
            found.push(format!("{} is of no machine (I-2)", credential.id));
        } else if !counting.contains(&key) {
            found.push(format!("{} counts for a key that does not (I-2, I-6)", credential.id));
        }
    }
}

///
fn lives_are_short(moment: &Snapshot, found: &mut Found) {
    let longest = SignedDuration::from_hours(25);
    for credential in moment.credentials() {
        if credential.not_after.duration_since(credential.not_before) > longest {
            found.push(format!("{} lives longer than anything may (Q-50)", credential.id));
        }
    }
}

/// I-11.
fn held_keys_hold_nothing(moment: &Snapshot, found: &mut Found) {
    for hold in moment.holds().filter(|hold| hold.state == HoldState::Open) {
        let Some(key) = hold.claimant.key.as_ref().map(muster_model::PublicKey::fingerprint) else {
            continue;
        };
        let record = moment.key(hold.tenant, key);
        let is_new = !matches!(hold.reason, HoldReason::SiteMismatch);
        // Whoever was let in by an earlier hold may have an older question open.
        let was_let_in = moment.holds().any(|other| {
            matches!(other.state, HoldState::Approved { .. })
                && other.claimant.key.as_ref().map(muster_model::PublicKey::fingerprint) == Some(key)
        });
        // Whoever was forgotten may have asked anew before its certificate was adopted.
        let was_adopted = |machine: MachineId| {
            let machine = machine.to_string();
            moment.audit_after(0).any(|entry| entry.action == "key.adopt" && entry.object == machine)
        };
        if is_new
            && !was_let_in
            && record.is_some_and(|record| record.standing.counts() && !was_adopted(record.machine))
        {
            found.push(format!("{key:?} waits for a person and counts already (I-11)"));
        }
    }
}

/// I-7.
fn one_time_grants_have_one_machine(moment: &Snapshot, found: &mut Found) {
    for grant in moment.grants().filter(|grant| matches!(grant.uses, Uses::Once(_))) {
        let machines = moment.machines().filter(|machine| machine.grant == Some(grant.id)).count();
        if machines > 1 {
            found.push(format!("{machines} machines came by the one-time {} (I-7)", grant.id));
        }
    }
}
