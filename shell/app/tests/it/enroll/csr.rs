//! A request that is not one spends nothing.

use data_encoding::BASE64;
use muster_testkit::world::{Device, World, enrolled};
use muster_wire::enroll::EnrollRequest;

use crate::support::{used, wrong_fields};

fn broken(device: &Device) -> Vec<(&'static str, Vec<u8>)> {
    let good = device.csr();
    let flipped = |at: usize| {
        let mut csr = good.clone();
        csr[at] ^= 1;
        csr
    };
    vec![
        ("empty", Vec::new()),
        ("noise", b"not a request".to_vec()),
        ("cut off", good[..good.len() - 1].to_vec()),
        ("more behind it", [good.as_slice(), &[0]].concat()),
        ("another signature", flipped(good.len() - 3)),
        ("another key", flipped(60)),
    ]
}

fn with(request: EnrollRequest, csr: &[u8]) -> EnrollRequest {
    EnrollRequest { csr: Some(BASE64.encode(csr)), ..request }
}

#[tokio::test]
async fn a_malformed_csr_costs_no_token() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let token = world.one_time().await;
    let writes = world.writes();
    for (what, csr) in broken(&device) {
        let paths = wrong_fields(world.ask(with(device.by_token(&token), &csr)).await);
        assert_eq!(paths, ["csr"], "{what}");
    }
    assert_eq!(world.writes(), writes, "what is no request leaves nothing");
    assert_eq!(used(&world).await, [("live".to_owned(), Some(0))]);
    enrolled(world.ask(device.by_token(&token)).await.expect("the token is as good as before"));
}

/// Whether a token was good once must not show in how a broken request is answered.
#[tokio::test]
async fn q_09_a_malformed_csr_is_answered_alike_whatever_the_token() {
    let world = World::new().await;
    let device = Device::new("web-1");
    for (what, token) in world.lapsed_tokens().await {
        let paths = wrong_fields(world.ask(with(device.by_token(&token), b"no request")).await);
        assert_eq!(paths, ["csr"], "{what}");
    }
}

#[tokio::test]
async fn every_wrong_field_is_listed_at_once_and_nothing_is_spent() {
    let world = World::new().await;
    let token = world.one_time().await;
    let mut request = Device::new("web-1").by_token(&token);
    request.kind = "toaster".to_owned();
    request.hostname = Some("a\u{202e}b".to_owned());
    request.hardware_id = Some("x".repeat(129));
    let paths = wrong_fields(world.ask(request).await);
    assert_eq!(paths, ["kind", "hardware_id", "hostname"]);
    let paths = wrong_fields(world.ask(Device::new("w").asks("oidc", serde_json::json!({}))).await);
    assert_eq!(paths, ["method"]);
    let evidence = serde_json::json!({"token": token, "site": "default"});
    let paths = wrong_fields(world.ask(Device::new("w").asks("token", evidence)).await);
    assert!(paths[0].starts_with("evidence"), "{paths:?}");
    assert_eq!(used(&world).await, [("live".to_owned(), Some(0))]);
}
