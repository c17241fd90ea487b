use super::*;
use crate::tests::fixtures::*;

const MARK: Mark = Mark { key: [1; 32], request: [2; 32] };

fn made() -> Plan<muster_model::Site> {
    crate::site::create(site(1), None, &by_operator()).expect("the code is free")
}

fn remembered() -> Remembered {
    let plan = remember(made(), Some(&MARK), "ste_1".into(), &by_operator());
    match plan.changes().last() {
        Some(crate::Change::Memory(MemoryChange::Request(remembered))) => remembered.clone(),
        other => panic!("not remembered: {other:?}"),
    }
}

#[test]
fn a_marked_request_is_remembered_in_the_plan_that_carries_it_out() {
    let plan = remember(made(), Some(&MARK), "ste_1".into(), &by_operator());
    assert_eq!(rows(&plan), ["site made", "request remembered"]);
    assert_eq!((remembered().object.as_str(), remembered().at), ("ste_1", now()));
}

#[test]
fn an_unmarked_request_and_one_that_changed_nothing_are_not_remembered() {
    assert_eq!(remember(made(), None, "ste_1".into(), &by_operator()), made());
    let nothing = Plan::unchanged(());
    assert!(remember(nothing, Some(&MARK), "ste_1".into(), &by_operator()).is_unchanged());
}

#[test]
fn the_same_request_gets_the_same_object_and_another_one_under_that_key_is_refused() {
    let known = remembered();
    assert_eq!(earlier(Some(&MARK), Some(&known)), Ok(Some("ste_1")));
    let other = Mark { request: [3; 32], ..MARK };
    assert_eq!(earlier(Some(&other), Some(&known)), Err(Refusal::IdempotencyMismatch));
    assert_eq!(earlier(Some(&MARK), None), Ok(None));
    assert_eq!(earlier(None, Some(&known)), Ok(None));
}
