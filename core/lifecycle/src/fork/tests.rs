use std::collections::BTreeSet;

use muster_model::{MachineState, SuspendCause, Suspended};
use proptest::prelude::*;

use super::*;
use crate::plan::{Change, MachineChange};
use crate::tests::fixtures::*;

const ONE: Boot = [1; 16];
const TWO: Boot = [2; 16];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time in range")
}

/// Boots that follow each other, each at its second.
fn lives(boots: &[(Boot, i64)]) -> Boots {
    let ((first, _), others) = boots.split_first().expect("one at least");
    others.iter().fold(Boots::first(*first), |known, (boot, second)| known.followed_by(*boot, at(*second)))
}

#[test]
fn an_agent_that_is_started_again_is_no_alarm_however_often() {
    let mut known = Boots::first([0; 16]);
    for n in 1..100 {
        let Heard::Began(boots) = known.hear([n; 16], false, at(i64::from(n))) else { panic!("{n}") };
        assert_eq!(boots.hear([n; 16], false, at(i64::from(n))), Heard::Known);
        known = boots;
    }
    assert_eq!(known.earlier.len(), MOST);
}

#[test]
fn what_an_earlier_life_has_said_may_come_late_but_not_later() {
    let known = lives(&[(ONE, 0), (TWO, 100)]);
    assert_eq!(known.hear(ONE, false, at(160)), Heard::Known);
    assert_eq!(known.hear(ONE, false, at(90)), Heard::Known, "by a clock that is behind");
    let Heard::Forked(told, Evidence::EarlierBoot) = known.hear(ONE, false, at(161)) else {
        panic!("a copy")
    };
    assert_eq!(told, Boots { alarmed_at: Some(at(161)), ..known });
}

#[test]
fn two_that_come_in_turn_are_told_once_an_hour() {
    let mut known = lives(&[(ONE, 0), (TWO, 100)]);
    let mut told = Vec::new();
    for second in (160..8_000).step_by(10) {
        let boot = if second % 20 == 0 { ONE } else { TWO };
        match known.hear(boot, false, at(second)) {
            Heard::Forked(boots, _) => {
                told.push(second);
                known = boots;
            }
            heard => assert_eq!(heard, Heard::Known),
        }
    }
    assert_eq!(told, [180, 3_780, 7_380]);
}

#[test]
fn what_was_counted_twice_in_one_life_is_evidence() {
    let known = Boots::first(ONE);
    assert!(matches!(known.hear(ONE, true, at(5)), Heard::Forked(_, Evidence::Counter)));
    assert!(matches!(known.hear(TWO, true, at(5)), Heard::Began(_)), "another life counts anew");
}

fn facts(state: MachineState, boots: Boots) -> Facts {
    Facts { machine: Some(Machine { state, ..machine(1) }), accounts: Vec::new(), boots: Some(boots) }
}

fn heard(facts: Facts, boot: Boot, policy: OnCopy) -> Plan<Option<Evidence>> {
    hear(facts, Said { key: key(1), boot, repeated: boot == ONE }, policy, &by_operator())
}

#[test]
fn a_copy_is_told_and_by_policy_the_machine_is_paused_and_nothing_ends() {
    let told = heard(facts(active(), Boots::first(ONE)), ONE, OnCopy::Alarm);
    assert_eq!((told.outcome(), told.changes().len()), (&Some(Evidence::Counter), 1));
    let entry = &told.entries()[0];
    assert_eq!((entry.action, entry.reason.0), ("machine.forked", "alarm"));
    assert!(entry.detail.contains(&("cause", "counter".to_owned())));

    let paused = heard(facts(active(), Boots::first(ONE)), ONE, OnCopy::Quarantine);
    assert_eq!(paused.entries().len(), 1);
    let [_, Change::Machine(MachineChange::Update(machine))] = paused.changes() else {
        panic!("{:?}", paused.changes())
    };
    let quarantined = Suspended { since: by_operator().now, cause: SuspendCause::Quarantine };
    assert_eq!(machine.state, MachineState::Suspended(quarantined));
}

#[test]
fn a_machine_that_is_paused_for_another_reason_stays_so_for_that() {
    let state = suspended(SuspendCause::Operator(None));
    let told = heard(facts(state, Boots::first(ONE)), ONE, OnCopy::Quarantine);
    assert_eq!(told.changes().len(), 1, "the alarm alone");
}

#[test]
fn the_first_life_and_the_next_one_are_noted_and_the_same_again_is_not() {
    let first = heard(Facts { boots: None, ..facts(active(), Boots::first(ONE)) }, TWO, OnCopy::Quarantine);
    assert_eq!((first.entries()[0].action, first.changes().len()), ("machine.boot", 1));
    let next = heard(facts(active(), Boots::first(ONE)), TWO, OnCopy::Quarantine);
    assert_eq!((next.outcome(), next.changes().len()), (&None, 1));
    assert!(heard(facts(active(), Boots::first(TWO)), TWO, OnCopy::Quarantine).is_unchanged());
    assert!(
        heard(Facts { machine: None, ..facts(active(), Boots::first(ONE)) }, TWO, OnCopy::Alarm)
            .is_unchanged()
    );
}

proptest! {
    /// Against a set of everything that was taken.
    #[test]
    fn a_window_takes_each_number_once_and_only_forgets_what_is_old(
        first in 0u64..1_000, steps in prop::collection::vec(-80i64..80, 1..200),
    ) {
        let (mut window, mut taken, mut highest) = (Window::first(first), BTreeSet::from([first]), first);
        for step in steps {
            let number = highest.saturating_add_signed(step);
            let is_new = number + 64 > highest && !taken.contains(&number);
            prop_assert_eq!(window.take(number), is_new, "{} with {} the highest", number, highest);
            taken.insert(number);
            highest = highest.max(number);
        }
    }

    /// However far ahead a number is, what comes after it is told right.
    #[test]
    fn a_window_may_leap(ahead in any::<u64>()) {
        let mut window = Window::first(0);
        prop_assert_eq!(window.take(ahead), ahead > 0);
        prop_assert!(!window.take(ahead));
    }
}
