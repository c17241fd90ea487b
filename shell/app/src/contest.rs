//! Two programs that show one bearer key push each other off their machine's channel, for ever: each connects again at once.
//!
//! A line that broke does so too, and seldom. Past a few times within a while whoever holds the channel keeps it, and others
//! are told to come later; that it is so is an entry in the audit log, once for each while.
//!
//! Invariant: what is kept is bounded by the machines that were pushed off within one while.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use muster_lifecycle::{Context, Plan, machine};
use muster_model::{MachineId, Object, Refusal, SignedDuration, Timestamp};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};

use crate::App;
use crate::caller::{Caller, MachineCaller, Origin};
use crate::error::Error;

/// How long is looked back.
const WHILE: SignedDuration = SignedDuration::from_mins(10);
/// So many times within that are a line that broke; one more is two programs.
const MOST: u32 = 4;

/// How often machines were pushed off lately.
#[derive(Default)]
pub(crate) struct Contests(Mutex<HashMap<MachineId, Contest>>);

struct Contest {
    since: Timestamp,
    times: u32,
}

impl Contests {
    /// A channel took the place of another one. Tells whether this is the time from which it is no accident.
    fn pushed_off(&self, machine: MachineId, now: Timestamp) -> bool {
        let mut contests = self.lock();
        contests.retain(|_, contest| contest.is_on(now));
        let contest = contests.entry(machine).or_insert(Contest { since: now, times: 0 });
        contest.times = contest.times.saturating_add(1);
        contest.times == MOST
    }

    /// How many seconds whoever comes beside the holder has to wait, if it must.
    fn waits(&self, machine: MachineId, now: Timestamp) -> Option<u32> {
        let contests = self.lock();
        let contest = contests.get(&machine).filter(|contest| contest.times >= MOST && contest.is_on(now))?;
        u32::try_from((contest.since + WHILE).duration_since(now).as_secs().max(1)).ok()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MachineId, Contest>> {
        // Nothing panics between two changes of an entry.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contest {
    fn is_on(&self, now: Timestamp) -> bool {
        now.duration_since(self.since) < WHILE
    }
}

impl<S: Store> App<S> {
    /// Whether a client that connects again at once may try for its machine's channel.
    ///
    /// # Errors
    /// [`Refusal::SlowDown`] where somebody holds it and others were pushed off too often lately.
    pub fn may_push_off(&self, caller: &MachineCaller) -> Result<(), Error> {
        let held = self.inner.registry.last_heard(caller.machine).is_some();
        match self.inner.contests.waits(caller.machine, self.now()).filter(|_| held) {
            Some(retry_after) => Err(Refusal::SlowDown { retry_after }.into()),
            None => Ok(()),
        }
    }

    /// A channel took another one's place.
    pub(crate) async fn pushed_off(&self, caller: &MachineCaller) {
        if !self.inner.contests.pushed_off(caller.machine, self.now()) {
            return;
        }
        tracing::warn!(machine = %caller.machine, "two programs show the key of one machine");
        let origin = Origin { caller: Caller::Machine(*caller), source: None };
        let told = Contended { machine: caller.machine, context: self.context(&origin) };
        if let Err(error) = self.settle(&origin, told).await {
            tracing::warn!(%error, machine = %caller.machine, "that it is so is not in the audit log");
        }
    }
}

struct Contended {
    machine: MachineId,
    context: Context,
}

impl Decision for Contended {
    const NAME: &'static str = "machine.contended";
    type Facts = ();
    type Outcome = ();

    fn object(&self) -> Object {
        Object::Machine(self.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        Ok(machine::contended(self.machine, MOST, &self.context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_line_that_breaks_now_and_then_is_no_contest() {
        let contests = Contests::default();
        let machine = MachineId::new(1, [1; 10]);
        for n in 0..50 {
            assert!(!contests.pushed_off(machine, at(n * 200)), "{n}");
            assert_eq!(contests.waits(machine, at(n * 200)), None);
        }
        assert_eq!(contests.lock().len(), 1);
    }

    #[test]
    fn two_programs_are_told_once_and_wait_until_the_while_is_over() {
        let contests = Contests::default();
        let (machine, other) = (MachineId::new(1, [1; 10]), MachineId::new(1, [2; 10]));
        let told: Vec<bool> = (0..8).map(|n| contests.pushed_off(machine, at(n))).collect();
        assert_eq!(told, [false, false, false, true, false, false, false, false]);
        assert_eq!((contests.waits(machine, at(8)), contests.waits(other, at(8))), (Some(592), None));
        assert_eq!(contests.waits(machine, at(600)), None);
        assert!(!contests.pushed_off(other, at(601)));
        assert_eq!(contests.lock().len(), 1, "what is over is let go");
    }
}
