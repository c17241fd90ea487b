use muster_model::{Account, Refusal, RetireCause, Retired, UNDONE_FOR};

use super::*;
use crate::machine::Facts;
use crate::tests::fixtures::{
    DAY, HOUR, active, ago, by_operator, known, machine, now, retired, suspended, told,
};

const PATIENCE: Patience =
    Patience { pause_after: Some(SignedDuration::from_hours(90 * 24)), retire_after: Some(DAY_30) };
const DAY_30: SignedDuration = SignedDuration::from_hours(30 * 24);
const TICK: SignedDuration = SignedDuration::from_mins(5);

/// A machine that came long ago.
fn old() -> Machine {
    Machine { enrolled_at: Some(ago(DAY * 400)), ..machine(1) }
}

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
        let next = watched(&self.stretches, self.now);
        match self.stretches.iter_mut().find(|known| known.began == next.began) {
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
            let traces = Traces { presence: *presence, issued: None };
            due(machine, traces, PATIENCE, at).map(|(what, heard)| (machine.id, what, heard))
        };
        let is_creeping = |machine: &Machine| {
            machine.state.is_silenced() && self.now.duration_since(machine.state.since()) < CREEPING
        };
        let lately = self.fleet.iter().filter(|(machine, _)| is_creeping(machine)).count();
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
        let machine = Machine { state, ..old() };
        due(&machine, Traces { presence, issued: None }, PATIENCE, at).map(|(what, _)| what)
    };
    let long = || MachineState::Active(muster_model::Active { since: ago(DAY * 300) });
    assert_eq!(is_due(long(), gone), Some(Due::Pause));
    assert_eq!(is_due(active(), gone), None, "an operator resumed it a moment ago");
    assert_eq!(is_due(long(), Presence { online: true, ..gone }), None);
    for state in [suspended(SuspendCause::Operator(None)), suspended(SuspendCause::Revoked(None)), retired()]
    {
        assert_eq!(is_due(state, gone), None);
    }
    let silent = MachineState::Suspended(Suspended { since: ago(DAY * 31), cause: SuspendCause::Silent });
    assert_eq!(is_due(silent, gone), Some(Due::Retire));
    let never = Patience { retire_after: None, ..PATIENCE };
    let silent = Machine { state: suspended(SuspendCause::Silent), ..old() };
    let traces = Traces { presence: gone, issued: None };
    assert_eq!(due(&silent, traces, never, at), None);
    let off = Patience { pause_after: None, ..PATIENCE };
    assert_eq!(due(&silent, traces, off, at), None, "whoever pauses nobody ends nobody");
}

fn reaped(state: MachineState) -> Facts {
    let machine = Machine { state, ..old() };
    let credentials = known(machine.clone(), None).credentials;
    Facts { machine: Some(machine), credentials, accounts: Vec::<Account>::new(), ..Facts::default() }
}

#[test]
fn a_reaping_ends_neither_key_nor_credential_and_is_undone_for_thirty_days() {
    let stretches = [Watched { began: ago(DAY * 400), until: now() }];
    let silent =
        Traces { presence: Presence { last_seen: Some(ago(DAY * 300)), online: false }, issued: None };
    let taken =
        |state, traces| reap(reaped(state), traces, PATIENCE, &stretches, &by_operator()).expect("there");
    let paused = MachineState::Suspended(Suspended { since: ago(DAY * 31), cause: SuspendCause::Silent });
    let plan = taken(paused.clone(), silent);
    assert_eq!((plan.changes().len(), told(&plan)), (1, ("machine.retire", "retired")), "the record alone");
    assert_eq!(*plan.outcome(), Some(Due::Retire));
    let back = Traces { issued: Some(ago(HOUR)), ..silent };
    assert!(taken(active(), back).is_unchanged(), "it was heard of meanwhile");
    assert!(
        taken(paused, Traces { presence: Presence { online: true, ..silent.presence }, ..silent })
            .is_unchanged()
    );
    assert_eq!(UNDONE_FOR, DAY * 30);
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

#[test]
fn who_is_heard_of_again_goes_on_by_itself_and_nobody_else_does() {
    let context = by_operator();
    let plan = heard(reaped(suspended(SuspendCause::Silent)), &context).expect("it is there");
    assert!(matches!(plan.outcome().state, MachineState::Active(_)));
    assert_eq!((plan.changes().len(), told(&plan)), (1, ("machine.resume", "active")), "the record alone");
    let others = [SuspendCause::Operator(None), SuspendCause::Probation, SuspendCause::Revoked(None)];
    let others = others.map(suspended).into_iter().chain([active(), retired()]);
    for state in others {
        assert!(heard(reaped(state.clone()), &context).expect("it is there").is_unchanged(), "{state:?}");
    }
}

#[test]
fn whoever_watches_waits_after_a_start_and_after_a_jump_of_the_clock() {
    let mut stretches = Vec::new();
    let mut looks = |at: Timestamp| {
        let own = watched(&stretches, at);
        stretches = vec![own];
        is_settled(own)
    };
    let start = now();
    let minutes = |n: i64| start + SignedDuration::from_mins(n);
    assert!(!looks(start) && !looks(minutes(10)) && !looks(minutes(25)));
    assert!(looks(minutes(30)));
    assert!(!looks(minutes(30) + DAY), "it jumped ahead");
    assert!(!looks(minutes(55) + DAY - HOUR), "and back");
}

#[test]
fn a_stop_is_told_once_and_so_is_its_end() {
    let context = by_operator();
    let stopped = stop(None, 7, 30, &context);
    assert_eq!((told(&stopped), *stopped.outcome()), (("reaper.stop", "alarm"), true));
    let present = Some(Stop { since: ago(HOUR), due: 7, fleet: 30 });
    assert!(stop(present, 9, 30, &context).is_unchanged());
    assert_eq!(told(&go(present, &context)), ("reaper.go", "calm"));
    assert!(go(None, &context).is_unchanged());
}

#[test]
fn it_is_told_beforehand_when_silence_is_long_enough() {
    let at = ([Watched { began: ago(DAY * 50), until: now() }], now());
    let traces =
        Traces { presence: Presence { last_seen: Some(ago(DAY * 300)), online: false }, issued: None };
    let when = |state| {
        let machine = Machine { state, ..old() };
        due_at(&machine, traces, PATIENCE, (at.0.as_slice(), at.1))
    };
    let since = |days| MachineState::Active(muster_model::Active { since: ago(DAY * days) });
    assert_eq!(when(since(300)), Some(now() + DAY * 40), "fifty days of it were watched");
    assert_eq!(when(since(10)), Some(now() + DAY * 80));
    let paused =
        |days| MachineState::Suspended(Suspended { since: ago(DAY * days), cause: SuspendCause::Silent });
    assert_eq!(when(paused(10)), Some(now() + DAY * 20));
    assert_eq!(when(paused(40)), Some(now()), "its turn comes");
    assert_eq!(when(suspended(SuspendCause::Probation)), None);
}
