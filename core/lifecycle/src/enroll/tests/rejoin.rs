//! Row 4b: known hardware comes back under another key, or under none, by the site's policy.

use muster_model::{
    Actor, CredentialState, EndReason, GrantKind, Hold, HoldReason, HoldState, MachineState, Minted,
    ReimagePolicy, SignedDuration, SuspendCause, Suspended, Uses,
};

use crate::enroll::{Known, Outcome};
use crate::tests::fixtures::*;

/// A keyed claimant on the hardware of a machine that has been gone for two hours, where the site allows it.
fn returning() -> Scene {
    let mut scene = Scene::new().on_hardware_of(known(machine(1), None));
    scene.site().reimage = ReimagePolicy::OfflineOnly;
    scene
}

fn keyless_machine() -> Known {
    known(muster_model::Machine { key: None, ..machine(1) }, None)
}

fn keyless_returning() -> Scene {
    let mut scene = Scene::keyless().on_hardware_of(keyless_machine());
    scene.site().reimage = ReimagePolicy::OfflineOnly;
    scene
}

fn gone(scene: &mut Scene) -> &mut Known {
    scene.facts.by_hardware.as_mut().expect("the scene has known hardware")
}

fn is_held(scene: &Scene) {
    let plan = scene.plan();
    assert_eq!((held(&plan).reason, held(&plan).existing), (HoldReason::KeyMismatch, Some(machine_id(1))));
    assert!(rows(&plan).iter().all(|row| ["hold opened", "grant drawn"].contains(&row.as_str())), "{plan:?}");
}

#[test]
fn row_4b_a_re_imaged_machine_rejoins_on_probation_and_everything_older_ends() {
    let plan = returning().plan();
    let (machine, credential, again) = enrolled(&plan);
    assert_eq!((machine.id, machine.generation, machine.key), (machine_id(1), 2, Some(key(2))));
    assert!(matches!(
        machine.state,
        MachineState::Suspended(Suspended { cause: SuspendCause::Probation, .. })
    ));
    assert_eq!((credential.generation, again), (2, false));
    assert_eq!(ended(&plan), [(credential_id(100), EndReason::Superseded)]);
    let changed = [
        "keys superseded",
        "credential superseded",
        "machine suspended",
        "key registered",
        "credential reserved",
    ];
    assert_eq!(rows(&plan), changed);
    assert_eq!(told(&plan), ("machine.rejoin", "offline_only"));
}

#[test]
fn row_4b_spends_a_counted_grant_and_is_a_repetition_by_that_grant_afterwards() {
    let mut scene = returning();
    scene.grant().uses = Uses::Capped { limit: 2, used: 1 };
    gone(&mut scene).machine.grant = Some(grant_id(3));
    let plan = scene.plan();
    assert!(rows(&plan).contains(&"grant drawn".to_owned()));
    let rejoined = enrolled(&plan).0.clone();
    scene.grant().uses = Uses::Capped { limit: 2, used: 2 };
    let record = key_record(2, &rejoined, muster_model::KeyStanding::Current);
    scene.facts.by_key = Some(known(rejoined.clone(), Some(record)));
    scene.facts.by_hardware = Some(known(rejoined, None));
    assert!(enrolled(&scene.plan()).2, "the answer was lost: the same machine again");
}

#[test]
fn row_4b_waits_until_the_machine_is_silent_and_enrolled_for_an_hour() {
    let short = HOUR - SignedDuration::from_secs(1);
    let spoil: [fn(&mut Known, SignedDuration); 4] = [
        |known, _| known.presence.online = true,
        |known, short| known.presence.last_seen = Some(ago(short)),
        |known, short| known.machine.enrolled_at = Some(ago(short)),
        |known, _| known.machine.enrolled_at = None,
    ];
    for spoil in spoil {
        let mut scene = returning();
        spoil(gone(&mut scene), short);
        is_held(&scene);
    }
    let mut scene = returning();
    gone(&mut scene).presence.last_seen = Some(ago(HOUR));
    gone(&mut scene).machine.enrolled_at = Some(ago(HOUR));
    assert_eq!(enrolled(&scene.plan()).0.generation, 2);
}

#[test]
fn row_4b_obeys_the_policy_of_the_site() {
    let mut scene = returning();
    scene.site().reimage = ReimagePolicy::Never;
    is_held(&scene);
    scene.site().reimage = ReimagePolicy::SameName;
    is_held(&scene);
    scene.request.claimant.hostname = Some(text("host-1"));
    assert_eq!(told(&scene.plan()), ("machine.rejoin", "same_name"));
    (scene.request.claimant.hostname, gone(&mut scene).machine.hostname) = (None, None);
    is_held(&scene);
}

#[test]
fn row_4b_takes_no_machine_that_somebody_paused_nor_one_on_probation() {
    for cause in [SuspendCause::Operator(None), SuspendCause::Probation, SuspendCause::Revoked(None)] {
        let mut scene = returning();
        gone(&mut scene).machine.state = suspended(cause);
        is_held(&scene);
    }
}

#[test]
fn row_4b_is_no_way_around_approval() {
    let mut scene = returning();
    scene.grant().approval = true;
    is_held(&scene);
}

#[test]
fn row_4b_never_takes_in_whom_a_person_turned_away() {
    let mut scene = returning();
    let mut turned_away = hold(HoldReason::Approval, None);
    turned_away.state = rejected();
    scene.facts.holds = vec![turned_away];
    is_held(&scene);
}

#[test]
fn row_4b_a_hold_that_waits_for_a_person_does_not_become_accepted_when_the_machine_goes_offline() {
    let mut scene = returning();
    let waiting = hold(HoldReason::KeyMismatch, Some(machine_id(1)));
    scene.facts.holds = vec![waiting.clone()];
    let plan = scene.plan();
    assert_eq!(held(&plan), &waiting);
    assert!(plan.is_unchanged());
}

#[test]
fn row_4b_the_invite_of_one_machine_takes_no_other_machine() {
    let mut scene = returning();
    scene.grant().kind = GrantKind::Machine(machine_id(4));
    scene.facts.pending = Some(pending(4));
    is_held(&scene);
}

#[test]
fn row_4b_without_keys_re_uses_the_machine_and_ends_every_bearer_key() {
    let plan = keyless_returning().plan();
    let (machine, credential, _) = enrolled(&plan);
    assert_eq!((machine.id, machine.generation, machine.key), (machine_id(1), 2, None));
    assert!(matches!(machine.state, MachineState::Active(_)));
    assert_eq!(credential.state, CredentialState::Issued(Minted::Bearer), "nothing is left to mint");
    let both = [100, 101].map(|n| (credential_id(n), EndReason::Superseded));
    assert_eq!(ended(&plan), both);
    assert_eq!(
        rows(&plan),
        ["credential superseded", "credential superseded", "machine active", "credential reserved"]
    );
}

#[test]
fn row_4b_a_keyless_claim_never_takes_a_machine_that_has_a_key() {
    for policy in ReimagePolicy::ALL {
        let mut scene = Scene::keyless().on_hardware_of(known(machine(1), None));
        scene.request.claimant.hostname = Some(text("host-1"));
        scene.site().reimage = policy;
        is_held(&scene);
    }
}

#[test]
fn row_4b_a_machine_comes_back_as_what_it_was() {
    let spoil: [fn(&mut Scene); 3] = [
        // With a key, where it had none: it has its bearer key for that.
        |scene| *gone(scene) = keyless_machine(),
        |scene| gone(scene).machine.kind = muster_model::MachineKind::Worker,
        // A person let it in, who was shown no grant.
        |scene| gone(scene).machine.grant = None,
    ];
    for spoil in spoil {
        let mut scene = returning();
        spoil(&mut scene);
        is_held(&scene);
    }
}

/// Who has no key is heard of by others at most, and a site's key lies in every installer.
#[test]
fn row_4b_a_sites_key_takes_no_keyless_machine_unless_the_site_says_so() {
    let mut scene = keyless_returning();
    scene.site().reimage = ReimagePolicy::KeylessOnly;
    assert_eq!(told(&scene.plan()), ("machine.rejoin", "keyless_only"));
    scene.grant().kind = GrantKind::SiteKey { version: 1, fingerprint: Some([0; 2]) };
    scene.grant().uses = Uses::Unlimited;
    is_held(&scene);
    scene.site().reimage = ReimagePolicy::OfflineOnly;
    assert_eq!(told(&scene.plan()), ("machine.rejoin", "offline_only"));
}

#[test]
fn row_4b_a_keyless_client_that_is_online_keeps_its_place() {
    let mut scene = keyless_returning();
    gone(&mut scene).presence.online = true;
    is_held(&scene);
}

#[test]
fn another_key_does_not_get_around_what_a_person_decided_about_the_machine() {
    for state in [HoldState::Open, HoldState::Rejected { at: now(), by: Actor::System, reason: None }] {
        let mut scene = returning();
        assert!(matches!(scene.plan().outcome(), Outcome::Enrolled { .. }), "the policy lets it in");
        let other = Hold { state, ..hold(HoldReason::KeyMismatch, Some(machine_id(1))) };
        scene.facts.about = vec![other];
        is_held(&scene);
    }
}
