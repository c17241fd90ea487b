//! Row 4c: a machine without a key shows its bearer key, and comes back with a key of its own.

use muster_model::{
    Claim, CredentialState, EndReason, Entitlement, KeyStanding, Machine, Refusal, SignedDuration,
    SuspendCause,
};

use crate::enroll::Known;
use crate::tests::fixtures::*;

/// The second key comes by the bearer key 100 of the first machine, which has none of its own.
fn upgrading() -> Scene {
    let known = known(Machine { key: None, ..machine(1) }, None);
    let mut scene = Scene::new();
    let entitlement = Entitlement::Credential { id: credential_id(100), hash: hash(100) };
    scene.request.claim = Claim { method: "credential", entitlement };
    scene.facts.grant = None;
    scene.facts.by_credential = Some((known.credentials[0].clone(), known));
    scene
}

fn shown(scene: &mut Scene) -> &mut (muster_model::Credential, Known) {
    scene.facts.by_credential.as_mut().expect("the scene has a credential")
}

fn refused(scene: &Scene) -> Refusal {
    scene.decide().expect_err("refused")
}

#[test]
fn row_4c_the_same_machine_gets_a_key_and_every_bearer_key_of_it_ends() {
    let plan = upgrading().plan();
    let (machine, credential, again) = enrolled(&plan);
    assert_eq!((machine.id, machine.generation, machine.key), (machine_id(1), 2, Some(key(2))));
    assert_eq!((credential.generation, again), (2, false));
    let superseded = EndReason::Superseded;
    assert_eq!(ended(&plan), [(credential_id(100), superseded), (credential_id(101), superseded)]);
    assert_eq!(told(&plan), ("machine.upgrade", "bearer_credential"));
}

#[test]
fn q_01_a_lost_answer_is_given_again_by_the_new_key_whatever_became_of_the_bearer_key() {
    let mut scene = upgrading();
    let machine = Machine { key: Some(key(2)), generation: 2, ..machine(1) };
    let record = key_record(2, &machine, KeyStanding::Current);
    scene.facts.by_key = Some(Known {
        credentials: vec![certificate(7, &machine, SignedDuration::ZERO)],
        ..known(machine.clone(), Some(record))
    });
    let (credential, known) = shown(&mut scene);
    credential.state = CredentialState::Ended { at: now(), reason: EndReason::Superseded };
    known.machine = machine;
    let plan = scene.plan();
    assert!(plan.is_unchanged());
    assert!(enrolled(&plan).2, "the same again");
}

#[test]
fn a_bearer_key_that_ended_or_whose_machine_did_or_has_a_key_by_now_is_told_so() {
    let mut over = upgrading();
    shown(&mut over).0.state = CredentialState::Ended { at: now(), reason: EndReason::Revoked };
    assert_eq!(refused(&over), Refusal::Revoked);
    let mut gone = upgrading();
    shown(&mut gone).1.machine.state = retired();
    assert_eq!(refused(&gone), Refusal::Revoked);
    let mut keyed = upgrading();
    shown(&mut keyed).1.machine.key = Some(key(9));
    assert_eq!(refused(&keyed), Refusal::Revoked);
}

#[test]
fn q_09_unknown_wrong_and_lapsed_are_one_refusal() {
    let mut unknown = upgrading();
    unknown.facts.by_credential = None;
    let mut wrong = upgrading();
    wrong.request.claim.entitlement = Entitlement::Credential { id: credential_id(100), hash: hash(5) };
    let mut lapsed = upgrading();
    shown(&mut lapsed).0.not_after = now();
    let mut keyless = upgrading();
    keyless.request.claimant.key = None;
    for scene in [unknown, wrong, lapsed, keyless] {
        assert!(matches!(refused(&scene), Refusal::NotEntitled { .. }));
    }
}

#[test]
fn a_key_that_is_another_machine_does_not_become_this_one() {
    let mut scene = upgrading();
    scene.facts.by_key = Some(by_key(2));
    assert_eq!(refused(&scene), Refusal::IdentityMismatch);
}

#[test]
fn hardware_that_another_machine_has_stays_with_it() {
    let mut scene = upgrading();
    shown(&mut scene).1.machine.hardware_id = None;
    let scene = scene.on_hardware_of(known(machine(3), None));
    let plan = scene.plan();
    assert_eq!(enrolled(&plan).0.hardware_id, None);
}

#[test]
fn while_somebody_looks_at_the_machine_its_bearer_key_becomes_no_other_one() {
    for cause in [SuspendCause::Operator(None), SuspendCause::Quarantine] {
        let mut scene = upgrading();
        shown(&mut scene).1.machine.state = suspended(cause);
        assert_eq!(refused(&scene), Refusal::MachineSuspended);
    }
    let mut probed = upgrading();
    shown(&mut probed).1.machine.state = suspended(SuspendCause::Probation);
    assert_eq!(enrolled(&probed.plan()).0.state, suspended(SuspendCause::Probation));
}
