//! What is counted names no client.

use std::collections::BTreeSet;

use http::Request;
use muster_server::metrics::Metrics;
use muster_testkit::world::Device;
use serde_json::json;

use crate::face::{Face, get, post, with};

/// Every label that there may be.
const LABELS: [&str; 9] =
    ["route", "status", "code", "decision", "outcome", "transport", "le", "quantile", "carrier"];

#[tokio::test]
async fn q_19_no_value_of_a_client_is_a_label() {
    let metrics = Metrics::record().expect("the only recorder of this process");
    let face = Face::new().await;
    let mut device = Device::new("zqx-host");
    device.hardware_id = Some("zqx-hardware".to_owned());
    let token = face.world.one_time().await;
    let enroll = serde_json::to_value(device.by_token(&token)).expect("JSON");
    face.stranger(post("/v1/enroll", &enroll)).await;
    face.stranger(get("/zqx/route?zqx=1")).await;
    face.stranger(get("/v1/machines/zqx-id")).await;
    face.stranger(with(get("/v1/status"), "user-agent", "zqx-agent")).await;
    let made_up = Request::builder().method("ZQX").uri("/v1/status").body(axum::body::Body::empty());
    face.stranger(made_up.expect("a request")).await;
    face.admin(post("/v1/grants", &json!({"labels": {"zqx": "zqx"}}))).await;
    metrics.upkeep();
    let text = metrics.render();
    assert!(text.contains("muster_requests_total{route=\"/v1/enroll\",status=\"2xx\"}"), "{text}");
    assert!(text.contains("route=\"/v1/machines/{machine}\""), "the pattern, not the path");
    assert!(text.contains("route=\"none\""), "all that is no route is one");
    assert!(!text.to_lowercase().contains("zqx"), "{text}");
    assert!(!text.contains(&token));
    let labels: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('{')?.1.rsplit_once('}'))
        .flat_map(|(labels, _)| labels.split("\","))
        .filter_map(|label| label.split_once('=').map(|(name, _)| name))
        .collect();
    assert!(labels.iter().all(|label| LABELS.contains(label)), "{labels:?}");
}
