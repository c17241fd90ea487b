//! First contact: the pin decides, and nothing secret is said before it has.

use muster_client::{Client, ClientError, first_contact};
use muster_wire::invite::CaPin;
use serde_json::json;

use super::support::{Deployment, Script, answer, json as ok, tls};

fn trust(roots: &[String]) -> String {
    ok(&json!({"trust_domain": "muster.test", "roots": roots, "pins": []}))
}

fn status() -> String {
    ok(&json!({"items": [], "next": null}))
}

#[tokio::test]
async fn the_whole_bundle_is_read_over_a_connection_that_the_pinned_root_vouches_for() {
    let (active, standby) = (Deployment::new(), Deployment::new());
    let bundle = trust(&[active.pem(), standby.pem()]);
    let script = Script::new([bundle.clone(), bundle]);
    let url = tls(&active, &script).await;
    let found = first_contact(&url, CaPin(active.pin())).await.expect("the pinned server");
    assert_eq!((found.trust.roots.len(), script.requests().len()), (2, 2));
}

#[tokio::test]
async fn q_44_a_stranger_that_shows_the_right_root_beside_its_own_is_refused_and_hears_no_token() {
    let (real, stranger) = (Deployment::new(), Deployment::new());
    let script = Script::new([trust(&[real.pem(), stranger.pem()]), status()]);
    let url = tls(&stranger, &script).await;
    let client =
        Client::pinned(&url, CaPin(real.pin()), Some("mst_api_secret")).await.expect("a root with the pin");
    let error = client.machines(&Default::default()).await.expect_err("not the pinned deployment");
    assert!(matches!(error, ClientError::Untrusted { .. }), "{error:?}");
    assert!(script.requests().iter().all(|request| !request.contains("mst_api_secret")));
}

#[tokio::test]
async fn q_44_another_deployment_is_a_pin_mismatch() {
    let (real, stranger) = (Deployment::new(), Deployment::new());
    let script = Script::new([trust(&[stranger.pem()])]);
    let url = tls(&stranger, &script).await;
    let error = first_contact(&url, CaPin(real.pin())).await.expect_err("another deployment");
    assert!(matches!(error, ClientError::PinMismatch { .. }), "{error:?}");
}

#[tokio::test]
async fn the_token_travels_once_the_server_is_verified() {
    let real = Deployment::new();
    let script = Script::new([trust(&[real.pem()]), status()]);
    let url = tls(&real, &script).await;
    let client = Client::pinned(&url, CaPin(real.pin()), Some("mst_api_secret\n")).await.expect("pinned");
    client.machines(&Default::default()).await.expect("a list");
    assert_eq!(script.header(0, "authorization"), None);
    assert_eq!(script.header(1, "authorization").as_deref(), Some("Bearer mst_api_secret"));
}

#[tokio::test]
async fn q_19_an_endless_answer_from_a_stranger_is_cut_off() {
    let stranger = Deployment::new();
    let script = Script::new([answer(200, "application/json", &" ".repeat(65 * 1024))]);
    let url = tls(&stranger, &script).await;
    let error = first_contact(&url, CaPin([0; 32])).await.expect_err("too large");
    assert!(matches!(error, ClientError::TooLarge { max: 65_536, .. }), "{error:?}");
}
