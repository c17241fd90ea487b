//! Signed requests: each is good once, for what it was made over.

use muster_app::MachineCaller;
use muster_model::{Refusal, SignedDuration};
use muster_testkit::world::{Device, Signed, World};

use crate::support::{refusal, signed};

const PATH: &str = "/v1/machines/self/token";

type Change = (&'static str, fn(&mut Signed));

async fn shown(world: &World, signed: &Signed) -> Result<muster_app::Caller, muster_app::Error> {
    world.app.by_signature(&signed.call(), &world.stranger()).await
}

#[tokio::test]
async fn a_signed_request_tells_who_calls() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let enrolled = world.enroll(&device).await;
    let caller = shown(&world, &signed(&world, &device, PATH)).await.expect("known");
    let caller = *caller.machine().expect("a machine");
    assert_eq!(caller.slot.map(|slot| slot.base), Some(device.fingerprint()), "which its header says");
    let by_certificate = world.caller(&enrolled).await.expect("known");
    assert_eq!(MachineCaller { slot: None, nonce: None, ..caller }, by_certificate);
}

#[tokio::test]
async fn q_06_a_captured_request_is_refused_also_after_a_restart_and_ten_thousand_foreign_nonces() {
    let mut world = World::new().await;
    let (device, other) = (Device::new("web-1"), Device::new("web-2"));
    world.enroll(&device).await;
    world.enroll(&other).await;
    let captured = signed(&world, &device, PATH);
    shown(&world, &captured).await.expect("the first time");
    assert_eq!(refusal(shown(&world, &captured).await), Refusal::NonceNeeded);
    world.restart().await;
    assert_eq!(refusal(shown(&world, &captured).await), Refusal::NonceNeeded, "after a restart");
    for _ in 0..10_000 {
        world.app.nonce();
    }
    for _ in 0..100 {
        shown(&world, &signed(&world, &other, PATH)).await.expect("another machine's");
    }
    assert_eq!(refusal(shown(&world, &captured).await), Refusal::NonceNeeded, "after foreign ones");
    let replica = world.another();
    let there = replica.by_signature(&captured.call(), &world.stranger()).await;
    assert_eq!(refusal(there), Refusal::NonceNeeded, "on another replica");
    shown(&world, &signed(&world, &device, PATH)).await.expect("a fresh one is good");
}

#[tokio::test]
async fn q_06_a_request_that_was_held_back_is_refused_once_a_later_one_was_used() {
    let world = World::new().await;
    let device = Device::new("web-1");
    world.enroll(&device).await;
    let held_back = signed(&world, &device, PATH);
    shown(&world, &signed(&world, &device, PATH)).await.expect("a later one");
    assert_eq!(refusal(shown(&world, &held_back).await), Refusal::NonceNeeded);
}

#[tokio::test]
async fn a_nonce_is_good_for_a_minute_and_only_one_of_ours() {
    let world = World::new().await;
    let device = Device::new("web-1");
    world.enroll(&device).await;
    let late = signed(&world, &device, PATH);
    world.clock.advance(SignedDuration::from_secs(61));
    assert_eq!(refusal(shown(&world, &late).await), Refusal::NonceNeeded);
    for invented in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let signed = device.signs(invented, "POST", PATH, b"");
        assert_eq!(refusal(shown(&world, &signed).await), Refusal::NonceNeeded, "{invented:?}");
    }
}

#[tokio::test]
async fn a_signature_holds_for_its_own_request_alone() {
    let world = World::new().await;
    let (device, other) = (Device::new("web-1"), Device::new("web-2"));
    world.enroll(&device).await;
    world.enroll(&other).await;
    let base = || {
        let mut signed = device.signs(&world.app.nonce().nonce, "POST", PATH, b"{\"audience\":\"a\"}");
        signed.query = String::new();
        signed
    };
    shown(&world, &base()).await.expect("as it was signed");
    let changes: [Change; 9] = [
        ("method", |signed| signed.method = "GET".to_owned()),
        ("path", |signed| signed.path = "/v1/machines/self/leave".to_owned()),
        ("query", |signed| signed.query = "a=1".to_owned()),
        ("body", |signed| signed.body = b"{\"audience\":\"b\"}".to_vec()),
        ("time", |signed| signed.header.statement.time += 1),
        ("counter", |signed| signed.header.statement.counter += 1),
        ("boot", |signed| signed.header.statement.boot[0] ^= 1),
        ("base", |signed| signed.header.statement.base.0[0] ^= 1),
        ("signature", |signed| signed.header.signature.truncate(10)),
    ];
    for (what, change) in changes {
        let mut tampered = base();
        change(&mut tampered);
        let refused = refusal(shown(&world, &tampered).await);
        assert!(matches!(refused, Refusal::NotAuthenticated { .. }), "{what}: {refused}");
    }
    let mut renamed = base();
    renamed.header.statement.key = other.fingerprint();
    assert!(matches!(refusal(shown(&world, &renamed).await), Refusal::NotAuthenticated { .. }), "key");
    let mut swapped = base();
    swapped.header.statement.nonce = world.app.nonce().nonce;
    assert!(matches!(refusal(shown(&world, &swapped).await), Refusal::NotAuthenticated { .. }), "nonce");
}

#[tokio::test]
async fn a_tampered_request_does_not_use_up_the_nonce_of_the_true_one() {
    let world = World::new().await;
    let device = Device::new("web-1");
    world.enroll(&device).await;
    let signed = signed(&world, &device, PATH);
    let mut tampered = signed.clone();
    tampered.body = b"other".to_vec();
    refusal(shown(&world, &tampered).await);
    shown(&world, &signed).await.expect("the true one");
}

#[tokio::test]
async fn a_key_of_no_machine_is_not_known_and_neither_is_one_that_waits() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let refused = refusal(shown(&world, &signed(&world, &device, PATH)).await);
    assert!(matches!(refused, Refusal::NotAuthenticated { .. }), "{refused}");
    world.ask(device.by_request()).await.expect("held");
    let refused = refusal(shown(&world, &signed(&world, &device, PATH)).await);
    assert!(matches!(refused, Refusal::NotAuthenticated { .. }), "I-11: {refused}");
}

#[tokio::test]
async fn q_16_a_server_whose_clock_was_a_year_ahead_shuts_nobody_out_and_lets_nothing_in_again() {
    let world = World::new().await;
    let device = Device::new("web-1");
    world.enroll(&device).await;
    let now = world.clock.now();
    shown(&world, &signed(&world, &device, PATH)).await.expect("the first time");
    world.clock.advance(SignedDuration::from_hours(24 * 365));
    let ahead = signed(&world, &device, PATH);
    shown(&world, &ahead).await.expect("good there and then");
    world.clock.set(now + SignedDuration::from_secs(5));
    let right = signed(&world, &device, PATH);
    shown(&world, &right).await.expect("the clock was put right");
    assert_eq!(refusal(shown(&world, &right).await), Refusal::NonceNeeded);
    assert_eq!(refusal(shown(&world, &ahead).await), Refusal::NonceNeeded, "of a time to come");
    world.clock.set(now + SignedDuration::from_hours(24 * 365));
    assert_eq!(refusal(shown(&world, &ahead).await), Refusal::NonceNeeded, "and when that has come");
    world.clock.advance(SignedDuration::from_secs(1));
    shown(&world, &signed(&world, &device, PATH)).await.expect("a new one is as good as ever");
}
