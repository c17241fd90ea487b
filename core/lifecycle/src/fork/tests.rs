use std::collections::BTreeSet;

use muster_model::{MachineState, SuspendCause, Suspended};
use proptest::prelude::*;

use super::*;
use crate::plan::Change;
use crate::tests::fixtures::*;

const ONE: Boot = [1; 16];
const TWO: Boot = [2; 16];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time in range")
}

/// The boot of this number.
fn boot(n: i64) -> Boot {
    [n.to_be_bytes(), n.to_be_bytes()].concat().try_into().expect("sixteen")
}

fn begun(heard: Heard) -> Boots {
    let (Heard::Began(boots) | Heard::Crowded(boots)) = heard else { panic!("{heard:?}") };
    boots
}

/// Boots that follow each other, each at its second.
fn lives(boots: &[(Boot, i64)]) -> Boots {
    let ((first, _), others) = boots.split_first().expect("one at least");
    others.iter().fold(Boots::first(*first), |known, (boot, second)| {
        begun(known.hear(Some(*boot), false, at(*second)))
    })
}

#[test]
fn an_agent_that_is_started_again_is_no_alarm() {
    let mut known = Boots::first(boot(0));
    for n in 1..200 {
        let Heard::Began(boots) = known.hear(Some(boot(n)), false, at(n * 1_400)) else { panic!("{n}") };
        assert_eq!(boots.hear(Some(boot(n)), false, at(n * 1_400)), Heard::Known);
        known = boots;
    }
    assert_eq!(known.earlier.len(), MOST);
}

#[test]
fn no_life_is_forgotten_without_a_word_at_whatever_pace_others_begin() {
    for pace in [10, 57, 600, 1_300] {
        let mut known = Boots::first(boot(0));
        let mut told = false;
        for n in 1..200 {
            let heard = known.hear(Some(boot(n)), false, at(n * pace));
            told |= matches!(heard, Heard::Crowded(_));
            if heard != Heard::Known {
                known = begun(heard);
            }
        }
        assert!(told, "one each {pace} s");
    }
}

#[test]
fn no_earlier_life_is_pushed_out_in_a_moment_by_many_others() {
    let mut known = lives(&[(ONE, 0), (TWO, 100)]);
    let mut written = 0;
    for n in 0..1_000 {
        if let Heard::Began(boots) = known.hear(Some(boot(n)), false, at(200)) {
            (known, written) = (boots, written + 1);
        }
    }
    assert_eq!(written, WRITTEN, "and the others cost no write");
    assert_eq!(known.hear(Some(ONE), false, at(261)), Heard::Forked(Evidence::EarlierBoot));
}

#[test]
fn what_an_earlier_life_has_said_may_come_late_but_not_later() {
    let known = lives(&[(ONE, 0), (TWO, 100)]);
    assert_eq!(known.hear(Some(ONE), false, at(160)), Heard::Known);
    assert_eq!(known.hear(Some(ONE), false, at(90)), Heard::Known, "by a clock that is behind");
    assert_eq!(known.hear(Some(ONE), false, at(161)), Heard::Forked(Evidence::EarlierBoot));
}

#[test]
fn what_was_counted_twice_in_one_life_is_evidence_and_so_is_no_life_at_all() {
    let known = Boots::first(ONE);
    assert_eq!(known.hear(Some(ONE), true, at(5)), Heard::Forked(Evidence::Counter));
    assert!(matches!(known.hear(Some(TWO), true, at(5)), Heard::Began(_)), "another life counts anew");
    assert_eq!(known.hear(None, false, at(5)), Heard::Forked(Evidence::BootMissing));
}

fn facts(state: MachineState, boots: Boots) -> Facts {
    Facts { machine: Some(Machine { state, ..machine(1) }), accounts: Vec::new(), boots: Some(boots) }
}

fn heard(facts: Facts, boot: Boot, on_copy: OnCopy) -> Plan<()> {
    let said = Said { key: key(1), boot: Some(boot), repeated: boot == ONE };
    hear(facts, said, &watch(on_copy), &by_operator())
}

fn machine_of<O>(plan: &Plan<O>) -> &Machine {
    let mut machines = plan.changes().iter().filter_map(|change| match change {
        Change::Machine(MachineChange::Update(machine)) => Some(machine),
        _ => None,
    });
    machines.next_back().expect("its record is written")
}

#[test]
fn a_copy_is_told_and_by_policy_the_machine_is_paused_and_nothing_ends() {
    let told = heard(facts(active(), Boots::first(ONE)), ONE, OnCopy::Alarm);
    let alarm = Some(Alarm { at: by_operator().now, evidence: Evidence::Counter });
    assert_eq!((rows(&told), machine_of(&told).alarm), (vec!["machine active".to_owned()], alarm));
    let entry = &told.entries()[0];
    assert_eq!((entry.action, entry.reason.0), ("machine.forked", "alarm"));
    assert!(entry.detail.contains(&("cause", "counter".to_owned())));

    let paused = heard(facts(active(), Boots::first(ONE)), ONE, OnCopy::Quarantine);
    assert_eq!(paused.entries().len(), 1);
    let quarantined = Suspended { since: by_operator().now, cause: SuspendCause::Quarantine };
    assert_eq!(machine_of(&paused).state, MachineState::Suspended(quarantined));
    assert!(paused.entries()[0].detail.contains(&("name", "machine-1".to_owned())));
}

#[test]
fn a_machine_that_is_paused_for_another_reason_stays_so_for_that() {
    let state = suspended(SuspendCause::Operator(None));
    let told = heard(facts(state.clone(), Boots::first(ONE)), ONE, OnCopy::Quarantine);
    assert_eq!(machine_of(&told).state, state, "the alarm alone");
}

fn raised(machine: &Machine, evidence: Evidence, on_copy: OnCopy, second: i64) -> Plan<()> {
    let context = Context { now: at(second), ..by_operator() };
    let sign = Sign { evidence, key: key(1), is_present: true };
    raise(Plan::unchanged(()), sign, machine.clone(), &[], &watch(on_copy), &context)
}

#[test]
fn a_sign_is_told_once_an_hour_and_one_that_shows_two_beside_one_that_does_not() {
    let (mut machine, mut told) = (machine(1), Vec::new());
    for second in (0..8_000).step_by(10) {
        // Whoever has an old image of a disk does not drown what shows two.
        let evidence = if second < 600 { Evidence::SupersededKey } else { Evidence::EarlierBoot };
        for evidence in [Evidence::SupersededKey, evidence] {
            let plan = raised(&machine, evidence, OnCopy::Alarm, second);
            if !plan.is_unchanged() {
                told.push((second, evidence));
                machine = machine_of(&plan).clone();
            }
        }
    }
    let [old, two] = [Evidence::SupersededKey, Evidence::EarlierBoot];
    assert_eq!(told, [(0, old), (600, two), (4_200, old), (4_200, two), (7_800, old), (7_800, two)]);
}

#[test]
fn what_is_resumed_and_copied_still_is_paused_again_at_once() {
    let paused = machine_of(&raised(&machine(1), Evidence::Counter, OnCopy::Quarantine, 0)).clone();
    let resumed = Machine { state: active(), ..paused };
    let again = machine_of(&raised(&resumed, Evidence::Counter, OnCopy::Quarantine, 60)).clone();
    assert_eq!(again.state.as_str(), "suspended");
    assert!(raised(&again, Evidence::Counter, OnCopy::Quarantine, 120).is_unchanged());
}

#[test]
fn what_an_old_image_of_a_disk_brings_about_by_itself_never_pauses() {
    for evidence in Evidence::ALL {
        let plan = raised(&machine(1), evidence, OnCopy::Quarantine, 0);
        let is_paused = machine_of(&plan).state.as_str() == "suspended";
        assert_eq!(is_paused, evidence.shows_two(), "{evidence:?}");
    }
    let superseded = Evidence::SupersededKey;
    let shown = outlived(Some(machine(1)), key(9), superseded, &watch(OnCopy::Quarantine), &by_operator());
    assert_eq!((machine_of(&shown).state.as_str(), shown.entries().len()), ("active", 1));
    // A key that is not the present one shows nothing of who has that.
    let other = Facts {
        machine: Some(Machine { key: Some(key(2)), ..machine(1) }),
        ..facts(active(), Boots::first(ONE))
    };
    let plan = heard(other, ONE, OnCopy::Quarantine);
    assert_eq!(machine_of(&plan).state.as_str(), "active");
}

#[test]
fn the_first_life_and_the_next_one_are_noted_and_the_same_again_is_not() {
    let first = heard(Facts { boots: None, ..facts(active(), Boots::first(ONE)) }, TWO, OnCopy::Quarantine);
    assert_eq!((first.entries()[0].action, first.changes().len()), ("machine.boot", 1));
    let next = heard(facts(active(), Boots::first(ONE)), TWO, OnCopy::Quarantine);
    assert_eq!((next.entries()[0].action, next.changes().len()), ("machine.boot", 1));
    assert!(heard(facts(active(), Boots::first(TWO)), TWO, OnCopy::Quarantine).is_unchanged());
    let nobody = Facts { machine: None, ..facts(active(), Boots::first(ONE)) };
    assert!(heard(nobody, TWO, OnCopy::Alarm).is_unchanged());
    let silent = Said { key: key(1), boot: None, repeated: false };
    let unheard = Facts { boots: None, ..facts(active(), Boots::first(ONE)) };
    assert!(hear(unheard, silent, &watch(OnCopy::Alarm), &by_operator()).is_unchanged(), "it has no lives");
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
