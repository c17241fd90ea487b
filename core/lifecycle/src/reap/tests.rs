use muster_model::Account;

use super::*;
use crate::tests::fixtures::{
    DAY, HOUR, active, ago, by_operator, known, machine, now, retired, suspended, told,
};

const PATIENCE: Patience =
    Patience { silence: SignedDuration::from_hours(90 * 24), retire_after: Some(DAY_30) };
const DAY_30: SignedDuration = SignedDuration::from_hours(30 * 24);
const TICK: SignedDuration = SignedDuration::from_mins(5);

/// A server that looks every five minutes, and a fleet that it watches. Its clock is what the test makes of it.
struct Watch {
    now: Timestamp,
    stretches: Vec<Watched>,
    fleet: Vec<(Machine, Presence)>,
}

impl Watch {
    fn of(count: u8) -> Self {
        let silent = Presence { last_seen: Some(now()), online: true };
        let since = |n| Machine {
            enrolled_at: Some(now()),
            state: MachineState::Active(muster_model::Active { since: now() }),
            ..machine(n)
        };
        Self { now: now(), stretches: Vec::new(), fleet: (0..count).map(|n| (since(n), silent)).collect() }
    }

    /// Time passes, and the server looks all the while. It asks for a run once a day, and counts whom that takes.
    fn watches(&mut self, span: SignedDuration) -> (usize, usize) {
        let end = self.now + span;
        let (mut taken, mut alarms, mut ticks) = (0, 0, 0);
        while self.now < end {
            self.now += TICK;
            self.look();
            ticks += 1;
            if ticks % 288 == 0 {
                match self.run() {
                    Run::Take(due) => taken += self.take(due),
                    Run::Alarm { .. } => alarms += 1,
                }
            }
        }
        (taken, alarms)
    }

    fn look(&mut self) {
        let last = self.stretches.last().copied();
        let next = watched(last, self.now);
        match self.stretches.last_mut().filter(|last| last.began == next.began) {
            Some(last) => *last = next,
            None => self.stretches.push(next),
        }
        let now = self.now;
        for (_, presence) in self.fleet.iter_mut().filter(|(_, presence)| presence.online) {
            presence.last_seen = Some(now);
        }
    }

    fn run(&self) -> Run {
        let at = (self.stretches.as_slice(), self.now);
        let is_due = |(machine, presence): &(Machine, Presence)| {
            let heard = last_heard(machine, *presence, None);
            due(machine, *presence, heard, PATIENCE, at)
                .map(|what| (machine.id, what, heard.unwrap_or(self.now)))
        };
        let lately = self.fleet.iter().filter(|(machine, _)| is_creeping(machine, self.now)).count();
        let live =
            self.fleet.iter().filter(|(machine, _)| !matches!(machine.state, MachineState::Retired(_)));
        run(self.fleet.iter().filter_map(is_due).collect(), lately as u64, live.count() as u64)
    }

    fn take(&mut self, due: Vec<(MachineId, Due)>) -> usize {
        for (id, what) in &due {
            let (machine, _) =
                self.fleet.iter_mut().find(|(machine, _)| machine.id == *id).expect("it is there");
            let state = machine.state.clone();
            machine.state = match what {
                Due::Pause => state.silenced(self.now).expect("it is active"),
                Due::Retire => state.retired(self.now, RetireCause::Silent).expect("it is paused"),
            };
        }
        due.len()
    }

    fn falls_silent(&mut self, machines: std::ops::Range<usize>) {
        for (_, presence) in &mut self.fleet[machines] {
            presence.online = false;
        }
    }
}

#[test]
fn one_that_stays_silent_is_paused_first_and_ended_later() {
    let mut watch = Watch::of(30);
    watch.falls_silent(0..1);
    assert_eq!(watch.watches(DAY * 89), (0, 0));
    assert_eq!(watch.watches(DAY * 2), (1, 0));
    assert!(
        matches!(&watch.fleet[0].0.state, MachineState::Suspended(one) if one.cause == SuspendCause::Silent)
    );
    assert_eq!(watch.watches(DAY * 28), (0, 0));
    assert_eq!(watch.watches(DAY * 3), (1, 0));
    assert!(matches!(watch.fleet[0].0.state, MachineState::Retired(_)));
}

#[test]
fn q_16_time_in_which_the_server_was_down_is_nobodys_silence() {
    let mut watch = Watch::of(30);
    watch.watches(DAY);
    watch.falls_silent(0..30);
    watch.now += DAY * 300;
    assert_eq!(watch.watches(DAY * 80), (0, 0), "the server was down, and watched for eighty days since");
}

#[test]
fn q_16_a_clock_that_jumps_a_year_ahead_or_back_reaps_nobody() {
    for jump in [DAY * 365, -DAY * 365, DAY, -DAY] {
        let mut watch = Watch::of(30);
        watch.watches(DAY * 5);
        watch.falls_silent(0..30);
        watch.now = watch.now.checked_add(jump).expect("in range");
        assert_eq!(watch.watches(DAY * 30), (0, 0), "jumped by {jump:?}");
        watch.now = watch.now.checked_sub(jump).expect("in range");
        assert_eq!(watch.watches(DAY * 30), (0, 0), "and back again");
    }
}

#[test]
fn q_15_an_outage_of_the_whole_fleet_reaps_nobody_and_alarms_however_small_the_fleet() {
    for count in [1, 2, 8, 30, 250] {
        let mut watch = Watch::of(count);
        watch.falls_silent(0..usize::from(count));
        let (taken, alarms) = watch.watches(DAY * 100);
        assert_eq!(taken, 0, "of {count}");
        assert!(alarms > 0, "of {count}");
        let before: Vec<_> = watch.fleet.iter().map(|(machine, _)| machine.state.clone()).collect();
        assert!(before.iter().all(|state| matches!(state, MachineState::Active(_))));
    }
}

#[test]
fn a_run_takes_ten_or_one_in_a_hundred_and_nobody_where_more_than_one_in_twenty_is_due() {
    let due = |count: u16| -> Vec<_> {
        (0..count).map(|n| (MachineId::new(u64::from(n), [1; 10]), Due::Pause, now())).collect()
    };
    let taken = |due: Vec<_>, lately, fleet| match run(due, lately, fleet) {
        Run::Take(taken) => Some(taken.len()),
        Run::Alarm { .. } => None,
    };
    assert_eq!(taken(due(0), 0, 0), Some(0));
    assert_eq!(taken(due(1), 0, 8), Some(1), "one alone is no outage");
    assert_eq!(taken(due(2), 0, 8), None);
    assert_eq!(taken(due(12), 0, 240), Some(10));
    assert_eq!(taken(due(13), 0, 240), None);
    assert_eq!(taken(due(50), 0, 10_000), Some(50));
    assert_eq!(taken(due(500), 0, 10_000), Some(100));
    assert_eq!(taken(due(501), 0, 10_000), None);
    assert_eq!(taken(due(100), 401, 10_000), None, "a fault that creeps is a fault");
}

#[test]
fn no_time_counts_twice_and_none_outside_of_what_was_watched() {
    let at = |hour: i64| now() + HOUR * i32::try_from(hour).expect("small");
    let stretch = |began, until| Watched { began: at(began), until: at(until) };
    let stretches = [stretch(0, 4), stretch(10, 12), stretch(3, 6), stretch(20, 30)];
    assert_eq!(silence(&stretches, at(0), at(25)), HOUR * 13);
    assert_eq!(silence(&stretches, at(5), at(11)), HOUR * 2);
    assert_eq!(silence(&stretches, at(40), at(50)), SignedDuration::ZERO);
    assert_eq!(silence(&[], at(0), at(50)), SignedDuration::ZERO);
}

#[test]
fn whom_an_operator_paused_and_who_is_online_is_left_alone() {
    let watched = [Watched { began: ago(DAY * 400), until: now() }];
    let at = (watched.as_slice(), now());
    let gone = Presence { last_seen: Some(ago(DAY * 300)), online: false };
    let is_due = |state: MachineState, presence| {
        let machine = Machine { state, ..machine(1) };
        due(&machine, presence, Some(ago(DAY * 300)), PATIENCE, at)
    };
    assert_eq!(is_due(active(), gone), Some(Due::Pause));
    assert_eq!(is_due(active(), Presence { online: true, ..gone }), None);
    for state in [suspended(SuspendCause::Operator(None)), suspended(SuspendCause::Revoked(None)), retired()]
    {
        assert_eq!(is_due(state, gone), None);
    }
    let silent = MachineState::Suspended(Suspended { since: ago(DAY * 31), cause: SuspendCause::Silent });
    assert_eq!(is_due(silent, gone), Some(Due::Retire));
    let never = Patience { retire_after: None, ..PATIENCE };
    let silent = Machine { state: suspended(SuspendCause::Silent), ..machine(1) };
    assert_eq!(due(&silent, gone, Some(ago(DAY * 300)), never, at), None);
}

fn reaped(state: MachineState) -> Facts {
    let machine = Machine { state, ..machine(1) };
    let credentials = known(machine.clone(), None).credentials;
    Facts { machine: Some(machine), credentials, accounts: Vec::<Account>::new(), ..Facts::default() }
}

#[test]
fn a_reaping_ends_neither_key_nor_credential_and_is_undone_for_thirty_days() {
    let plan =
        reap(reaped(suspended(SuspendCause::Silent)), Due::Retire, true, &by_operator()).expect("paused");
    assert_eq!((plan.changes().len(), told(&plan)), (1, ("machine.retire", "retired")), "the record alone");
    assert!(reap(reaped(active()), Due::Pause, false, &by_operator()).expect("heard").is_unchanged());
    let ended = |since| MachineState::Retired(Retired { since, cause: RetireCause::Silent, readmit: None });
    let back = restore(reaped(ended(ago(DAY * 30))), None, None, &by_operator()).expect("in time");
    assert!(matches!(back.outcome().state, MachineState::Active(_)));
    assert_eq!(told(&back).0, "machine.restore");
    let refused = |facts, other: Option<&Machine>| restore(facts, other, None, &by_operator()).err();
    let wrong = |state| Some(Refusal::WrongState { verb: "restore", state });
    assert_eq!(refused(reaped(ended(ago(DAY * 30 + HOUR))), None), wrong("too_old"));
    assert_eq!(refused(reaped(ended(ago(DAY))), Some(&machine(2))), wrong("replaced"));
    assert_eq!(refused(reaped(retired()), None), wrong("retired"), "an operator ended it");
    assert_eq!(refused(reaped(suspended(SuspendCause::Operator(None))), None), wrong("suspended"));
}
