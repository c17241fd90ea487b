//! Row 9 of the decision, seen from outside: one refusal.

use muster_app::Error;
use muster_testkit::world::{Device, World};

use crate::support::{is_row_9, used};

fn told(error: &Error) -> String {
    match error {
        Error::Refused(refusal) => refusal.code().to_owned(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn q_09_every_cause_of_row_9_is_one_refusal_and_changes_nothing() {
    let world = World::new().await;
    let tokens = world.lapsed_tokens().await;
    let machines = world.machines().await;
    let grants = used(&world).await;
    for (what, token) in tokens {
        let error = world.ask(Device::new("web-1").by_token(&token)).await.expect_err(what);
        assert_eq!(told(&error), "not_entitled", "{what}");
    }
    assert_eq!(world.machines().await, machines);
    assert_eq!(used(&world).await, grants);
    assert!(world.app.holds(&Default::default(), &world.admin()).await.expect("a list").items.is_empty());
}

/// A proof by a key that does not hold must not tell a token that was good once from one that never was.
#[tokio::test]
async fn q_09_a_wrong_proof_by_a_present_key_is_answered_alike_whatever_the_token() {
    let world = World::new().await;
    let (device, other) = (Device::new("web-1"), Device::new("web-2"));
    for (what, token) in world.lapsed_tokens().await {
        let mut request = device.by_token(&token);
        request.previous = Some(other.vouches_for(b"another text"));
        assert!(is_row_9(world.ask(request).await), "{what}");
    }
}

#[tokio::test]
async fn the_hidden_cause_is_told_in_the_audit_log_alone() {
    let world = World::new().await;
    for (what, token) in world.lapsed_tokens().await {
        let end = world.audit_end().await;
        assert!(is_row_9(world.ask(Device::new("web-1").by_token(&token)).await));
        world.app.flush_refusals().await;
        let entries = world.audit_since(end).await;
        let causes: Vec<&str> =
            entries.iter().flat_map(|entry| entry.detail.values()).map(String::as_str).collect();
        let keys: Vec<&str> =
            entries.iter().flat_map(|entry| entry.detail.keys()).map(String::as_str).collect();
        assert!(causes.contains(&what) || keys.contains(&what), "{what}: {entries:?}");
        world.app.flush_refusals().await;
    }
}
