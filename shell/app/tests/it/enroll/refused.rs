//! Row 9 of the decision, seen from outside: one refusal.

use muster_app::Error;
use muster_model::SignedDuration;
use muster_testkit::world::{Device, World, enrolled};
use muster_wire::grant::CreateGrant;

use crate::support::{is_row_9, used};

/// Tokens that open nothing, each for another cause.
pub(crate) async fn lapsed_tokens(world: &World) -> Vec<(&'static str, String)> {
    let admin = world.admin();
    let expired =
        world.token(CreateGrant { expires_in: Some(60), uses: Some(0), ..CreateGrant::default() }).await;
    world.clock.advance(SignedDuration::from_secs(60));
    let spent = world.one_time().await;
    enrolled(world.ask(Device::new("spender").by_token(&spent)).await.expect("let in"));
    let revoked = world.app.create_grant(CreateGrant::default(), None, &admin).await.expect("a grant");
    let id = revoked.grant.id.parse().expect("a grant's identifier");
    world.app.revoke_grant(id, &admin).await.expect("revoked");
    let code = "default".parse().expect("a code");
    let rotated = world.app.rotate_key(&code, None, &admin).await.expect("a key").key;
    world.app.rotate_key(&code, None, &admin).await.expect("the next key");
    let known: muster_model::Secret = rotated.parse().expect("a secret");
    let wrong = muster_model::Secret::new(known.kind(), known.id().0, [9; 32]).reveal();
    let unknown = muster_model::Secret::new(known.kind(), [9; 10], [9; 32]).reveal();
    vec![
        ("expired", expired),
        ("spent", spent),
        ("revoked", revoked.token),
        ("rotated out", rotated),
        ("wrong", wrong),
        ("unknown", unknown),
    ]
}

fn told(error: &Error) -> String {
    match error {
        Error::Refused(refusal) => refusal.code().to_owned(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn q_09_every_cause_of_row_9_is_one_refusal_and_changes_nothing() {
    let world = World::new().await;
    let tokens = lapsed_tokens(&world).await;
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
    for (what, token) in lapsed_tokens(&world).await {
        let mut request = device.by_token(&token);
        request.previous = Some(other.vouches_for(b"another text"));
        assert!(is_row_9(world.ask(request).await), "{what}");
    }
}

#[tokio::test]
async fn the_hidden_cause_is_told_in_the_audit_log_alone() {
    let world = World::new().await;
    for (what, token) in lapsed_tokens(&world).await {
        let end = world.audit_end().await;
        assert!(is_row_9(world.ask(Device::new("web-1").by_token(&token)).await));
        world.app.flush_refusals().await;
        let entries = world.audit_since(end).await;
        let causes: Vec<&str> =
            entries.iter().flat_map(|entry| entry.detail.values()).map(String::as_str).collect();
        let keys: Vec<&str> =
            entries.iter().flat_map(|entry| entry.detail.keys()).map(String::as_str).collect();
        let cause = match what {
            "wrong" => "secret_wrong".to_owned(),
            "unknown" => "secret_unknown".to_owned(),
            other => format!("grant_{}", other.replace(' ', "_")),
        };
        assert!(causes.contains(&cause.as_str()) || keys.contains(&cause.as_str()), "{what}: {entries:?}");
        world.app.flush_refusals().await;
    }
}
