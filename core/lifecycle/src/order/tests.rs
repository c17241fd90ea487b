use muster_model::KeyStanding;

use super::*;
use crate::tests::fixtures::*;

fn facts(machine: Machine) -> Facts {
    let keys = vec![key_record(1, &machine, KeyStanding::Current)];
    Facts { machine: Some(machine), keys, ..Facts::default() }
}

fn standing(state: MachineState) -> Facts {
    facts(Machine { state, ..machine(1) })
}

fn order(order: MachineOrder) -> Change {
    MachineChange::Order { machine: machine_id(1), order }.into()
}

#[test]
fn a_machine_with_a_key_that_counts_is_told_to_renew_and_nothing_of_it_changes() {
    for state in [active(), suspended(SuspendCause::Operator(None))] {
        let plan = renewal(standing(state), &by_operator()).expect("it has a key");
        assert_eq!((plan.changes(), plan.entries().len()), (&[order(MachineOrder::Renew)][..], 1));
    }
}

#[test]
fn an_order_to_rotate_is_kept_with_the_key_that_is_to_be_replaced() {
    let context = by_operator();
    let plan = rotation(standing(active()), &context).expect("it has a key");
    let kept = KeyChange::Order { key: key(1), at: context.now }.into();
    assert_eq!(plan.changes(), [kept, order(MachineOrder::Rotate)]);
    let mut ordered = standing(active());
    ordered.keys[0].ordered_at = Some(context.now);
    let again = rotation(ordered, &context).expect("it has a key");
    assert_eq!(
        again.changes(),
        [order(MachineOrder::Rotate)],
        "it is told again, and the first order stands"
    );
    assert_eq!(again.entries()[0].reason.0, "again");
}

#[test]
fn a_machine_without_a_key_that_works_is_told_nothing() {
    type Ordered = fn(Facts, &Context) -> Result<Plan<Machine>, Refusal>;
    let orders: [(&str, Ordered); 2] = [("renew", renewal), ("rotate", rotation)];
    for (verb, decide) in orders {
        let refused = |facts| decide(facts, &by_operator()).expect_err("it cannot");
        let revoked = suspended(SuspendCause::Revoked(None));
        for (state, named) in [(revoked, "revoked"), (retired(), "retired"), (pending(1).state, "pending")] {
            assert_eq!(refused(standing(state)), Refusal::WrongState { verb, state: named });
        }
        let keyless = facts(Machine { key: None, ..machine(1) });
        assert_eq!(refused(keyless), Refusal::WrongState { verb, state: "keyless" });
        assert_eq!(refused(Facts::default()), Refusal::NotFound { what: "machine" });
    }
}
