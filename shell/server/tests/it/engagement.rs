//! What a software agent is to do, as it reads it and says that it goes by it.

use http::StatusCode;
use muster_testkit::world::{Device, leaf};
use serde_json::{Value, json};

use crate::face::{Answer, Face, get, post, with_certificate};

struct Scout<'f> {
    face: &'f Face,
    machine: String,
    der: Vec<u8>,
}

impl<'f> Scout<'f> {
    async fn new(face: &'f Face) -> Self {
        let token = face.world.one_time().await;
        let device = Device { hardware_id: None, ..Device::new("scout") };
        let mut request = device.by_token(&token);
        request.kind = "software_agent".to_owned();
        let enrolled = muster_testkit::world::enrolled(face.world.ask(request).await.expect("let in"));
        let der = leaf(enrolled.credential.certificate.as_deref().expect("a certificate"));
        Self { face, machine: enrolled.machine.id, der }
    }

    /// An operator changes what it is to do.
    async fn engaged(&self, channel: &str) {
        let path = format!("/v1/machines/{}/engagement", self.machine);
        let set = json!({"nick": "scout", "engagement": {"channels": [channel]}});
        assert_eq!(self.face.admin(post(&path, &set)).await.status, StatusCode::OK);
    }

    async fn reads(&self) -> Value {
        let request = get("/v1/machines/self/engagement");
        self.face.send(with_certificate(self.der.clone()), request).await.json()
    }

    async fn says(&self, version: u64, hash: &str) -> Answer {
        let said = json!({"version": version, "hash": hash});
        let request = post("/v1/machines/self/engagement/acknowledge", &said);
        self.face.send(with_certificate(self.der.clone()), request).await
    }
}

#[tokio::test]
async fn an_agent_acknowledges_by_the_hash_of_what_is_in_force_and_operators_see_it() {
    let face = Face::new().await;
    let scout = Scout::new(&face).await;
    assert_eq!(scout.says(1, "00").await.status, StatusCode::NOT_FOUND, "nobody told it anything yet");
    scout.engaged("#ops").await;
    let first = scout.reads().await;
    let hash = first["hash"].as_str().expect("a hash");
    assert!(first["acknowledged_at"].is_null() && hash.len() == 64, "{first}");
    assert_eq!(scout.says(1, &hash.replace(&hash[..1], "x")).await.code(), "wrong_state");
    let told = scout.says(1, hash).await;
    assert_eq!(told.status, StatusCode::OK);
    let at = told.json()["acknowledged_at"].clone();
    assert!(at.is_string(), "{told:?}");
    let end = face.world.audit_end().await;
    assert_eq!(scout.says(1, hash).await.json()["acknowledged_at"], at, "again changes nothing");
    assert_eq!(face.world.audit_end().await, end);
    let listed = face.admin(get("/v1/engagements")).await.json();
    assert_eq!(listed["items"][0]["acknowledged_at"], at);

    scout.engaged("#fleet").await;
    let next = scout.reads().await;
    assert!(next["acknowledged_at"].is_null() && next["hash"] != first["hash"], "each version anew");
    assert_eq!(scout.says(1, hash).await.code(), "wrong_state", "that is not in force any more");
    let path = format!("/v1/machines/{}/engagement/written?version=1", scout.machine);
    assert_eq!(face.admin(get(&path)).await.json()["acknowledged_at"], at, "the first stays acknowledged");
}
