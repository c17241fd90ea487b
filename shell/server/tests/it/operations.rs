//! Health, discovery, trust.

use http::StatusCode;
use muster_testkit::world::{Device, URL, leaf};
use serde_json::{Value, json};

use crate::face::{Face, get, post, with_certificate};

#[tokio::test]
async fn health_and_version_say_as_little_as_they_can() {
    let face = Face::new().await;
    assert_eq!(face.stranger(get("/healthz")).await.text(), "ok\n");
    assert_eq!(face.stranger(get("/readyz")).await.text(), "store: ok\nmode: normal\n");
    assert_eq!(face.stranger(get("/version")).await.json()["protocols"], json!(["muster/1"]));
}

#[tokio::test]
async fn trust_is_what_a_pin_is_compared_with() {
    let face = Face::new().await;
    let trust = face.stranger(get("/v1/trust")).await.json();
    let authority = face.world.app.authority();
    assert_eq!(trust["pins"], json!(authority.pins()));
    assert_eq!(trust["roots"], json!(authority.roots_pem()));
    assert_eq!(trust["trust_domain"], "fleet.test");
}

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).expect("a part");
    let bytes = data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn q_21_discovery_leads_to_the_keys_that_machine_tokens_name() {
    let face = Face::new().await;
    let discovery = face.stranger(get("/.well-known/openid-configuration")).await.json();
    assert_eq!(discovery["issuer"], URL);
    assert_eq!(discovery["id_token_signing_alg_values_supported"], json!(["ES256"]));
    let jwks_uri = discovery["jwks_uri"].as_str().expect("an address");
    let jwks = face.stranger(get(jwks_uri.strip_prefix(URL).expect("ours"))).await.json();
    let key = &jwks["keys"][0];
    assert_eq!(jwks["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!([&key["kty"], &key["crv"], &key["use"]], [&json!("EC"), &json!("P-256"), &json!("sig")]);
    assert!(key.get("d").is_none(), "the public half alone");

    let enrolled = face.world.enroll(&Device::new("web-1")).await;
    let der = leaf(enrolled.credential.certificate.as_deref().expect("a certificate"));
    let request = post("/v1/machines/self/token", &json!({"audience": "vault"}));
    let answer = face.send(with_certificate(der), request).await;
    assert_eq!(answer.status, StatusCode::OK);
    let token = answer.json()["token"].as_str().expect("a token").to_owned();
    let (head, claims) = (part(&token, 0), part(&token, 1));
    assert_eq!((&head["kid"], &head["alg"]), (&key["kid"], &json!("ES256")));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(URL), &json!("vault")));
}

#[tokio::test]
async fn an_operators_view_tells_where_the_data_are_only_on_the_servers_own_host() {
    let world = muster_testkit::world::World::with(|s| s.data_dir = Some("/var/lib/muster".to_owned())).await;
    let face = Face::of(world, |_| {});
    assert_eq!(face.admin(get("/v1/status")).await.json()["data_dir"], "/var/lib/muster");
    let token = json!({"name": "ci", "role": "admin"});
    let made = face.admin(post("/v1/tokens", &token)).await.json();
    let bearer = format!("Bearer {}", made["secret"].as_str().expect("a secret"));
    let remote = face.stranger(crate::face::with(get("/v1/status"), "authorization", &bearer)).await;
    assert_eq!(remote.status, StatusCode::OK);
    assert!(remote.json().get("data_dir").is_none_or(Value::is_null));
}
