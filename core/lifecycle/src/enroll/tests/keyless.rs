//! Callers without a key: an answer that was lost, and what a person decided for one of them.

use muster_model::{
    Credential, GrantState, Hold, HoldReason, HoldState, Machine, Refusal, ReimagePolicy, SignedDuration,
    SuspendCause, Uses,
};

use crate::enroll::Known;
use crate::tests::fixtures::*;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// A keyless machine that enrolled a minute ago and was not heard of since.
fn just_enrolled() -> Known {
    let machine = Machine { key: None, enrolled_at: Some(ago(MINUTE)), ..machine(1) };
    let key = Credential { not_before: ago(MINUTE), ..bearer(100, &machine) };
    Known { credentials: vec![key], presence: Default::default(), ..known(machine, None) }
}

/// It asks again, saying what it said before.
fn asks_again() -> Scene {
    let mut scene = Scene::keyless().on_hardware_of(just_enrolled());
    scene.facts.derived = Some(credential_id(100));
    scene
}

fn there(scene: &mut Scene) -> &mut Known {
    scene.facts.by_hardware.as_mut().expect("the scene has known hardware")
}

/// A keyless claimant whose hold a person approved an hour ago, as a machine that has no credential yet.
fn let_in() -> Scene {
    let machine = Machine { key: None, generation: 2, enrolled_at: Some(ago(HOUR)), ..machine(1) };
    let mut scene =
        Scene::keyless().on_hardware_of(Known { credentials: Vec::new(), ..known(machine, None) });
    scene.facts.admitted = scene.facts.by_hardware.clone();
    let claimant = scene.request.claimant.clone();
    let state = HoldState::Approved { machine: machine_id(1), at: ago(HOUR), by: operator() };
    scene.facts.holds = vec![Hold { claimant, state, ..hold(HoldReason::KeyMismatch, Some(machine_id(1))) }];
    scene
}

fn is_held(scene: &Scene) {
    let plan = scene.plan();
    assert_eq!(held(&plan).reason, HoldReason::KeyMismatch);
    assert!(rows(&plan).iter().all(|row| ["hold opened", "grant drawn"].contains(&row.as_str())), "{plan:?}");
}

#[test]
fn an_answer_that_was_lost_is_given_again_and_nothing_is_written() {
    let plan = asks_again().plan();
    let (machine, credential, again) = enrolled(&plan);
    assert_eq!((machine.id, credential.id, again), (machine_id(1), credential_id(100), true));
    assert!(plan.is_unchanged());
}

#[test]
fn what_a_person_approved_is_for_this_claimant_from_this_network_alone() {
    assert!(enrolled(&let_in().plan()).1.is_open());
    let spoil: [fn(&mut Scene); 2] = [
        |scene| scene.request.claimant.hostname = Some(text("evil")),
        |scene| scene.request.claimant.source = Some("192.0.2.66".parse().expect("an address")),
    ];
    for spoil in spoil {
        let mut scene = let_in();
        spoil(&mut scene);
        is_held(&scene);
    }
}

/// Somebody else who says the same hardware is turned away: that is no word about this claimant.
#[test]
fn a_rejection_is_of_who_asked_and_not_of_its_hardware() {
    let mut scene = Scene::keyless();
    scene.request.claimant.hardware_id = Some(text("hw_9"));
    let mut impostor = hold(HoldReason::Approval, None);
    impostor.claimant =
        muster_model::Claimant { hostname: Some(text("evil")), ..scene.request.claimant.clone() };
    (impostor.state, impostor.grant) = (rejected(), Some(scene.grant().id));
    scene.facts.holds = vec![impostor.clone()];
    enrolled(&scene.plan());
    impostor.claimant = scene.request.claimant.clone();
    scene.facts.holds = vec![impostor];
    assert!(matches!(scene.decide().err(), Some(Refusal::Rejected { .. })));
}

#[test]
fn whoever_says_anything_else_does_not_get_the_answer_of_another() {
    let mut scene = asks_again();
    scene.facts.derived = None;
    is_held(&scene);
}

#[test]
fn a_key_that_was_used_is_given_to_nobody_again() {
    let spoil: [fn(&mut Known); 8] = [
        |known| known.presence.online = true,
        |known| known.presence.last_seen = Some(ago(MINUTE)),
        |known| known.credentials[0].not_before = ago(HOUR),
        |known| known.machine.state = suspended(SuspendCause::Operator(None)),
        |known| known.machine.state = suspended(SuspendCause::Revoked(None)),
        |known| known.machine.key = Some(key(1)),
        |known| known.machine.generation = 2,
        |known| known.credentials.clear(),
    ];
    for (at, spoil) in spoil.into_iter().enumerate() {
        let mut scene = asks_again();
        spoil(there(&mut scene));
        assert_eq!(held(&scene.plan()).reason, HoldReason::KeyMismatch, "{at}");
    }
}

#[test]
fn the_answer_to_a_one_time_token_may_be_lost_as_well() {
    let mut scene = asks_again();
    scene.grant().uses = bound(None);
    assert!(enrolled(&scene.plan()).2);
    scene.grant().state = GrantState::RotatedOut(now());
    assert!(enrolled(&scene.plan()).2, "it came in while the token stood");
    scene.facts.derived = None;
    assert_eq!(scene.decide().err(), Some(Refusal::NotEntitled { cause: "grant_rotated_out" }));
}

#[test]
fn whom_a_person_let_in_gets_its_key_when_it_asks_again() {
    let plan = let_in().plan();
    let (machine, credential, again) = enrolled(&plan);
    assert_eq!((machine.id, machine.enrolled_at, again), (machine_id(1), Some(now()), false));
    assert_eq!((credential.machine, credential.generation), (machine_id(1), 2));
    assert_eq!(rows(&plan), ["machine active", "credential reserved"]);
    assert_eq!(told(&plan), ("credential.reserve", "hold_collected"));
}

#[test]
fn one_approval_admits_once() {
    let mut scene = let_in();
    let plan = scene.plan();
    let (machine, credential, _) = enrolled(&plan);
    let collected = known(machine.clone(), None);
    for credentials in [vec![credential.clone()], Vec::new()] {
        let after = Known { credentials, ..collected.clone() };
        (scene.facts.admitted, scene.facts.by_hardware) = (Some(after.clone()), Some(after));
        is_held(&scene);
    }
}

#[test]
fn an_approval_is_for_one_claimant() {
    let other: [fn(&mut Scene); 4] = [
        |scene| scene.request.claimant.hostname = Some(text("host-3")),
        |scene| scene.request.claimant.hostname = None,
        |scene| scene.facts.holds[0].grant = Some(grant_id(8)),
        |scene| scene.facts.holds[0].claimant.hardware_id = Some(hardware(7)),
    ];
    for other in other {
        let mut scene = let_in();
        other(&mut scene);
        is_held(&scene);
    }
    let mut scene = let_in();
    scene.request.claimant.hostname = Some(text("HOST-2"));
    enrolled(&scene.plan());
}

#[test]
fn an_approval_does_not_outlast_what_was_decided_later() {
    let spoil: [fn(&mut Scene); 4] = [
        |scene| there(scene).machine.state = suspended(SuspendCause::Revoked(None)),
        |scene| there(scene).machine.key = Some(key(1)),
        |scene| there(scene).machine.generation = 3,
        |scene| there(scene).machine.enrolled_at = Some(ago(MINUTE)),
    ];
    for (at, spoil) in spoil.into_iter().enumerate() {
        let mut scene = let_in();
        spoil(&mut scene);
        if at == 2 {
            let machine = there(&mut scene).machine.clone();
            there(&mut scene).credentials = vec![bearer(101, &machine)];
        }
        scene.facts.admitted = scene.facts.by_hardware.clone();
        is_held(&scene);
    }
    let mut scene = let_in();
    scene.grant().state = GrantState::RotatedOut(ago(MINUTE));
    assert_eq!(scene.decide().err(), Some(Refusal::NotEntitled { cause: "grant_rotated_out" }));
}

#[test]
fn the_hold_that_a_one_time_token_paid_for_needs_no_second_token() {
    let mut scene = let_in();
    scene.grant().uses = bound(None);
    assert!(!rows(&scene.plan()).contains(&"grant drawn".to_owned()));
    scene.facts.admitted = None;
    assert_eq!(scene.decide().err(), Some(Refusal::NotEntitled { cause: "grant_spent" }));
}

#[test]
fn a_token_shown_for_another_site_is_refused_as_a_wrong_one() {
    let mut scene = Scene::keyless();
    scene.request.site = Some(text("site-1"));
    enrolled(&scene.plan());
    scene.request.site = Some(text("site-2"));
    assert_eq!(scene.decide().err(), Some(Refusal::NotEntitled { cause: "site_wrong" }));
    scene.facts.grant.as_mut().expect("a grant").uses = Uses::Unlimited;
    scene.request.site = Some(text("SITE-1"));
    assert_eq!(scene.decide().err(), Some(Refusal::NotEntitled { cause: "site_wrong" }));
}

#[test]
fn names_are_told_apart_by_no_case_where_the_policy_asks_for_the_same() {
    let machine = Machine { key: None, ..machine(1) };
    let mut scene = Scene::keyless().on_hardware_of(known(machine, None));
    scene.site().reimage = ReimagePolicy::SameName;
    scene.request.claimant.hostname = Some(text("HOST-1"));
    assert_eq!(told(&scene.plan()), ("machine.rejoin", "same_name"));
}
