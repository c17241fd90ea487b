//! What holds for each entry of the list of doors, whatever it does.

use muster_doors::{Evidence, METHODS};
use serde_json::json;

#[test]
fn every_door_has_a_name_a_sentence_and_a_schema() {
    for method in METHODS {
        assert!(method.method.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", method.method);
        assert!(method.summary.ends_with('.') && method.usage.starts_with("muster "), "{}", method.method);
        let schema = (method.schema)();
        assert_eq!((&schema["type"], &schema["additionalProperties"]), (&json!("object"), &json!(false)));
    }
}

#[test]
fn every_door_has_a_name_of_its_own() {
    let mut names: Vec<&str> = METHODS.iter().map(|method| method.method).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), METHODS.len());
}

#[test]
fn q_22_every_door_refuses_unknown_fields() {
    for method in METHODS {
        let evidence = json!({"tenant_id": 1, "role": "admin"});
        let parsed = Evidence::parse(method.method, &evidence).expect("it is in the list");
        assert!(parsed.is_err(), "{}", method.method);
    }
}

#[test]
fn every_door_takes_odd_json_without_panic() {
    let odd = [
        json!(null),
        json!(1),
        json!([]),
        json!("x"),
        json!({"token": 1}),
        json!({"site": []}),
        json!({"token": "\u{0}"}),
    ];
    for method in METHODS {
        for evidence in &odd {
            assert!(
                Evidence::parse(method.method, evidence).expect("it is in the list").is_err(),
                "{evidence}"
            );
        }
    }
}

#[test]
fn a_door_that_is_not_in_the_list_is_no_door() {
    assert!(Evidence::parse("password", &json!({})).is_none());
}
