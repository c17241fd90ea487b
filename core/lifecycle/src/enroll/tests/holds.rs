//! One hold for one claim: repeated, rejected, expired, and at most so many.

use muster_model::{
    Entitlement, Hold, HoldReason, HoldState, Refusal, ReimagePolicy, SiteUse, Uses, Verifier,
};

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
    scene.facts.site_use = SiteUse { machines: 0, open_holds: 10, from_network: 0 };
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

/// A bare request by a client without a key that can show this secret, on hardware of this name.
fn by_secret(n: u8) -> Scene {
    let mut scene = Scene::keyless();
    scene.request.claim.entitlement = Entitlement::Nothing { site: None };
    scene.facts.grant = None;
    scene.site().requests = true;
    scene.request.claimant.verifier = Some(Verifier::from_bytes([n; 32]));
    scene.request.claimant.hardware_id = Some(text("install-1"));
    scene
}

fn asked_by(scene: &Scene) -> Hold {
    held(&scene.plan()).clone()
}

#[test]
fn a_request_by_a_secret_is_the_same_request_for_ever_whatever_became_of_it() {
    let first = asked_by(&by_secret(2));
    let approved = HoldState::Approved { machine: machine_id(1), at: now(), by: operator() };
    for state in [HoldState::Open, approved, rejected()] {
        let expires_at = if state == HoldState::Open { first.expires_at } else { ago(DAY) };
        let earlier = Hold { state, expires_at, ..first.clone() };
        let mut again = by_secret(2);
        again.facts.holds = vec![earlier.clone()];
        // Once it was approved, its machine has the hardware.
        again.facts.by_hardware = Some(known(machine(1), None));
        let plan = again.plan();
        assert!(plan.is_unchanged() && held(&plan) == &earlier);
    }
    let mut late = by_secret(2);
    late.facts.holds = vec![Hold { expires_at: now(), id: hold_id(3), ..first.clone() }];
    assert_eq!(asked_by(&late).id, first.id, "what expired undecided is asked anew");
}

#[test]
fn another_secret_another_site_or_other_hardware_is_another_request() {
    let first = asked_by(&by_secret(2));
    let mut other = by_secret(3);
    other.facts.holds = vec![Hold { id: hold_id(3), ..first.clone() }];
    assert_eq!(asked_by(&other).claimant.verifier, Some(Verifier::from_bytes([3; 32])));
    let mut elsewhere = by_secret(2);
    elsewhere.facts.holds = vec![Hold { id: hold_id(3), site: site_id(2), ..first.clone() }];
    assert_eq!(asked_by(&elsewhere).id, hold_id(200));
    let mut moved = by_secret(2);
    moved.request.claimant.hardware_id = Some(text("install-2"));
    moved.facts.holds = vec![Hold { id: hold_id(3), ..first }];
    assert_eq!(asked_by(&moved).id, hold_id(200));
}

#[test]
fn a_request_tells_how_often_was_asked_in_its_name() {
    let first = asked_by(&by_secret(2));
    assert_eq!(first.asked, 1);
    let mut second = by_secret(3);
    second.facts.in_its_name = Some(Hold { state: rejected(), ..first.clone() });
    let plan = second.plan();
    assert_eq!(held(&plan).asked, 2);
    assert!(plan.entries()[0].detail.contains(&("asked", "2".to_owned())));
    second.facts.in_its_name = Some(Hold { asked: u32::MAX, ..first.clone() });
    assert_eq!(asked_by(&second).asked, u32::MAX);
    second.facts.in_its_name = Some(Hold { site: site_id(2), asked: 7, ..first });
    assert_eq!(asked_by(&second).asked, 1, "what was asked elsewhere is not counted here");
}

/// Anybody may ask without a grant: one network must not take the places of all.
#[test]
fn requests_of_one_network_stay_within_a_part_of_the_places() {
    let mut scene = by_secret(3);
    scene.site().hold_cap = 160;
    scene.facts.site_use = SiteUse { machines: 0, open_holds: 9, from_network: 9 };
    assert_eq!(held(&scene.plan()).asked, 1);
    scene.facts.site_use.from_network = 10;
    assert_eq!(scene.decide().err(), Some(Refusal::TooManyHolds));
}

#[test]
fn requests_in_one_name_stay_within_their_share_of_the_places() {
    let mut scene = by_secret(3);
    scene.facts.in_its_name = Some(Hold { state: rejected(), ..asked_by(&by_secret(2)) });
    scene.site().hold_cap = 10;
    scene.facts.site_use = SiteUse { machines: 0, open_holds: 5, from_network: 0 };
    assert_eq!(scene.decide().err(), Some(Refusal::TooManyHolds));
}
