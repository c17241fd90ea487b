//! One hold for one claim: repeated, rejected, expired, and at most so many.

use muster_model::{Entitlement, Hold, HoldReason, HoldState, Refusal, ReimagePolicy, SiteUse, Uses};

use crate::tests::fixtures::*;

fn collision() -> Scene {
    Scene::new().on_hardware_of(known(machine(1), None))
}

fn waiting() -> Hold {
    hold(HoldReason::KeyMismatch, Some(machine_id(1)))
}

#[test]
fn a_hold_repeated_is_the_same_hold_and_writes_and_spends_nothing() {
    let mut scene = collision();
    scene.grant().uses = Uses::Capped { limit: 3, used: 1 };
    scene.facts.holds = vec![waiting()];
    scene.facts.site_use = SiteUse { machines: 0, open_holds: 10 };
    let plan = scene.plan();
    assert_eq!(held(&plan), &waiting());
    assert!(plan.is_unchanged());
}

#[test]
fn a_hold_tells_who_asks_and_ends_when_its_terms_say() {
    let plan = collision().plan();
    let hold = held(&plan);
    assert_eq!((hold.id, hold.tenant, &hold.state), (hold_id(200), tenant_id(), &HoldState::Open));
    assert_eq!((hold.created_at, hold.expires_at), (now(), now() + DAY * 7));
    assert_eq!((hold.claimant.clone(), hold.grant), (collision().request.claimant, Some(grant_id(9))));
    let [entry] = plan.entries() else { panic!("one entry") };
    assert!(entry.detail.contains(&("existing", machine_id(1).to_string())));
}

#[test]
fn another_reason_for_the_same_question_opens_no_second_hold() {
    let mut scene = Scene::new();
    scene.site().approval = true;
    let asked = hold(HoldReason::Approval, None);
    scene.facts.holds = vec![asked.clone()];
    scene.site().seats = Some(0);
    assert_eq!(held(&scene.plan()), &asked, "the site filled up meanwhile");

    let mut scene = collision();
    scene.facts.holds = vec![waiting()];
    scene.facts.by_hardware.as_mut().expect("known").machine.state = retired();
    assert_eq!(held(&scene.plan()), &waiting(), "the machine was retired meanwhile");
}

#[test]
fn a_hold_for_want_of_a_seat_does_not_become_accepted_when_one_is_free() {
    let mut scene = Scene::new();
    let asked = hold(HoldReason::Quota, None);
    scene.facts.holds = vec![asked.clone()];
    assert_eq!(held(&scene.plan()), &asked);
}

#[test]
fn whoever_was_rejected_stays_rejected_with_the_words_of_the_person() {
    let refusal = Refusal::Rejected { reason: Some("who is this?".into()) };
    let mut scene = collision();
    let turned_away = Hold { state: rejected(), expires_at: ago(DAY), ..waiting() };
    scene.facts.holds = vec![turned_away];
    assert_eq!(scene.decide().err(), Some(refusal.clone()), "also after the hold would have expired");
    scene.site().reimage = ReimagePolicy::OfflineOnly;
    assert_eq!(scene.decide().err(), Some(refusal.clone()), "also where the policy would let it rejoin");
    scene.facts.by_hardware.as_mut().expect("known").machine.state = retired();
    assert_eq!(scene.decide().err(), Some(refusal.clone()), "also when the machine has been retired");
    (scene.request.claimant.hardware_id, scene.facts.by_hardware) = (None, None);
    assert_eq!(scene.decide().err(), Some(refusal), "also when it no longer mentions the hardware");
}

#[test]
fn whoever_was_rejected_without_a_secret_may_come_with_one_later() {
    let mut scene = Scene::new();
    scene.facts.holds = vec![Hold { grant: None, state: rejected(), ..hold(HoldReason::Approval, None) }];
    assert_eq!(enrolled(&scene.plan()).0.key, Some(key(2)), "an operator gave it a token");
    scene.request.claim.entitlement = Entitlement::Nothing { site: None };
    scene.site().requests = true;
    assert!(matches!(scene.decide(), Err(Refusal::Rejected { .. })));
}

#[test]
fn a_request_without_a_secret_stands_in_the_way_of_no_token_and_lends_it_no_hold() {
    let mut scene = Scene::new();
    scene.facts.holds = vec![Hold { grant: None, ..hold(HoldReason::Approval, None) }];
    scene.grant().approval = true;
    let plan = scene.plan();
    assert_eq!((held(&plan).id, held(&plan).grant), (hold_id(200), Some(grant_id(9))));
    scene.grant().approval = false;
    assert_eq!(enrolled(&scene.plan()).0.role, Some(text("edge")));
}

#[test]
fn an_expired_hold_makes_room_for_a_new_one() {
    let mut scene = collision();
    scene.facts.holds = vec![Hold { expires_at: now(), ..waiting() }];
    let plan = scene.plan();
    assert_eq!((held(&plan).id, rows(&plan)), (hold_id(200), vec!["hold opened".to_owned()]));
}

#[test]
fn a_hold_about_another_machine_or_site_is_another_hold() {
    for other in [
        Hold { existing: Some(machine_id(3)), ..waiting() },
        Hold { site: site_id(2), ..waiting() },
        Hold { existing: None, ..waiting() },
    ] {
        let mut scene = collision();
        scene.facts.holds = vec![other];
        assert_eq!(held(&scene.plan()).id, hold_id(200));
    }
}

#[test]
fn holds_are_capped_and_one_too_many_spends_nothing() {
    let mut scene = collision();
    scene.site().hold_cap = 3;
    scene.facts.site_use.open_holds = 2;
    assert_eq!(held(&scene.plan()).id, hold_id(200));
    scene.facts.site_use.open_holds = 3;
    assert_eq!(scene.decide().err(), Some(Refusal::TooManyHolds));
}

#[test]
fn requests_without_a_secret_never_take_the_last_places() {
    let mut scene = collision();
    scene.site().hold_cap = 4;
    scene.site().requests = true;
    scene.facts.site_use.open_holds = 2;
    assert!(scene.decide().is_ok(), "whoever holds a token has all places");
    scene.request.claim.entitlement = Entitlement::Nothing { site: None };
    assert_eq!(scene.decide().err(), Some(Refusal::TooManyHolds));
}
