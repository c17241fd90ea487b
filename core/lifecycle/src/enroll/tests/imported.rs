//! A site's key that another server knew, shown here for the first time.

use muster_model::{AuditId, GrantKind, GrantState, ImportedHash, Refusal, SecretHash, SecretId};

use crate::enroll::Outcome;
use crate::enroll::ShownKey;
use crate::plan::GrantChange;
use crate::plan::Plan;
use crate::tests::fixtures::*;
use muster_model::Entitlement;

const FINGERPRINT: [u8; 2] = [0x7f, 0x2a];

fn shown() -> ShownKey {
    let (secret, hash) = (SecretId([7; 10]), SecretHash([7; 32]));
    let fits = ImportedHash::stand_in();
    ShownKey { fits, secret, hash, fingerprint: FINGERPRINT, entry: AuditId::new(7, [7; 10]) }
}

/// A client without a key shows what fits the hash that came along.
fn scene() -> Scene {
    let mut scene = Scene::keyless();
    scene.grant().kind = GrantKind::SiteKey { version: 3, fingerprint: None };
    scene.grant().imported = Some(ImportedHash::stand_in());
    scene.request.shown = Some(shown());
    scene
}

fn proves(plan: &Plan<Outcome>) -> bool {
    let ShownKey { secret, hash, fingerprint, .. } = shown();
    let prove = GrantChange::Prove { grant: grant_id(9), secret, hash, fingerprint };
    plan.changes().last() == Some(&prove.into())
}

#[test]
fn the_first_who_shows_it_is_admitted_and_the_grant_gets_its_verifier_in_the_same_plan() {
    let plan = scene().plan();
    assert!(proves(&plan), "{plan:?}");
    let told: Vec<_> = plan.entries().iter().map(|entry| entry.action).collect();
    assert_eq!(told, ["machine.enroll", "site.prove_key"]);
    assert_ne!(plan.entries()[0].id, plan.entries()[1].id);
    assert_eq!(plan.entries()[1].detail[0], ("generation", "v3 (7F2A)".to_owned()));
}

#[test]
fn whoever_is_held_has_shown_it_as_well() {
    let mut scene = scene();
    scene.site().approval = true;
    let plan = scene.plan();
    assert!(matches!(plan.outcome(), Outcome::Held(_)) && proves(&plan));
}

#[test]
fn once_it_is_proved_its_own_verifier_counts_and_nothing_is_proved_again() {
    let mut scene = scene();
    scene.grant().imported = None;
    scene.grant().hash = shown().hash;
    assert_eq!(scene.decide().err(), Some(Refusal::NotEntitled { cause: "grant_unknown" }));
    scene.request.claim.entitlement = Entitlement::Grant { id: grant_id(9), hash: shown().hash };
    let plan = scene.plan();
    assert_eq!(plan.entries().len(), 1);
    assert!(!proves(&plan));
}

/// What was found by the hash counts for that hash alone, and a verifier for none.
#[test]
fn neither_another_hash_nor_what_stands_for_the_verifier_opens_it() {
    let mut other = scene();
    other.grant().imported =
        Some(ImportedHash::stand_in().as_str().replace("$AAAA", "$BBBB").parse().expect("another hash"));
    let mut without = scene();
    without.request.shown = None;
    for scene in [other, without] {
        assert_eq!(scene.decide().err(), Some(Refusal::NotEntitled { cause: "grant_unknown" }));
    }
    let mut ended = scene();
    ended.grant().state = GrantState::Revoked(ago(HOUR));
    assert!(matches!(ended.decide(), Err(Refusal::NotEntitled { .. })), "a revoked one opens nothing");
}
