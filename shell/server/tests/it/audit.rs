//! The audit log as it is looked at: searched, one entry with what happened about it, and all of it in a file.

use http::StatusCode;
use http_body_util::BodyExt;
use muster_model::{Entry, OperatorRole};
use muster_store::Store;
use muster_testkit::Kit;
use muster_testkit::world::Device;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::face::{Answer, Face, browser, get, post, stranger, with};

/// More than are read at once.
const MANY: usize = 2_300;

async fn with_many_entries() -> Face {
    let face = Face::new().await;
    let kit = Kit { tenant: face.world.founded.tenant, ..Kit::numbered(3) };
    let entry = |n: usize| {
        let detail = vec![("n", n.to_string())];
        Entry { detail, ..kit.entry("test.export") }
    };
    face.world.app.store().tell((0..MANY).map(entry).collect()).await.expect("told");
    face
}

fn lines(answer: &Answer) -> Vec<Value> {
    answer.text().lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[tokio::test]
async fn an_export_is_all_that_fits_in_order_and_goes_on_where_one_ended() {
    let face = with_many_entries().await;
    let all = face.admin(get("/v1/audit/export?action=test.export")).await;
    assert_eq!((all.status, all.header("content-type")), (StatusCode::OK, Some("application/x-ndjson")));
    let all = lines(&all);
    let told: Vec<String> =
        all.iter().map(|entry| entry["detail"]["n"].as_str().expect("told").to_owned()).collect();
    assert_eq!(told, (0..MANY).map(|n| n.to_string()).collect::<Vec<_>>());
    let path = format!("/v1/audit/export?action=test.export&after={}", all[MANY - 2]["seq"]);
    assert_eq!(lines(&face.admin(get(&path)).await), all[MANY - 1..]);
    let whole = lines(&face.admin(get("/v1/audit/export")).await);
    assert!(whole.len() > MANY && whole.is_sorted_by_key(|entry| entry["seq"].as_u64()));
    let wrong = face.admin(get("/v1/audit/export?since=yesterday")).await;
    assert_eq!(wrong.code(), "malformed");
    let (nothing, later) =
        (face.admin(get("/v1/audit/export?until=1990-01-01T00:00:00Z")).await, "2999-01-01T00:00:00Z");
    assert_eq!((nothing.status, nothing.text()), (StatusCode::OK, String::new()));
    assert_eq!(face.admin(get(&format!("/v1/audit/export?since={later}"))).await.text(), "");
}

#[tokio::test]
async fn an_export_is_cut_off_once_what_asked_for_it_has_ended() {
    let face = with_many_entries().await;
    let shown = browser(&face).await;
    let request =
        shown.iter().fold(get("/v1/audit/export"), |request, (name, value)| with(request, name, value));
    let mut request = request;
    request.extensions_mut().insert(stranger());
    request.extensions_mut().insert(face.draining.clone());
    let mut body = face.router.clone().oneshot(request).await.expect("an answer").into_body();
    body.frame().await.expect("a first part").expect("whole");
    let closed = shown
        .iter()
        .fold(post("/v1/session/close", &json!({})), |request, (name, value)| with(request, name, value));
    assert!(face.stranger(closed).await.status.is_success());
    let rest = body.collect().await;
    assert!(rest.is_err(), "nobody takes it for all there is");
}

#[tokio::test]
async fn an_entry_is_shown_with_what_was_done_before_and_after() {
    let face = Face::new().await;
    let one = face.world.enroll(&Device::new("web-1")).await.machine.id;
    let id: muster_model::MachineId = one.parse().expect("an identifier");
    face.world.app.suspend(id, None, &face.world.admin()).await.expect("suspended");
    face.world.enroll(&Device { hardware_id: None, ..Device::new("web-2") }).await;
    face.world.app.resume(id, None, &face.world.operator(OperatorRole::Operator)).await.expect("resumed");
    let found = face.admin(get(&format!("/v1/audit?action=machine.suspend&object={one}"))).await.json();
    let seq = found["items"][0]["seq"].as_u64().expect("a place");
    let context = face.admin(get(&format!("/v1/audit/{seq}"))).await.json();
    assert_eq!(context["entry"], found["items"][0]);
    let actions = |list: &str| -> Vec<String> {
        let list = context[list].as_array().expect("a list");
        list.iter().map(|entry| entry["action"].as_str().expect("an action").to_owned()).collect()
    };
    let of_object = actions("object");
    assert_eq!(of_object[..2], ["machine.resume", "machine.suspend"]);
    assert!(of_object.contains(&"machine.enroll".to_owned()), "{of_object:?}");
    assert!(actions("around").len() >= of_object.len());
    let shown = browser(&face).await;
    let request =
        shown.iter().fold(get(&format!("/audit/{seq}")), |request, (name, value)| with(request, name, value));
    let page = face.stranger(request).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text().contains(&format!("/machines/{one}")) && page.text().contains("aria-current=\"true\"")
    );
}

#[tokio::test]
async fn the_page_of_the_log_is_asked_for_days_of_which_both_count() {
    let face = Face::new().await;
    face.world.enroll(&Device::new("web-1")).await;
    let shown = browser(&face).await;
    let now = face.world.clock.now();
    let today = now.strftime("%Y-%m-%d").to_string();
    for (query, is_found) in [
        (format!("from={today}&to={today}"), true),
        ("to=2001-01-01".to_owned(), false),
        ("from=2999-01-01".to_owned(), false),
        ("action=machine.enroll&from=&to=&object=&actor=".to_owned(), true),
    ] {
        let request = get(&format!("/audit?{query}"));
        let page = face
            .stranger(shown.iter().fold(request, |request, (name, value)| with(request, name, value)))
            .await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        assert_eq!(page.text().contains("machine.enroll</a>"), is_found, "{query}");
    }
    let request = get("/audit?from=2026-02-30");
    let page =
        face.stranger(shown.iter().fold(request, |request, (name, value)| with(request, name, value))).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
}
