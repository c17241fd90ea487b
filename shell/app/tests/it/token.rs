//! Short JWTs that a machine shows to others.

use muster_issuer::token::Expected;
use muster_model::SignedDuration;
use muster_testkit::world::{Device, URL, World};
use muster_wire::enroll::TokenRequest;

use crate::support::{from, identity, wrong_fields};

fn asks(audience: &str, ttl_seconds: Option<u32>) -> TokenRequest {
    TokenRequest { audience: audience.to_owned(), ttl_seconds }
}

#[tokio::test]
async fn q_21_a_token_says_who_for_whom_and_how_long_and_verifies_by_our_keys() {
    let mut world = World::new().await;
    let enrolled = world.enroll(&Device::new("web-1")).await;
    let caller = world.caller(&enrolled).await.expect("known");
    let end = world.audit_end().await;
    let minted = world.app.machine_token(&asks("vault", Some(120)), &caller, &from(caller)).await;
    let minted = minted.expect("a token");
    let now = world.clock.now();
    world.restart().await;
    let expected = Expected { issuer: URL, audience: "vault", now };
    let signer = |world: &World, expected: &Expected<'_>| {
        world.app.authority().tokens().verify(&minted.token, expected)
    };
    let claims = signer(&world, &expected).expect("it verifies, after a restart too");
    let identity = identity(&world, &enrolled);
    assert_eq!(claims.sub, world.app.authority().spiffe_id(identity.tenant, identity.machine));
    assert_eq!((claims.iat, claims.nbf), (now.as_second(), now.as_second()));
    assert_eq!(claims.exp, now.as_second() + 120);
    assert_eq!(minted.expires_at.as_second(), claims.exp);
    for wrong in [
        Expected { audience: "other", ..expected },
        Expected { issuer: "https://other.test", ..expected },
        Expected { now: now + SignedDuration::from_secs(120 + 61), ..expected },
        Expected { now: now - SignedDuration::from_secs(61), ..expected },
    ] {
        assert!(signer(&world, &wrong).is_err(), "{wrong:?}");
    }
    let told = world.audit_since(end).await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].action.as_str(), told[0].object.as_str()),
        ("token.mint", enrolled.machine.id.as_str())
    );
    assert!(!serde_json::to_string(&told).expect("JSON").contains(&minted.token), "Q-25");
}

#[tokio::test]
async fn q_50_no_token_lives_longer_than_an_hour_or_goes_to_nobody() {
    let world = World::new().await;
    let enrolled = world.enroll(&Device::new("web-1")).await;
    let caller = world.caller(&enrolled).await.expect("known");
    let minted =
        async |request: TokenRequest| world.app.machine_token(&request, &caller, &from(caller)).await;
    for (life, fine) in [(59, false), (60, true), (3600, true), (3601, false), (u32::MAX, false), (0, false)]
    {
        let result = minted(asks("vault", Some(life))).await;
        assert_eq!(result.is_ok(), fine, "{life}");
    }
    for audience in ["", "a b", "ä", "a\n", &"x".repeat(256)] {
        assert_eq!(wrong_fields(minted(asks(audience, None)).await), ["audience"], "{audience:?}");
    }
    minted(asks(&"x".repeat(255), None)).await.expect("the longest");
}

#[tokio::test]
async fn no_two_tokens_are_the_same() {
    let world = World::new().await;
    let enrolled = world.enroll(&Device::new("web-1")).await;
    let caller = world.caller(&enrolled).await.expect("known");
    let expected = Expected { issuer: URL, audience: "vault", now: world.clock.now() };
    let mut names = Vec::new();
    for _ in 0..10 {
        let minted = world.app.machine_token(&asks("vault", None), &caller, &from(caller)).await;
        let token = minted.expect("a token").token;
        names.push(world.app.authority().tokens().verify(&token, &expected).expect("ours").jti);
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 10);
}
