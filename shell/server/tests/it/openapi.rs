//! The document and the routes say the same.

use std::collections::BTreeSet;

use http::StatusCode;
use muster_testkit::world::FaultyStore;
use serde_json::Value;

use crate::face::{Face, get, post};
use crate::principals::{filled, mounted};

fn document() -> Value {
    serde_json::to_value(muster_server::openapi::<FaultyStore>().0).expect("JSON")
}

/// Every operation as `METHOD path`, with its description.
fn operations(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of = |path: &String, methods: &Value| -> Vec<(String, Value)> {
        let methods = methods.as_object().expect("methods").iter();
        methods
            .map(|(method, operation)| (format!("{} {path}", method.to_uppercase()), operation.clone()))
            .collect()
    };
    paths.iter().flat_map(|(path, methods)| of(path, methods)).collect()
}

#[tokio::test]
async fn the_document_is_served_as_it_is_generated_and_is_openapi_3_1() {
    let face = Face::new().await;
    let served = face.stranger(get("/openapi.json")).await;
    assert_eq!(served.header("content-type"), Some("application/json"));
    assert_eq!(served.json(), document());
    assert!(document()["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")));
    assert!(document()["info"]["version"].is_string());
}

#[test]
fn what_is_documented_is_mounted_and_what_is_mounted_is_documented() {
    let documented: BTreeSet<String> = operations(&document()).into_iter().map(|(name, _)| name).collect();
    let listed: Vec<String> =
        mounted().into_iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(documented, listed.iter().cloned().collect());
    assert_eq!(documented.len(), listed.len(), "nothing twice");
}

#[tokio::test]
async fn every_documented_operation_is_answered_by_the_router() {
    let face = Face::new().await;
    let nowhere = face.stranger(get("/nowhere")).await.without_id();
    for route in mounted() {
        let path = filled(&route.path);
        let request = if route.method == "GET" { get(&path) } else { post(&path, &serde_json::json!({})) };
        let answer = face.stranger(request).await;
        let lost = answer.status == StatusCode::NOT_FOUND && answer.without_id() == nowhere;
        assert!(!lost, "{} {}", route.method, route.path);
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("$ref", Value::String(to)) => drop(found.insert(to.clone())),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in &found {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn every_operation_has_a_name_of_its_own_a_summary_and_answers() {
    let document = document();
    let mut names = BTreeSet::new();
    for (operation, described) in operations(&document) {
        let name = described["operationId"].as_str().expect("a name").to_owned();
        assert!(names.insert(name.clone()), "{name} twice");
        assert!(described["summary"].is_string(), "{operation}");
        assert!(described["responses"].as_object().is_some_and(|answers| !answers.is_empty()), "{operation}");
        let in_path: BTreeSet<&str> =
            operation.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        let parameters = described["parameters"].as_array().cloned().unwrap_or_default();
        let told: BTreeSet<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert_eq!(told, in_path, "{operation}");
    }
}

#[test]
fn what_needs_a_credential_says_so() {
    let document = document();
    let open: BTreeSet<String> = mounted()
        .into_iter()
        .filter(|route| route.action == muster_app::Action::Public)
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    for (operation, described) in operations(&document) {
        let asks = described["security"].as_array().is_some_and(|ways| {
            !ways.is_empty() && ways.iter().all(|way| way.as_object().is_some_and(|way| !way.is_empty()))
        });
        assert_eq!(asks, !open.contains(&operation), "{operation}: {}", described["security"]);
    }
}
