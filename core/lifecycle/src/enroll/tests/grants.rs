//! Row 9, and how often a grant may be drawn on and by whom.

use muster_model::{
    Entitlement, GrantKind, GrantState, HoldReason, KeyStanding, Machine, MachineState, Refusal, Uses,
};

use crate::plan::{Change, GrantChange, Plan};
use crate::tests::fixtures::*;

fn cause(scene: &Scene) -> &'static str {
    match scene.decide() {
        Err(Refusal::NotEntitled { cause }) => cause,
        other => panic!("not row 9: {other:?}"),
    }
}

fn drawn<O>(plan: &Plan<O>) -> Option<Uses> {
    plan.changes().iter().find_map(|change| match change {
        Change::Grant(GrantChange::Draw { uses, .. }) => Some(*uses),
        _ => None,
    })
}

/// A cause, and what brings it about.
type Spoil = (&'static str, fn(&mut Scene));

#[test]
fn row_9_is_one_refusal_whose_cause_is_for_the_log_alone() {
    let spoil: [Spoil; 9] = [
        ("grant_unknown", |s| s.facts.grant = None),
        ("grant_unknown", |s| s.grant().hash = hash(8)),
        ("grant_unknown", |s| s.grant().id = grant_id(8)),
        ("grant_expired", |s| s.grant().expires_at = Some(now())),
        ("grant_spent", |s| s.grant().uses = bound(Some(key(3)))),
        ("grant_spent", |s| s.grant().uses = Uses::Capped { limit: 2, used: 2 }),
        ("grant_rotated_out", |s| s.grant().state = GrantState::RotatedOut(ago(HOUR))),
        ("grant_revoked", |s| s.grant().state = GrantState::Revoked(ago(HOUR))),
        ("site_unknown", |s| s.site().id = site_id(2)),
    ];
    for (expected, spoil) in spoil {
        let mut scene = Scene::new();
        spoil(&mut scene);
        assert_eq!(cause(&scene), expected);
        assert_eq!(scene.decide().err().map(|refusal| refusal.code()), Some("not_entitled"));
    }
}

#[test]
fn row_9_comes_before_the_kind_so_that_a_wrong_token_tells_nothing_of_its_grant() {
    let mut scene = Scene::new();
    scene.grant().machine_kind = Some(muster_model::MachineKind::Worker);
    scene.grant().expires_at = Some(ago(HOUR));
    assert_eq!(cause(&scene), "grant_expired");
}

#[test]
fn a_one_time_token_is_bound_to_the_key_that_spends_it() {
    let mut scene = Scene::new();
    scene.grant().uses = Uses::Once(None);
    let plan = scene.plan();
    let Some(Uses::Once(Some(binding))) = drawn(&plan) else { panic!("not bound: {plan:?}") };
    assert_eq!((binding.key, binding.at), (Some(key(2)), now()));
}

#[test]
fn a_one_time_token_repeats_for_its_key_after_expiry_and_rotation_but_not_after_revocation() {
    let mut scene = Scene::new();
    scene.facts.by_key = Some(by_key(2));
    scene.grant().uses = bound(Some(key(2)));
    scene.grant().expires_at = Some(ago(DAY));
    assert!(scene.plan().is_unchanged());
    scene.grant().state = GrantState::RotatedOut(ago(HOUR));
    assert!(scene.plan().is_unchanged());
    scene.grant().state = GrantState::Revoked(ago(HOUR));
    assert_eq!(cause(&scene), "grant_revoked");
}

#[test]
fn q_05_a_spent_one_time_token_is_refused_to_another_key_and_to_none() {
    let mut scene = Scene::new();
    scene.grant().uses = bound(Some(key(3)));
    assert_eq!(cause(&scene), "grant_spent");
    let mut scene = Scene::keyless();
    for to in [Some(key(3)), None] {
        scene.grant().uses = bound(to);
        assert_eq!(cause(&scene), "grant_spent");
    }
}

#[test]
fn a_capped_grant_counts_a_key_once_and_admits_its_repetition_when_full() {
    let mut scene = Scene::new();
    scene.grant().uses = Uses::Capped { limit: 2, used: 1 };
    assert_eq!(drawn(&scene.plan()), Some(Uses::Capped { limit: 2, used: 2 }));
    scene.grant().uses = Uses::Capped { limit: 2, used: 2 };
    assert_eq!(cause(&scene), "grant_spent");
    scene.facts.by_key = Some(by_key(2));
    assert!(scene.plan().is_unchanged(), "the key that came in by it repeats its call");
}

#[test]
fn a_machine_repeats_its_call_after_its_site_key_was_rotated_and_a_newcomer_does_not() {
    let mut scene = Scene::new();
    scene.grant().kind = GrantKind::SiteKey { version: 1, fingerprint: Some([0x7f, 0x2a]) };
    scene.grant().state = GrantState::RotatedOut(ago(HOUR));
    assert_eq!(cause(&scene), "grant_rotated_out");
    scene.facts.by_key = Some(by_key(2));
    assert!(enrolled(&scene.plan()).2);
}

#[test]
fn a_hold_counts_for_its_key_so_that_what_follows_never_exceeds_the_limit() {
    let mut scene = Scene::new();
    scene.grant().uses = Uses::Capped { limit: 2, used: 2 };
    let mut expired = hold(HoldReason::Approval, None);
    expired.expires_at = ago(HOUR);
    scene.facts.holds = vec![expired];
    let plan = scene.plan();
    assert_eq!((enrolled(&plan).0.key, drawn(&plan)), (Some(key(2)), None));
    scene.site().approval = true;
    let plan = scene.plan();
    assert_eq!((held(&plan).id, drawn(&plan)), (hold_id(200), None), "a new hold, counted before");
}

#[test]
fn a_hold_by_a_key_that_was_rotated_out_tells_its_state_and_lets_nobody_in() {
    let mut scene = Scene::new();
    let waiting = hold(HoldReason::Quota, None);
    scene.facts.holds = vec![waiting.clone()];
    for lapse in [GrantState::RotatedOut(ago(HOUR)), GrantState::Live] {
        scene.grant().state = lapse;
        scene.grant().expires_at = Some(ago(HOUR));
        scene.facts.holds[0].expires_at = now() + DAY;
        assert_eq!(held(&scene.plan()), &waiting);
        assert!(scene.plan().is_unchanged());
        scene.facts.holds[0].expires_at = ago(HOUR);
        assert!(
            matches!(scene.decide(), Err(Refusal::NotEntitled { .. })),
            "the hold is over, and so is the grant"
        );
    }
    scene.facts.holds[0].state = rejected();
    assert!(matches!(scene.decide(), Err(Refusal::Rejected { .. })));
}

#[test]
fn a_keyless_repetition_finds_its_hold_after_the_last_use_and_nothing_more() {
    let mut scene = Scene::keyless();
    scene.grant().uses = Uses::Capped { limit: 2, used: 2 };
    scene.request.claimant.hardware_id = Some(hardware(2));
    let mut waiting = hold(HoldReason::Approval, None);
    waiting.claimant = scene.request.claimant.clone();
    scene.facts.holds = vec![waiting.clone()];
    assert_eq!(held(&scene.plan()), &waiting);
    scene.facts.holds[0].expires_at = ago(HOUR);
    assert_eq!(cause(&scene), "grant_spent");
}

fn invited() -> Scene {
    let mut scene = Scene::new();
    let made = pending(4);
    let grant = scene.grant();
    (grant.kind, grant.uses) = (GrantKind::Machine(made.id), Uses::Once(None));
    (grant.role, grant.labels) = (Some(text("other")), Default::default());
    scene.facts.pending = Some(Machine { role: Some(text("edge")), ..made });
    scene
}

#[test]
fn a_pending_machine_is_filled_by_the_holder_of_its_invite_even_where_no_seat_is_left() {
    let mut scene = invited();
    scene.site().seats = Some(1);
    scene.facts.site_use.machines = 1;
    let plan = scene.plan();
    let (machine, credential, again) = enrolled(&plan);
    assert_eq!((machine.id, machine.generation, machine.key), (machine_id(4), 1, Some(key(2))));
    assert_eq!((machine.role.as_ref(), machine.name.as_str()), (Some(&text("edge")), "machine-4"));
    assert_eq!((machine.enrolled_at, credential.machine, again), (Some(now()), machine_id(4), false));
    assert_eq!(rows(&plan), ["machine active", "key registered", "grant drawn", "credential reserved"]);
}

#[test]
fn a_pending_machine_with_known_hardware_is_filled_by_that_hardware() {
    let mut scene = invited();
    let made =
        Machine { hardware_id: Some(hardware(4)), ..scene.facts.pending.clone().expect("it is pending") };
    scene.facts.pending = Some(made.clone());
    let scene = scene.on_hardware_of(known(Machine { key: Some(key(9)), ..made.clone() }, None));
    assert_eq!(enrolled(&scene.plan()).0.id, machine_id(4));
    let mut silent = scene.clone();
    (silent.request.claimant.hardware_id, silent.facts.by_hardware) = (None, None);
    assert_eq!(enrolled(&silent.plan()).0.hardware_id, Some(hardware(4)));
}

#[test]
fn the_hardware_of_a_pending_machine_is_no_way_in_for_another_grant() {
    let made = Machine { hardware_id: Some(hardware(4)), ..pending(4) };
    let waiting = crate::enroll::Known {
        machine: made,
        key: None,
        presence: Default::default(),
        credentials: Vec::new(),
        accounts: Vec::new(),
    };
    let mut scene = Scene::new().on_hardware_of(waiting);
    scene.site().reimage = muster_model::ReimagePolicy::OfflineOnly;
    let plan = scene.plan();
    assert_eq!((held(&plan).reason, held(&plan).existing), (HoldReason::KeyMismatch, Some(machine_id(4))));
}

#[test]
fn the_invite_of_a_machine_that_is_there_repeats_for_its_key_alone() {
    let mut scene = invited();
    scene.grant().uses = bound(Some(key(2)));
    let filled = Machine { grant: Some(grant_id(9)), key: Some(key(2)), ..machine(4) };
    scene.facts.pending = Some(filled.clone());
    assert_eq!(cause(&scene), "machine_not_pending", "bound, and yet unknown: nothing is overwritten");
    let record = key_record(2, &filled, KeyStanding::Current);
    scene.facts.by_key = Some(known(filled, Some(record)));
    assert!(enrolled(&scene.plan()).2);
    scene.facts.by_key = None;
    scene.grant().uses = Uses::Unlimited;
    assert_eq!(cause(&scene), "machine_not_pending");
    scene.facts.pending = None;
    assert_eq!(cause(&scene), "machine_not_pending");
}

#[test]
fn an_invite_does_not_fill_a_pending_machine_it_was_not_made_for() {
    let mut scene = invited();
    scene.facts.pending = Some(pending(5));
    assert_eq!(cause(&scene), "machine_not_pending");
}

#[test]
fn a_key_that_is_known_already_leaves_the_invite_unspent() {
    let mut scene = invited();
    scene.facts.by_key = Some(by_key(2));
    let plan = scene.plan();
    assert_eq!((enrolled(&plan).0.id, drawn(&plan)), (machine_id(2), None));
    assert!(matches!(scene.facts.pending, Some(Machine { state: MachineState::Pending(_), .. })));
}

#[test]
fn a_claim_of_nothing_ignores_a_grant_among_the_facts() {
    let mut scene = Scene::new();
    scene.request.claim.entitlement = Entitlement::Nothing { site: None };
    scene.site().requests = true;
    let plan = scene.plan();
    assert_eq!((held(&plan).grant, drawn(&plan)), (None, None));
}
