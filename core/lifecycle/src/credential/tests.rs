use muster_model::{KeyFingerprint, SignedDuration, SuspendCause};

use super::*;
use crate::tests::fixtures::*;

fn facts(ages: &[(u8, SignedDuration)]) -> RenewFacts {
    let machine = machine(1);
    RenewFacts {
        key: Some(key_record(1, &machine, KeyStanding::Current)),
        credentials: ages.iter().map(|(n, age)| certificate(*n, &machine, *age)).collect(),
        machine: Some(machine),
    }
}

fn ask(facts: &RenewFacts) -> Result<Plan<(Machine, Credential)>, Refusal> {
    renew(facts.clone(), credential_id(200), &context(now(), muster_model::Actor::System), &Terms::default())
}

fn certified(credential: &Credential) -> Option<KeyFingerprint> {
    match credential.kind {
        CredentialKind::Certificate { key } => Some(key),
        CredentialKind::Bearer { .. } | CredentialKind::Refresh { .. } => None,
    }
}

#[test]
fn a_renewal_is_for_the_same_key_and_keeps_the_certificate_before_it() {
    let plan = ask(&facts(&[(102, HOUR * 12)])).expect("it may renew");
    let (machine, credential) = plan.outcome();
    assert_eq!((certified(credential), credential.generation), (Some(key(1)), machine.generation));
    assert_eq!(rows(&plan), ["credential reserved"]);
    assert_eq!(told(&plan), ("credential.renew", "same_key"));
}

#[test]
fn a_renewal_ends_what_is_older_than_the_one_before_it() {
    let plan = ask(&facts(&[(102, HOUR * 12), (101, HOUR * 20), (100, HOUR * 30)])).expect("it may renew");
    assert_eq!(ended(&plan), [101, 100].map(|n| (credential_id(n), EndReason::Renewed)));
}

#[test]
fn what_was_never_minted_does_not_push_out_what_the_machine_holds() {
    let mut facts = facts(&[(102, HOUR * 5), (101, HOUR * 20), (100, HOUR * 30)]);
    facts.credentials[0].state = CredentialState::Reserved;
    let plan = ask(&facts).expect("it may renew");
    assert_eq!(ended(&plan), [102, 100].map(|n| (credential_id(n), EndReason::Renewed)));
}

#[test]
fn asking_again_soon_gets_the_same_certificate() {
    let mut facts = facts(&[(102, HOUR), (101, HOUR * 13)]);
    for state in [CredentialState::Reserved, facts.credentials[0].state.clone()] {
        facts.credentials[0].state = state;
        let plan = ask(&facts).expect("it may renew");
        assert_eq!((plan.is_unchanged(), plan.outcome().1.id), (true, credential_id(102)));
    }
}

#[test]
fn a_first_certificate_is_renewed_at_once_when_ordered() {
    assert_eq!(rows(&ask(&facts(&[(102, HOUR)])).expect("it may renew")), ["credential reserved"]);
}

#[test]
fn q_15_an_expired_certificate_is_renewed_for_thirty_days_and_no_longer() {
    let grace = Terms::default().renew_grace;
    assert!(ask(&facts(&[(102, DAY + grace)])).is_ok());
    let late = ask(&facts(&[(102, DAY + grace + SignedDuration::from_secs(1))]));
    assert_eq!(late.err(), Some(Refusal::CredentialExpired));
    assert_eq!(ask(&facts(&[])).err(), Some(Refusal::CredentialExpired));
}

#[test]
fn q_07_a_dead_key_or_machine_is_never_certified_again() {
    for standing in [KeyStanding::Revoked, KeyStanding::Superseded] {
        let mut facts = facts(&[(102, HOUR)]);
        facts.key = Some(key_record(1, &machine(1), standing));
        assert_eq!(ask(&facts).err(), Some(Refusal::Revoked));
    }
    for state in [retired(), pending(1).state] {
        let mut facts = facts(&[(102, HOUR)]);
        facts.machine = Some(Machine { state, ..machine(1) });
        assert_eq!(ask(&facts).err(), Some(Refusal::Revoked));
    }
}

#[test]
fn q_14_a_key_whose_place_was_taken_while_it_asked_is_told_to_rotate_and_nothing_of_an_end() {
    let mut facts = facts(&[(102, HOUR)]);
    facts.key = Some(key_record(1, &machine(1), KeyStanding::Previous));
    facts.machine = Some(Machine { key: Some(key(2)), ..machine(1) });
    assert_eq!(ask(&facts).err(), Some(Refusal::RotationNeeded));
}

#[test]
fn q_04_a_key_that_is_not_the_machines_present_one_renews_nothing() {
    let mut facts = facts(&[(102, HOUR)]);
    facts.key = Some(key_record(3, &machine(1), KeyStanding::Current));
    assert_eq!(ask(&facts).err(), Some(Refusal::Revoked));
    for unknown in [RenewFacts { key: None, ..facts.clone() }, RenewFacts { machine: None, ..facts }] {
        assert_eq!(ask(&unknown).err(), Some(Refusal::UnknownMachine));
    }
}

#[test]
fn a_paused_machine_may_renew_so_that_it_can_be_told_to_go_on() {
    for cause in [SuspendCause::Operator(None), SuspendCause::Probation] {
        let mut facts = facts(&[(102, HOUR * 12)]);
        facts.machine = Some(Machine { state: suspended(cause), ..machine(1) });
        assert!(ask(&facts).is_ok());
    }
}

#[test]
fn q_50_renewals_live_as_long_as_the_terms_say() {
    let terms = Terms { certificate_life: HOUR, ..Terms::default() };
    let plan = renew(facts(&[(102, HOUR * 12)]), credential_id(200), &by_operator(), &terms);
    let credential = plan.expect("it may renew").outcome().1.clone();
    assert_eq!((credential.not_before, credential.not_after), (now() - HOUR / 10, now() + HOUR));
}

fn reserved() -> Credential {
    Credential { state: CredentialState::Reserved, ..certificate(102, &machine(1), HOUR) }
}

fn minted(n: u8) -> Minted {
    Minted::Certificate(vec![n])
}

#[test]
fn what_was_minted_is_issued_and_the_first_to_be_confirmed_counts() {
    let plan = confirm(Some(reserved()), Some(&machine(1)), minted(1), &by_operator()).expect("it is open");
    assert_eq!(plan.outcome().state, CredentialState::Issued(minted(1)));
    assert_eq!(
        (rows(&plan), told(&plan)),
        (vec!["credential issued".into()], ("credential.issue", "minted"))
    );
    let second = confirm(Some(plan.outcome().clone()), Some(&machine(1)), minted(2), &by_operator());
    let second = second.expect("it is issued");
    assert!(second.is_unchanged() && second.outcome() == plan.outcome());
}

#[test]
fn an_end_decided_while_it_was_minted_wins() {
    for reason in [EndReason::Superseded, EndReason::Revoked, EndReason::Retired] {
        let over = Credential { state: CredentialState::Ended { at: now(), reason }, ..reserved() };
        let refused = confirm(Some(over), Some(&machine(1)), minted(1), &by_operator());
        assert_eq!(refused.err(), Some(Refusal::Revoked));
    }
    let gone = Machine { state: retired(), ..machine(1) };
    for machine in [Some(&gone), None] {
        let refused = confirm(Some(reserved()), machine, minted(1), &by_operator());
        assert_eq!(refused.err(), Some(Refusal::Revoked));
    }
    let missing = confirm(None, Some(&machine(1)), minted(1), &by_operator());
    assert_eq!(missing.err(), Some(Refusal::NotFound { what: "credential" }));
}

#[test]
fn q_14_a_certificate_overtaken_by_a_newer_one_does_not_read_as_a_revocation() {
    let state = CredentialState::Ended { at: now(), reason: EndReason::Renewed };
    let over = Credential { state, ..reserved() };
    let refused = confirm(Some(over), Some(&machine(1)), minted(1), &by_operator());
    assert_eq!(refused.err(), Some(Refusal::SlowDown { retry_after: 1 }));
}
