//! A caller without a key collects what a person decided: once, again and again, and never what ended.

use muster_model::{
    Active, CredentialState, EndReason, KeyFingerprint, SecretId, SignedDuration, Timestamp, Verifier,
};

use super::*;
use crate::tests::fixtures::*;

fn verifier(n: u8) -> Verifier {
    Verifier::from_bytes([n; 32])
}

/// A hold of somebody without a key who can show the second secret.
fn waiting() -> Hold {
    let mut hold = hold(HoldReason::Approval, None);
    (hold.claimant.key, hold.claimant.verifier, hold.grant) = (None, Some(verifier(2)), None);
    hold
}

fn approved(ago: SignedDuration) -> Hold {
    let state = HoldState::Approved { machine: machine_id(1), at: now() - ago, by: operator() };
    Hold { state, ..waiting() }
}

/// The machine as it is after the approval an hour ago.
fn keyless() -> Machine {
    Machine { key: None, enrolled_at: Some(now() - HOUR), ..machine(1) }
}

fn bearer() -> CredentialKind {
    CredentialKind::Bearer { secret: SecretId([7; 10]), hash: hash(7) }
}

fn ask_as(
    by: u8,
    hold: Hold,
    machine: Option<Machine>,
    given: Option<Credential>,
) -> Result<Plan<Outcome>, Refusal> {
    let facts = KeylessFacts { hold: Some(hold), machine, given };
    let shown = Shown { verifier: verifier(by), bearer: bearer(), credential: credential_id(200) };
    collect_keyless(facts, shown, &by_operator(), &Terms::default())
}

fn ask(hold: Hold, machine: Option<Machine>, given: Option<Credential>) -> Result<Plan<Outcome>, Refusal> {
    ask_as(2, hold, machine, given)
}

fn gone<T>() -> Result<T, Refusal> {
    Err(Refusal::NotFound { what: "hold" })
}

#[test]
fn whoever_waits_without_a_key_waits_and_is_told_a_no() {
    let plan = ask(waiting(), None, None).expect("it is open");
    assert!(plan.is_unchanged() && held(&plan) == &waiting());
    assert_eq!(ask(Hold { expires_at: now(), ..waiting() }, None, None), gone());
    let refusal = Refusal::Rejected { reason: Some("who is this?".into()) };
    assert_eq!(ask(Hold { state: rejected(), ..waiting() }, None, None).err(), Some(refusal));
}

/// Two approvals may fall into one millisecond, and servers' clocks differ.
#[test]
fn of_two_who_were_approved_as_one_machine_only_the_last_collects() {
    let known = |machine: &Machine| Known {
        presence: Default::default(),
        ..crate::tests::fixtures::known(machine.clone(), None)
    };
    let approve_as = |machine: &Machine, now: Timestamp| {
        let hold = Hold { existing: Some(machine.id), reason: HoldReason::KeyMismatch, ..waiting() };
        let facts = Facts { hold: Some(hold), existing: Some(known(machine)), ..Facts::default() };
        let context = Context { now, ..by_operator() };
        let plan = approve(facts, Some(Choice::Same), machine_id(9), &[], &context).expect("it is open");
        let becomes = plan.changes().iter().find_map(|change| match change {
            Change::Machine(MachineChange::Update(machine)) => Some(machine.clone()),
            _ => None,
        });
        (plan.outcome().clone(), becomes.expect("the machine changes"))
    };
    for behind in [SignedDuration::ZERO, SignedDuration::from_secs(5)] {
        let (first, once) = approve_as(&keyless(), now());
        let (second, twice) = approve_as(&once, now() - behind);
        assert_eq!(ask(first, Some(twice.clone()), None), gone());
        assert!(ask(second, Some(twice), None).is_ok());
    }
}

#[test]
fn another_secret_a_hold_of_a_key_and_no_hold_are_one_answer() {
    for hold in [waiting(), Hold { state: rejected(), ..waiting() }, approved(HOUR)] {
        assert_eq!(ask_as(3, hold, Some(keyless()), None), gone());
    }
    let mut of_a_key = approved(HOUR);
    of_a_key.claimant.key = Some(public_key(2));
    assert_eq!(ask(of_a_key, Some(keyless()), None), gone());
    let mut without = approved(HOUR);
    without.claimant.verifier = None;
    assert_eq!(ask(without, Some(keyless()), None), gone());
    let shown = Shown { verifier: verifier(2), bearer: bearer(), credential: credential_id(200) };
    assert_eq!(collect_keyless(KeylessFacts::default(), shown, &by_operator(), &Terms::default()), gone());
}

#[test]
fn what_was_approved_is_collected_once_and_then_given_again_without_a_write() {
    let plan = ask(approved(HOUR), Some(keyless()), None).expect("it is let in");
    let (machine, credential, again) = enrolled(&plan);
    assert_eq!((machine.id, credential.id, again), (machine_id(1), credential_id(200), false));
    assert_eq!((&credential.kind, credential.generation), (&bearer(), keyless().generation));
    assert_eq!(rows(&plan), ["credential reserved"]);
    assert_eq!(told(&plan), ("credential.reserve", "hold_collected"));
    let again = ask(approved(HOUR), Some(keyless()), Some(credential.clone())).expect("it is let in");
    assert!(again.is_unchanged());
    assert_eq!(enrolled(&again), (&keyless(), credential, true));
}

#[test]
fn the_right_to_collect_lapses_a_month_after_the_approval() {
    let month = Terms::default().collect_life;
    let enrolled = Machine { enrolled_at: Some(now() - month), ..keyless() };
    assert!(ask(approved(month), Some(enrolled.clone()), None).is_ok());
    assert_eq!(ask(approved(month + SignedDuration::from_secs(1)), Some(enrolled), None), gone());
}

#[test]
fn what_ended_is_not_given_again() {
    let plan = ask(approved(HOUR), Some(keyless()), None).expect("it is let in");
    let (_, given, _) = enrolled(&plan);
    for reason in EndReason::ALL {
        let state = CredentialState::Ended { at: ago(HOUR), reason };
        assert_eq!(ask(approved(HOUR), Some(keyless()), Some(Credential { state, ..given.clone() })), gone());
    }
    let over = Credential { not_after: now(), ..given.clone() };
    assert_eq!(ask(approved(HOUR), Some(keyless()), Some(over)), gone());
    let elsewhere = Credential { machine: machine_id(2), ..given.clone() };
    assert_eq!(ask(approved(HOUR), Some(keyless()), Some(elsewhere)), gone());
}

#[test]
fn nothing_is_collected_for_a_machine_that_ended_or_became_somebody_else() {
    let key: Option<KeyFingerprint> = Some(key(2));
    let revoked =
        MachineState::Active(Active { since: ago(HOUR) }).revoked(now(), None).expect("it was at work");
    let machines = [
        Machine { state: retired(), ..keyless() },
        Machine { state: revoked, ..keyless() },
        Machine { key, ..keyless() },
        Machine { enrolled_at: Some(now()), ..keyless() },
        Machine { enrolled_at: None, ..keyless() },
    ];
    for machine in machines {
        assert_eq!(ask(approved(HOUR), Some(machine.clone()), None), gone(), "{machine:?}");
    }
    assert_eq!(ask(approved(HOUR), None, None), gone());
    let paused =
        MachineState::Active(Active { since: ago(HOUR) }).suspended(now(), None).expect("it was at work");
    assert!(
        ask(approved(HOUR), Some(Machine { state: paused, ..keyless() }), None).is_ok(),
        "a pause is no end"
    );
}
