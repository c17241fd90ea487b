//! What is adopted of a stretch that a restored database forgot, and what is not.

use muster_model::{
    CredentialState, Deployment, DeploymentId, IncarnationId, Minted, SignedDuration, SuspendCause,
};

use super::*;
use crate::tests::fixtures::*;

fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).expect("after 1970")
}

fn drawn(time: Timestamp) -> CredentialId {
    CredentialId::new(millis(time), [7; 10])
}

/// Put back and accepted this long ago.
fn accepted(before: SignedDuration) -> Deployment {
    let incarnation = |time| IncarnationId::new(millis(time), [1; 10]);
    Deployment {
        id: DeploymentId::new(1, [1; 10]),
        proof: [0; 32],
        incarnations: vec![incarnation(ago(HOUR * 100)), incarnation(ago(before))],
        gap: None,
    }
}

fn forgotten(n: u8, issued_at: Timestamp) -> Forgotten {
    Forgotten {
        credential: drawn(issued_at),
        der: vec![n],
        key: public_key(n),
        base: None,
        not_before: issued_at,
        not_after: issued_at + HOUR * 24,
    }
}

fn facts() -> Facts {
    let machine = machine(1);
    let known = Credential { id: drawn(ago(HOUR * 9)), ..certificate(1, &machine, HOUR * 9) };
    Facts {
        keys: vec![key_record(1, &machine, KeyStanding::Current)],
        proposed: None,
        used: None,
        credentials: vec![known],
        machine: Some(machine),
        ..Facts::default()
    }
}

fn adopted(facts: Facts, n: u8, issued_at: Timestamp) -> Result<Plan<Machine>, Refusal> {
    adopt(facts, &forgotten(n, issued_at), Some(&accepted(HOUR)), &by_operator())
}

#[test]
fn a_key_and_its_certificate_of_the_forgotten_stretch_are_taken_for_what_they_were() {
    let plan = adopted(facts(), 2, ago(HOUR * 3)).expect("forgotten");
    assert_eq!((plan.outcome().key, plan.outcome().generation), (Some(key(2)), 2));
    let told = ["key previous", "machine active", "key registered", "credential reserved"];
    assert_eq!(rows(&plan), told);
    let Some(Change::Credential(CredentialChange::Reserve(known))) = plan.changes().last() else {
        panic!("it is known from now on")
    };
    let minted = CredentialState::Issued(Minted::Certificate(vec![2]));
    assert_eq!((known.id, &known.state, known.generation), (drawn(ago(HOUR * 3)), &minted, 2));
    assert_eq!((plan.entries()[0].action, plan.entries()[0].reason.0), ("key.adopt", "restored"));
}

#[test]
fn a_certificate_of_a_known_key_is_adopted_without_touching_the_key() {
    let mut facts = facts();
    facts.proposed = Some(facts.keys[0].clone());
    let plan = adopted(facts, 1, ago(HOUR * 3)).expect("forgotten");
    assert_eq!(rows(&plan), ["credential reserved"]);
}

/// On the day of the backup the second key had been used once: the first one is still what the machine would wake up with.
fn after_a_first_use() -> Facts {
    let machine = Machine { key: Some(key(2)), generation: 2, ..machine(1) };
    let previous = key_record(1, &machine, KeyStanding::Previous);
    Facts { keys: vec![previous, key_record(2, &machine, KeyStanding::Current)], ..facts() }
}

fn adopted_upon(facts: Facts, n: u8, base: u8) -> Result<Plan<Machine>, Refusal> {
    let forgotten = Forgotten { base: Some(key(base)), ..forgotten(n, ago(HOUR * 3)) };
    adopt(facts, &forgotten, Some(&accepted(HOUR)), &by_operator())
}

fn stands(plan: &Plan<Machine>, n: u8) -> Option<KeyStanding> {
    plan.changes().iter().find_map(|change| match change {
        Change::Key(KeyChange::Standing { key: moved, standing }) if *moved == key(n) => Some(*standing),
        _ => None,
    })
}

#[test]
fn q_08_the_key_in_the_durable_slot_keeps_its_right_whatever_the_older_day_made_of_it() {
    let (previous, superseded) = (Some(KeyStanding::Previous), Some(KeyStanding::Superseded));
    // It lost the second key, and made a third one.
    let plan = adopted_upon(after_a_first_use(), 3, 1).expect("forgotten");
    assert_eq!((stands(&plan, 1), stands(&plan, 2)), (None, superseded), "the first one is what it was");
    let plan = adopted_upon(after_a_first_use(), 3, 2).expect("forgotten");
    assert_eq!((stands(&plan, 1), stands(&plan, 2)), (superseded, previous));
    let plan = adopted_upon(after_a_first_use(), 3, 3).expect("forgotten");
    assert_eq!((stands(&plan, 1), stands(&plan, 2)), (superseded, superseded), "it is settled");
    // One that was proposed on that day has long been used.
    let mut proposed = facts();
    proposed.keys.push(key_record(2, &machine(1), KeyStanding::Proposed));
    let plan = adopted_upon(proposed, 3, 2).expect("forgotten");
    assert_eq!((stands(&plan, 1), stands(&plan, 2)), (superseded, previous));
}

#[test]
fn q_08_no_key_is_adopted_before_the_one_in_the_durable_slot() {
    let told = adopted_upon(facts(), 3, 2);
    assert_eq!(told.err(), Some(Refusal::NotAuthenticated { cause: "base_unknown" }));
    let plan = adopted_upon(facts(), 2, 2).expect("that one shows itself");
    assert_eq!(plan.outcome().key, Some(key(2)));
}

#[test]
fn nothing_is_adopted_from_outside_of_the_forgotten_stretch() {
    let unknown = Some(Refusal::NotAuthenticated { cause: "credential_unknown" });
    for (when, issued_at) in [("before", ago(HOUR * 10)), ("as old", ago(HOUR * 9)), ("after", ago(HOUR / 2))]
    {
        assert_eq!(adopted(facts(), 2, issued_at).err(), unknown, "{when}");
    }
    let never_put_back = Deployment { incarnations: vec![accepted(HOUR).incarnation()], ..accepted(HOUR) };
    for deployment in [None, Some(&never_put_back)] {
        let told = adopt(facts(), &forgotten(2, ago(HOUR * 3)), deployment, &by_operator());
        assert_eq!(told.err(), unknown);
    }
}

#[test]
fn q_18_a_key_of_the_forgotten_stretch_that_came_too_late_is_a_sign() {
    let is_shut_out =
        |facts: &Facts, issued_at| super::is_shut_out(facts, &forgotten(2, issued_at), Some(&accepted(HOUR)));
    assert!(!is_shut_out(&facts(), ago(HOUR * 3)), "it is adopted");
    // Somebody who had an older key has rotated it, or renewed by it, since the older database was accepted.
    let mut spoke_first = facts();
    spoke_first.credentials.push(Credential { id: drawn(ago(HOUR / 2)), ..facts().credentials[0].clone() });
    assert!(is_shut_out(&spoke_first, ago(HOUR * 3)));
    assert!(!is_shut_out(&spoke_first, ago(HOUR / 2)), "of no forgotten stretch");
    let known = Facts { proposed: Some(key_record(2, &machine(1), KeyStanding::Superseded)), ..spoke_first };
    assert!(!is_shut_out(&known, ago(HOUR * 3)), "what is said of a known key is told as that");
    let ended = Facts { machine: Some(Machine { state: retired(), ..machine(1) }), ..known };
    assert!(!is_shut_out(&Facts { proposed: None, ..ended }, ago(HOUR * 3)));
}

#[test]
fn while_somebody_looks_at_the_machine_no_forgotten_key_takes_its_place() {
    for cause in [SuspendCause::Operator(None), SuspendCause::Quarantine] {
        let paused = Some(Machine { state: suspended(cause), ..machine(1) });
        let rests = Facts { machine: paused.clone(), ..facts() };
        assert_eq!(adopted(rests, 2, ago(HOUR * 3)).err(), Some(Refusal::MachineSuspended));
        let mut at_work = Facts { machine: paused, ..facts() };
        at_work.proposed = Some(at_work.keys[0].clone());
        assert_eq!(rows(&adopted(at_work, 1, ago(HOUR * 3)).expect("its key")), ["credential reserved"]);
    }
}

#[test]
fn q_07_what_is_known_to_be_over_is_not_adopted() {
    for (standing, refusal) in
        [(KeyStanding::Superseded, Refusal::Superseded), (KeyStanding::Revoked, Refusal::Revoked)]
    {
        let mut facts = facts();
        facts.proposed = Some(key_record(2, &machine(1), standing));
        assert_eq!(adopted(facts, 2, ago(HOUR * 3)).err(), Some(refusal));
    }
    let mut foreign = facts();
    foreign.proposed = Some(key_record(2, &machine(5), KeyStanding::Current));
    assert_eq!(adopted(foreign, 2, ago(HOUR * 3)).err(), Some(Refusal::IdentityMismatch));
    for state in [suspended(SuspendCause::Revoked(None)), retired()] {
        let ended = Facts { machine: Some(Machine { state, ..machine(1) }), ..facts() };
        assert_eq!(adopted(ended, 2, ago(HOUR * 3)).err(), Some(Refusal::Revoked));
    }
}
