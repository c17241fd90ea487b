use muster_model::{
    Counted, Credential, HoldReason, Machine, MachineState, ReimagePolicy, RetireCause, SuspendCause,
};

use super::counted;
use crate::enroll::Outcome;
use crate::tests::fixtures::*;
use crate::{Plan, hold, machine as verbs};

fn of<O>(plan: &Plan<O>) -> (u64, u64) {
    let Counted { enrolled, refused, ended } = counted(plan.changes(), now());
    assert_eq!(refused, 0, "a refusal leaves no change");
    (enrolled, ended)
}

fn standing(state: MachineState) -> verbs::Facts {
    let machine = Machine { state, ..machine(1) };
    let credentials: Vec<Credential> = known(machine.clone(), None).credentials;
    verbs::Facts { machine: Some(machine), credentials, ..verbs::Facts::default() }
}

#[test]
fn who_is_let_in_counts_once_and_the_same_again_does_not() {
    let mut scene = Scene::new();
    let plan = scene.plan();
    assert_eq!(of(&plan), (1, 0));
    let Outcome::Enrolled { machine, .. } = plan.outcome().clone() else { panic!("{plan:?}") };
    let record = key_record(2, &machine, muster_model::KeyStanding::Current);
    scene.facts.by_key = Some(known(*machine, Some(record)));
    assert!(enrolled(&scene.plan()).2);
    assert_eq!(of(&scene.plan()), (0, 0));
}

#[test]
fn who_comes_back_under_another_key_counts_and_being_confirmed_does_not() {
    let mut scene = Scene::new().on_hardware_of(known(machine(1), None));
    scene.site().reimage = ReimagePolicy::OfflineOnly;
    let plan = scene.plan();
    assert_eq!((told(&plan).0, of(&plan)), ("machine.rejoin", (1, 0)));
    let probation = standing(suspended(SuspendCause::Probation));
    let resumed = verbs::resume(probation, None, &by_operator()).expect("it may");
    assert_eq!(of(&resumed), (0, 0));
}

#[test]
fn a_machine_that_vouches_for_its_next_key_was_in_before() {
    let mut scene = Scene::new().on_hardware_of(known(machine(1), None));
    scene.request.vouched_by = Some(key(1));
    scene.facts.by_previous = Some(by_key(1));
    let plan = scene.plan();
    assert_eq!((told(&plan).0, of(&plan)), ("machine.rekey", (0, 0)));
}

#[test]
fn who_is_approved_counts_where_it_is_decided() {
    let facts = hold::Facts {
        hold: Some(hold(HoldReason::Approval, None)),
        site: Some(site(1)),
        grant: Some(grant(9)),
        ..hold::Facts::default()
    };
    let plan = hold::approve(facts, None, machine_id(200), &[], &by_operator()).expect("it fits");
    assert_eq!(of(&plan), (1, 0));
}

#[test]
fn an_end_counts_and_a_pause_does_not() {
    let retire = |cause| verbs::retire(standing(active()), cause, &by_operator()).expect("it may");
    assert_eq!(of(&retire(RetireCause::Operator(None))), (0, 1));
    assert_eq!(of(&retire(RetireCause::Left)), (0, 1));
    let ended = verbs::retire(standing(retired()), RetireCause::Left, &by_operator()).expect("it is over");
    assert_eq!(of(&ended), (0, 0));
    let paused = verbs::suspend(standing(active()), None, &by_operator()).expect("it may");
    assert_eq!(of(&paused), (0, 0));
}
