//! Clients without a key of their own, by a site's key.

use muster_app::{Error, KeylessClaim, Origin};
use muster_model::{Attributes, MachineKind, Refusal, Secret, SecretForm, SecretKind, SignedDuration};
use muster_testkit::world::{World, enrolled, held, machine_id};
use muster_wire::enroll::{EnrollAnswer, Enrolled};
use muster_wire::hold::{Approve, Choice};

use crate::support::{hours, is_row_9, refusal};

/// A workstation as it asks by a site's key.
pub(super) fn asks(key: &str, hostname: &str) -> KeylessClaim {
    KeylessClaim {
        token: Secret::presented(key, SecretKind::Enroll),
        site: "default".parse().expect("a code"),
        form: SecretForm::Prefixed,
        hardware_id: "muid_test".parse().expect("a hardware id"),
        hostname: hostname.parse().expect("a hostname"),
        kind: MachineKind::Host,
        attributes: Attributes::default(),
    }
}

async fn site_key(world: &World) -> String {
    let code = "default".parse().expect("a code");
    world.app.rotate_key(&code, None, &world.admin()).await.expect("a key").key
}

async fn ask(world: &World, claim: KeylessClaim) -> Result<EnrollAnswer, Error> {
    world.app.enroll_keyless(claim, || Ok(()), &world.stranger()).await
}

fn key(enrolled: &Enrolled) -> String {
    enrolled.credential.bearer.clone().expect("a bearer key")
}

#[tokio::test]
async fn a_lost_answer_is_given_again_to_the_same_caller_alone() {
    let mut world = World::new().await;
    let token = site_key(&world).await;
    let first = enrolled(ask(&world, asks(&token, "WS-01")).await.expect("let in"));
    assert!(key(&first).starts_with("cak_") && key(&first).len() == 68);
    world.restart().await;
    let writes = world.writes();
    let again = ask(&world, asks(&token, "ws-01")).await.expect("the same again");
    assert!(matches!(again, EnrollAnswer::Same(_)));
    assert_eq!(key(&enrolled(again)), key(&first));
    assert_eq!(world.writes(), writes, "repeating writes nothing");

    let elsewhere = Origin { source: Some([192, 0, 2, 8].into()), ..world.stranger() };
    let other =
        world.app.enroll_keyless(asks(&token, "WS-01"), || Ok(()), &elsewhere).await.expect("an answer");
    held(other);
    held(ask(&world, asks(&token, "WS-02")).await.expect("an answer"));
}

#[tokio::test]
async fn a_key_that_a_service_was_shown_is_given_to_nobody_again() {
    let world = World::new().await;
    let token = site_key(&world).await;
    let first = enrolled(ask(&world, asks(&token, "WS-01")).await.expect("let in"));
    let id = machine_id(&first.machine.id);
    world.clock.advance(SignedDuration::from_mins(1));
    let writes = world.writes();
    for _ in 0..100 {
        let found = world.app.introspect(&key(&first), &world.admin()).await.expect("it can be read");
        assert_eq!(found.map(|found| found.machine), Some(id));
    }
    assert_eq!(world.writes(), writes, "asking writes nothing");
    held(ask(&world, asks(&token, "WS-01")).await.expect("an answer"));
    world.app.flush_presence().await;
    assert!(world.machine(&first.machine.id).await.machine.online, "and it counts as a sign of life");
    held(ask(&world, asks(&token, "WS-01")).await.expect("an answer"));
}

#[tokio::test]
async fn a_re_use_ends_every_older_key_in_the_same_transaction() {
    let world = World::new().await;
    world.site("plant", |site| site.reimage = Some("same_name".to_owned())).await;
    let plant = "plant".parse().expect("a code");
    let token = world.app.rotate_key(&plant, None, &world.admin()).await.expect("a key").key;
    let asks = |token: &str, hostname: &str| KeylessClaim { site: plant.clone(), ..asks(token, hostname) };
    let first = enrolled(ask(&world, asks(&token, "WS-01")).await.expect("let in"));
    world.clock.advance(hours(2));
    let writes = world.writes();
    let second = enrolled(ask(&world, asks(&token, "WS-01")).await.expect("re-used"));
    assert_eq!(world.writes(), writes + 1);
    assert_eq!((&second.machine.id, second.machine.generation), (&first.machine.id, 2));
    assert_eq!(refusal(world.app.by_secret(&key(&first)).await), Refusal::Revoked);
    assert!(world.app.by_secret(&key(&second)).await.is_ok());
    world.clock.advance(hours(2));
    assert_eq!(held(ask(&world, asks(&token, "WS-02")).await.expect("held")).reason, "key_mismatch");
}

#[tokio::test]
async fn a_hold_changes_nothing_and_what_a_person_approves_admits_its_claimant_once() {
    let world = World::new().await;
    let token = site_key(&world).await;
    let first = enrolled(ask(&world, asks(&token, "WS-01")).await.expect("let in"));
    let before = world.machine(&first.machine.id).await.machine;
    let hold = held(ask(&world, asks(&token, "WS-02")).await.expect("held"));
    for _ in 0..3 {
        let again = held(ask(&world, asks(&token, "WS-02")).await.expect("held"));
        assert_eq!(again.hold, hold.hold, "it never opens by itself");
    }
    let now = world.machine(&first.machine.id).await.machine;
    assert_eq!((now.hostname, now.site, now.generation), (before.hostname, before.site, before.generation));
    assert!(world.app.by_secret(&key(&first)).await.is_ok(), "its key still works");

    let id = hold.hold.parse().expect("a hold's identifier");
    world.app.approve(id, &Approve { choice: Some(Choice::Same) }, &world.admin()).await.expect("approved");
    assert_eq!(refusal(world.app.by_secret(&key(&first)).await), Refusal::Revoked, "older keys end at once");
    world.clock.advance(SignedDuration::from_mins(5));
    let other = ask(&world, asks(&token, "WS-03")).await.expect("an answer");
    held(other);
    let second = enrolled(ask(&world, asks(&token, "WS-02")).await.expect("let in"));
    assert_eq!((&second.machine.id, second.machine.generation), (&first.machine.id, 2));
    assert!(world.app.by_secret(&key(&second)).await.is_ok());
    let again = enrolled(ask(&world, asks(&token, "WS-02")).await.expect("the answer was lost"));
    assert_eq!(key(&again), key(&second));

    let machine = machine_id(&second.machine.id);
    world.app.revoke(machine, None, None, false, &world.admin()).await.expect("revoked");
    held(ask(&world, asks(&token, "WS-02")).await.expect("the approval is used up"));
}

#[tokio::test]
async fn another_machine_of_the_same_hardware_gets_a_key_of_its_own() {
    let world = World::new().await;
    let token = site_key(&world).await;
    let first = enrolled(ask(&world, asks(&token, "WS-01")).await.expect("let in"));
    let hold = held(ask(&world, asks(&token, "WS-02")).await.expect("held"));
    let id = hold.hold.parse().expect("a hold's identifier");
    world.app.approve(id, &Approve { choice: Some(Choice::New) }, &world.admin()).await.expect("approved");
    let second = enrolled(ask(&world, asks(&token, "WS-02")).await.expect("let in"));
    assert_ne!(second.machine.id, first.machine.id);
    for enrolled in [&first, &second] {
        let caller = world.app.by_secret(&key(enrolled)).await.expect("both keep running");
        assert_eq!(caller.machine().expect("a machine").machine.to_string(), enrolled.machine.id);
    }
}

#[tokio::test]
async fn q_09_whatever_is_wrong_with_site_or_key_is_one_refusal() {
    let world = World::new().await;
    let token = site_key(&world).await;
    world.site("other", |_| {}).await;
    for odd in ["", "cek_secret", "secret", &format!("cek_{}", "0f".repeat(32)), &token.to_uppercase()] {
        assert!(is_row_9(ask(&world, asks(odd, "WS-01")).await), "{odd:?}");
    }
    for site in ["other", "nowhere", "DEFAULT"] {
        let claim = KeylessClaim { site: site.parse().expect("a code"), ..asks(&token, "WS-01") };
        assert!(is_row_9(ask(&world, claim).await), "{site}");
    }
    assert!(world.machines().await.is_empty());
}
