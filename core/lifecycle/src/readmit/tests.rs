use muster_model::{Machine, MachineState, Refusal, RetireCause, Retired};

use super::*;
use crate::tests::fixtures::{DAY, by_operator, machine, now, retired, told};

fn tombstone() -> Machine {
    Machine { state: retired(), ..machine(1) }
}

fn permitted(machine: Machine) -> Result<Plan<Machine>, Refusal> {
    permit(Some(machine), Some(&tombstone()), now() + DAY, None, &by_operator())
}

#[test]
fn a_permit_is_told_and_one_that_lasts_as_long_is_the_same() {
    let plan = permitted(tombstone()).expect("it is retired");
    assert_eq!(told(&plan), ("machine.readmit", "permitted"));
    let permit = plan.outcome().clone();
    assert!(permit.state.may_return(now()) && !permit.state.may_return(now() + DAY));
    assert!(permitted(permit).expect("it may").is_unchanged());
}

#[test]
fn what_lives_what_has_no_hardware_and_what_was_replaced_is_not_readmitted() {
    let wrong = |state| Some(Refusal::WrongState { verb: "readmit", state });
    assert_eq!(permitted(machine(1)).err(), wrong("active"));
    assert_eq!(permitted(Machine { hardware_id: None, ..tombstone() }).err(), wrong("without_hardware"));
    assert_eq!(permitted(Machine { id: machine(2).id, ..tombstone() }).err(), wrong("replaced"));
    let silent = Retired { since: now(), cause: RetireCause::Silent, readmit: None };
    assert!(permitted(Machine { state: MachineState::Retired(silent), ..tombstone() }).is_ok());
}
