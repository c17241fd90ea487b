//! Rows 1 to 8 of the decision table and the order of the checks.

use muster_model::{
    Credential, CredentialKind, CredentialState, Entitlement, Hold, HoldReason, KeyStanding, Machine,
    MachineKind, MachineState, Refusal, RetireCause, Retired, SuspendCause, Uses,
};

use crate::enroll::Known;
use crate::plan::{Change, KeyChange};
use crate::terms::Terms;
use crate::tests::fixtures::*;

fn with_standing(standing: KeyStanding) -> Known {
    let machine = machine(2);
    let record = key_record(2, &machine, standing);
    known(machine, Some(record))
}

#[test]
fn row_1_a_new_key_without_hardware_is_admitted_with_what_the_grant_stamps() {
    let plan = Scene::new().plan();
    let (machine, credential, again) = enrolled(&plan);
    assert_eq!((machine.id, machine.generation, machine.key), (machine_id(200), 1, Some(key(2))));
    assert_eq!(machine.role, Some(text("edge")));
    assert_eq!(machine.labels.get("rack"), Some("r1"));
    assert_eq!(machine.grant, Some(grant_id(9)));
    assert!(matches!(machine.state, MachineState::Active(_)) && !again);
    assert_eq!((credential.machine, credential.generation), (machine.id, 1));
    assert_eq!(credential.state, CredentialState::Reserved);
    assert_eq!(rows(&plan), ["machine made active", "key registered", "credential reserved"]);
    assert_eq!(told(&plan), ("machine.enroll", "admitted"));
}

#[test]
fn row_1_new_hardware_is_noted_and_a_counted_grant_is_drawn_on_once() {
    let mut scene = Scene::new();
    scene.request.claimant.hardware_id = Some(hardware(2));
    scene.grant().uses = Uses::Capped { limit: 3, used: 1 };
    let plan = scene.plan();
    assert_eq!(enrolled(&plan).0.hardware_id, Some(hardware(2)));
    assert_eq!(rows(&plan), ["machine made active", "key registered", "grant drawn", "credential reserved"]);
}

#[test]
fn row_1_is_held_where_the_site_or_the_grant_asks_for_approval() {
    for by_site in [true, false] {
        let mut scene = Scene::new();
        scene.site().approval = by_site;
        scene.grant().approval = !by_site;
        let plan = scene.plan();
        assert_eq!((held(&plan).reason, held(&plan).existing), (HoldReason::Approval, None));
        assert_eq!(rows(&plan), ["hold opened"]);
        assert_eq!(told(&plan), ("hold.open", "approval"));
    }
}

#[test]
fn row_1_without_a_key_makes_a_machine_without_one() {
    let mut scene = Scene::keyless();
    scene.request.claimant.hardware_id = Some(hardware(2));
    let plan = scene.plan();
    assert_eq!((enrolled(&plan).0.key, enrolled(&plan).0.generation), (None, 1));
    assert_eq!(rows(&plan), ["machine made active", "credential reserved"]);
}

#[test]
fn row_2_the_same_key_gets_the_same_machine_and_certificate_and_nothing_is_written() {
    let mut scene = Scene::new();
    scene.facts.by_key = Some(by_key(2));
    let plan = scene.plan();
    let (same, credential, again) = enrolled(&plan);
    assert_eq!((same, credential.id, again), (&machine(2), credential_id(100), true));
    assert!(plan.is_unchanged());
}

#[test]
fn row_2_the_key_before_the_present_one_gets_its_own_certificate_and_no_other_row_is_touched() {
    let mut scene = Scene::new();
    let mut same = with_standing(KeyStanding::Previous);
    let present = certificate(100, &machine(3), HOUR * 2);
    (same.machine.key, same.credentials) = (Some(key(3)), vec![present.clone()]);
    scene.facts.by_key = Some(same.clone());
    let plan = scene.plan();
    let (_, credential, again) = enrolled(&plan);
    assert!(credential.certifies(key(2)) && again);
    assert_eq!(rows(&plan), ["credential reserved"]);
    let own = Credential {
        kind: CredentialKind::Certificate { key: key(2) },
        ..certificate(101, &machine(2), HOUR)
    };
    scene.facts.by_key = Some(Known { credentials: vec![present, own], ..same });
    let plan = scene.plan();
    assert_eq!(enrolled(&plan).1.id, credential_id(101));
    assert!(plan.is_unchanged());
}

#[test]
fn row_2_a_key_in_a_rotation_asks_nothing_of_another_site_and_a_proposed_one_nothing_at_all() {
    let refused = Refusal::WrongState { verb: "enroll", state: "rotating" };
    let mut scene = Scene::new();
    scene.facts.by_key = Some(with_standing(KeyStanding::Proposed));
    assert_eq!(scene.decide().err(), Some(refused.clone()));
    let mut before = with_standing(KeyStanding::Previous);
    before.machine.site = site_id(2);
    scene.facts.by_key = Some(before);
    assert_eq!(scene.decide().err(), Some(refused));
}

#[test]
fn row_2_an_aged_certificate_is_replaced_and_the_machine_is_not_touched() {
    let mut scene = Scene::new();
    let mut same = by_key(2);
    same.credentials = vec![certificate(100, &same.machine, HOUR * 13)];
    scene.facts.by_key = Some(same);
    scene.grant().uses = Uses::Capped { limit: 1, used: 1 };
    let plan = scene.plan();
    assert_eq!((enrolled(&plan).0, enrolled(&plan).2), (&machine(2), true));
    assert_eq!(rows(&plan), ["credential reserved"]);
    assert_eq!(told(&plan), ("credential.reserve", "same_machine"));
}

#[test]
fn row_2_never_lifts_a_pause() {
    for cause in [SuspendCause::Operator(None), SuspendCause::Probation] {
        let mut scene = Scene::new();
        let mut same = by_key(2);
        same.machine.state = suspended(cause);
        scene.facts.by_key = Some(same.clone());
        assert_eq!(enrolled(&scene.plan()).0, &same.machine);
    }
}

#[test]
fn row_3_the_same_key_with_another_sites_grant_is_held() {
    let mut scene = Scene::new();
    let mut elsewhere = by_key(2);
    elsewhere.machine.site = site_id(2);
    scene.facts.by_key = Some(elsewhere);
    let plan = scene.plan();
    let hold = held(&plan);
    assert_eq!(
        (hold.reason, hold.existing, hold.site),
        (HoldReason::SiteMismatch, Some(machine_id(2)), site_id(1))
    );
    assert_eq!(rows(&plan), ["hold opened"]);
    assert_eq!(told(&plan), ("hold.open", "site_mismatch"));
}

#[test]
fn row_3_a_machine_that_vouches_for_a_new_key_is_not_doubled_at_another_site() {
    let mut scene = Scene::new();
    let mut elsewhere = by_key(1);
    elsewhere.machine.site = site_id(2);
    scene.request.vouched_by = Some(key(1));
    scene.facts.by_previous = Some(elsewhere);
    let plan = scene.plan();
    assert_eq!((held(&plan).reason, held(&plan).existing), (HoldReason::SiteMismatch, Some(machine_id(1))));
    assert_eq!(rows(&plan), ["hold opened"]);
}

#[test]
fn row_4_known_hardware_under_another_key_is_held_and_no_column_of_it_changes() {
    let plan = Scene::new().on_hardware_of(known(machine(1), None)).plan();
    assert_eq!((held(&plan).reason, held(&plan).existing), (HoldReason::KeyMismatch, Some(machine_id(1))));
    assert_eq!(rows(&plan), ["hold opened"]);
    assert_eq!(told(&plan), ("hold.open", "key_mismatch"));
}

#[test]
fn row_4_a_one_time_token_is_bound_to_the_key_that_was_held() {
    let mut scene = Scene::new().on_hardware_of(known(machine(1), None));
    scene.grant().uses = Uses::Once(None);
    assert_eq!(rows(&scene.plan()), ["hold opened", "grant drawn"]);
}

#[test]
fn row_4a_the_old_key_vouches_for_the_new_one() {
    let mut scene = Scene::new().on_hardware_of(known(machine(1), None));
    scene.request.vouched_by = Some(key(1));
    scene.facts.by_previous = Some(by_key(1));
    scene.grant().uses = Uses::Capped { limit: 3, used: 1 };
    scene.site().approval = true;
    let plan = scene.plan();
    let (machine, credential, again) = enrolled(&plan);
    assert_eq!((machine.id, machine.generation, machine.key), (machine_id(1), 2, Some(key(2))));
    assert_eq!((credential.generation, again), (2, false));
    let changed = [
        "keys superseded",
        "credential superseded",
        "machine active",
        "key registered",
        "credential reserved",
    ];
    assert_eq!(rows(&plan), changed);
    assert_eq!(told(&plan), ("machine.rekey", "signed_by_previous_key"));
}

#[test]
fn row_4a_whose_answer_was_lost_gets_the_same_machine_again() {
    let mut scene = Scene::new();
    scene.request.vouched_by = Some(key(1));
    let rekeyed = Known {
        machine: muster_model::Machine { key: Some(key(2)), generation: 2, ..machine(1) },
        ..by_key(2)
    };
    let mut previous = rekeyed.clone();
    previous.key = Some(key_record(1, &machine(1), KeyStanding::Superseded));
    (scene.facts.by_key, scene.facts.by_previous) = (Some(rekeyed), Some(previous));
    let plan = scene.plan();
    assert_eq!(
        (enrolled(&plan).0.id, enrolled(&plan).0.generation, enrolled(&plan).2),
        (machine_id(1), 2, true)
    );
}

#[test]
fn row_4a_remembers_its_grant_so_that_the_retry_outlives_it() {
    let mut scene = Scene::new();
    let mut old = by_key(1);
    old.machine.grant = Some(grant_id(3));
    scene.facts.by_previous = Some(old);
    let rekeyed = enrolled(&scene.plan()).0.clone();
    assert_eq!((rekeyed.grant, rekeyed.lineage.grant), (Some(grant_id(9)), Some(grant_id(3))));
}

#[test]
fn row_4a_the_grant_that_a_machine_came_in_by_stays_noted_however_often_it_vouches_for_itself() {
    let mut scene = Scene::new();
    scene.grant().uses = Uses::Once(None);
    let mut old = by_key(1);
    old.machine.grant = Some(grant_id(4));
    old.machine.lineage.grant = Some(grant_id(3));
    scene.facts.by_previous = Some(old.clone());
    let plan = scene.plan();
    assert_eq!(enrolled(&plan).0.lineage.grant, Some(grant_id(3)));
    assert!(rows(&plan).contains(&"grant drawn".to_owned()), "one for once is spent");
    old.machine.lineage.grant = Some(grant_id(9));
    scene.facts.by_previous = Some(old);
    assert_eq!(enrolled(&scene.plan()).0.lineage.grant, None, "it is back at that one");
}

#[test]
fn row_4a_vouches_for_nothing_while_somebody_is_to_look_which_of_two_it_is() {
    for cause in [SuspendCause::Operator(None), SuspendCause::Quarantine] {
        let mut scene = Scene::new();
        let mut old = by_key(1);
        old.machine.state = suspended(cause);
        scene.facts.by_previous = Some(old);
        assert_eq!(scene.decide().err(), Some(Refusal::MachineSuspended));
    }
}

#[test]
fn row_4a_lifts_no_pause() {
    let mut scene = Scene::new();
    let mut old = by_key(1);
    old.machine.state = suspended(SuspendCause::Probation);
    scene.facts.by_previous = Some(old.clone());
    assert_eq!(enrolled(&scene.plan()).0.state, old.machine.state);
}

#[test]
fn row_4a_a_dead_key_vouches_for_nobody() {
    for standing in [KeyStanding::Revoked, KeyStanding::Superseded] {
        let mut scene = Scene::new();
        let mut old = by_key(1);
        old.key = Some(key_record(1, &old.machine, standing));
        scene.facts.by_previous = Some(old);
        assert_eq!(scene.decide().err(), Some(Refusal::Revoked));
    }
}

#[test]
fn row_4a_vouches_for_no_hardware_of_somebody_else() {
    let mut scene = Scene::new().on_hardware_of(known(machine(3), None));
    scene.facts.by_previous = Some(by_key(1));
    let plan = scene.plan();
    assert_eq!((held(&plan).reason, held(&plan).existing), (HoldReason::KeyMismatch, Some(machine_id(3))));
}

#[test]
fn row_5_hardware_of_another_site_is_held() {
    let mut elsewhere = known(machine(1), None);
    elsewhere.machine.site = site_id(2);
    let mut scene = Scene::new().on_hardware_of(elsewhere);
    scene.site().reimage = muster_model::ReimagePolicy::OfflineOnly;
    let plan = scene.plan();
    assert_eq!((held(&plan).reason, held(&plan).existing), (HoldReason::SiteMismatch, Some(machine_id(1))));
    assert_eq!(rows(&plan), ["hold opened"]);
    let [entry] = plan.entries() else { panic!("one entry") };
    assert!(!entry.detail.iter().any(|(_, said)| said.contains("site-2")), "{entry:?}");
}

#[test]
fn row_6_hardware_of_another_tenant_is_not_among_the_facts_and_changes_nothing() {
    let mut scene = Scene::new();
    scene.request.claimant.hardware_id = Some(hardware(1));
    let plan = scene.plan();
    assert_eq!(enrolled(&plan).0.hardware_id, Some(hardware(1)));
    assert_eq!(enrolled(&plan).0.tenant, tenant_id());
}

#[test]
fn row_7_hardware_of_a_retired_machine_is_held_and_stays_retired() {
    for mut scene in [Scene::new(), Scene::keyless()] {
        let mut gone = known(machine(1), None);
        gone.machine.state = retired();
        gone.credentials = Vec::new();
        scene = scene.on_hardware_of(gone);
        scene.site().reimage = muster_model::ReimagePolicy::OfflineOnly;
        let plan = scene.plan();
        assert_eq!((held(&plan).reason, held(&plan).existing), (HoldReason::WasRemoved, Some(machine_id(1))));
        assert_eq!(rows(&plan), ["hold opened"]);
    }
}

fn may_come_back() -> Known {
    let state = MachineState::Retired(Retired {
        since: ago(HOUR),
        cause: RetireCause::Operator(None),
        readmit: Some(now() + HOUR),
    });
    Known {
        credentials: Vec::new(),
        ..known(Machine { state, role: Some(text("core")), ..machine(1) }, None)
    }
}

#[test]
fn row_7_what_an_operator_readmitted_comes_back_once_as_the_same_machine_under_what_its_grant_stamps() {
    let scene = Scene::new().on_hardware_of(may_come_back());
    let plan = scene.plan();
    let (back, _, again) = enrolled(&plan);
    assert_eq!((back.id, back.generation, back.key, again), (machine_id(1), 2, Some(key(2)), false));
    assert_eq!((back.role.clone(), told(&plan)), (Some(text("edge")), ("machine.return", "readmitted")));
    assert!(
        matches!(back.state, MachineState::Active(_)),
        "the permit is spent: the state has no place for it"
    );
    let record =
        plan.changes().iter().any(|change| matches!(change, Change::Key(KeyChange::Standing { .. })));
    assert!(!record, "a key that was revoked stays so in the record");
}

#[test]
fn row_7_a_permit_is_for_the_hardware_at_its_site_in_time_and_for_who_has_a_key_where_it_had_one() {
    let held_as = |scene: Scene| held(&scene.plan()).reason;
    assert_eq!(held_as(Scene::keyless().on_hardware_of(may_come_back())), HoldReason::WasRemoved);
    let mut elsewhere = may_come_back();
    elsewhere.machine.site = site_id(2);
    assert_eq!(held_as(Scene::new().on_hardware_of(elsewhere)), HoldReason::WasRemoved);
    let mut late = Scene::new().on_hardware_of(may_come_back());
    late.fresh = fresh(now() + HOUR);
    assert_eq!(held_as(late), HoldReason::WasRemoved);
    let mut full = Scene::new().on_hardware_of(may_come_back());
    full.site().seats = Some(1);
    full.facts.site_use.machines = 1;
    assert_eq!(held_as(full), HoldReason::Quota);
    let mut turned_away = Scene::new().on_hardware_of(may_come_back());
    let about = Hold { state: rejected(), ..hold(HoldReason::WasRemoved, Some(machine_id(1))) };
    turned_away.facts.holds = vec![about];
    assert!(matches!(turned_away.decide(), Err(Refusal::Rejected { .. })), "a rejection stands");
}

#[test]
fn row_8_a_revoked_or_replaced_key_is_told_so_wherever_it_asks() {
    for standing in [KeyStanding::Revoked, KeyStanding::Superseded] {
        for site in [1, 2] {
            let mut scene = Scene::new();
            let mut dead = with_standing(standing);
            dead.machine.site = site_id(site);
            scene.facts.by_key = Some(dead);
            assert_eq!(scene.decide().err(), Some(Refusal::Revoked));
        }
    }
}

#[test]
fn row_8_a_retired_machine_is_not_admitted_even_if_its_key_was_left_standing() {
    let mut scene = Scene::new();
    let mut gone = by_key(2);
    gone.machine.state = retired();
    scene.facts.by_key = Some(gone);
    assert_eq!(scene.decide().err(), Some(Refusal::Revoked));
}

#[test]
fn row_9_comes_before_row_8_so_that_a_revoked_key_learns_nothing_without_a_grant() {
    let mut scene = Scene::new();
    scene.facts.by_key = Some(with_standing(KeyStanding::Revoked));
    scene.facts.grant = None;
    assert!(matches!(scene.decide(), Err(Refusal::NotEntitled { .. })));
}

#[test]
fn row_10_a_full_site_holds_newcomers_and_lets_nobody_go_who_is_there() {
    let mut scene = Scene::new();
    scene.site().seats = Some(5);
    scene.facts.site_use.machines = 4;
    assert_eq!(enrolled(&scene.plan()).0.generation, 1);
    scene.facts.site_use.machines = 5;
    let plan = scene.plan();
    assert_eq!((held(&plan).reason, rows(&plan)), (HoldReason::Quota, vec!["hold opened".to_owned()]));
    scene.facts.by_key = Some(by_key(2));
    assert!(enrolled(&scene.plan()).2, "the same machine takes no further seat");
}

#[test]
fn a_grant_for_one_kind_admits_no_other() {
    let mut scene = Scene::new();
    scene.grant().machine_kind = Some(MachineKind::Worker);
    assert_eq!(scene.decide().err(), Some(Refusal::WrongKind { expected: "worker" }));
    scene.request.claimant.kind = MachineKind::Worker;
    assert_eq!(enrolled(&scene.plan()).0.kind, MachineKind::Worker);
}

#[test]
fn a_request_without_a_secret_is_held_where_requests_are_taken_and_nowhere_else() {
    let mut scene = Scene::new();
    scene.request.claim.entitlement = Entitlement::Nothing { site: None };
    scene.facts.grant = None;
    assert_eq!(scene.decide().err(), Some(Refusal::RequestsNotTaken));
    scene.site().requests = true;
    let plan = scene.plan();
    assert_eq!((held(&plan).reason, held(&plan).grant), (HoldReason::Approval, None));
    scene.facts.site = None;
    assert_eq!(scene.decide().err(), Some(Refusal::RequestsNotTaken));
}

#[test]
fn q_50_a_certificate_lives_no_longer_than_its_terms() {
    let mut scene = Scene::new();
    scene.fresh.context.now = now() + muster_model::SignedDuration::from_millis(999);
    let plan = scene.plan();
    let credential = enrolled(&plan).1;
    let terms = Terms::default();
    assert!(credential.not_after.duration_since(scene.fresh.context.now) <= terms.certificate_life);
    assert_eq!(credential.not_after.subsec_nanosecond() + credential.not_before.subsec_nanosecond(), 0);
}
