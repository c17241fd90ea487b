//! Several servers on one store, over HTTP.

use http::StatusCode;
use muster_testkit::world::{Device, machine_id};
use muster_wire::channel::Order;
use serde_json::json;

use crate::face::{Face, get, post, with};

#[tokio::test]
async fn an_order_to_renew_reaches_a_machine_whichever_server_is_asked() {
    let face = Face::new().await;
    let other = face.world.replica().await;
    let enrolled = face.world.enroll(&Device::new("web-1")).await;
    let caller = face.world.caller(&enrolled).await.expect("known");
    let mut channel = other.channel_open(&caller).await.expect("a channel");
    let path = format!("/v1/machines/{}/renew", enrolled.machine.id);
    let renew = || with(post(&path, &json!({})), "idempotency-key", "k-1");
    let answer = face.admin(renew()).await;
    assert_eq!((answer.status, &answer.json()["id"]), (StatusCode::OK, &json!(enrolled.machine.id)));
    assert_eq!(answer.json()["online"], json!(true), "wherever its channel is");
    assert_eq!(face.admin(renew()).await.json(), answer.json());
    other.heed().await.expect("heeded");
    let order = channel.orders.try_recv().expect("an order");
    assert_eq!((order.order, order.last), (Order::Renew, false));
    assert!(channel.orders.try_recv().is_err(), "one order for one key");
    let retire = face.world.app.retire(machine_id(&enrolled.machine.id), None, &face.world.admin()).await;
    retire.expect("retired");
    let refused = face.admin(post(&path, &json!({}))).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "wrong_state".to_owned()));
}

#[tokio::test]
async fn servers_are_listed_with_what_they_hold() {
    let face = Face::new().await;
    let enrolled = face.world.enroll(&Device::new("web-1")).await;
    let caller = face.world.caller(&enrolled).await.expect("known");
    let _channel = face.world.app.channel_open(&caller).await.expect("a channel");
    let list = face.admin(get("/v1/replicas")).await.json();
    let expected = json!({
        "id": face.world.app.replica().to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": face.world.clock.now(),
        "alive_at": face.world.clock.now(),
        "alive": true,
        "channels": 1,
        "this": true,
    });
    assert_eq!(list, json!({"items": [expected], "next": null}));
    let status = face.admin(get("/v1/status")).await.json();
    assert_eq!((&status["mode"], &status["replicas"]), (&json!("normal"), &json!(1)));
    assert_eq!(status["machines"]["online"], json!(1));
}
