//! What happened by this server, counted slot by slot and noted once a minute.
//!
//! Counted where it was committed or refused, and kept until it was written: a server notes what it counted in a slot so far in a
//! row of its own, as often as it likes. Nobody's answer waits for it, and nothing is decided by it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use muster_lifecycle::{Plan, pulse};
use muster_model::pulse::{SLOT, slot_of};
use muster_model::{Counted, Present, SignedDuration, TenantId, Timestamp};
use muster_store::{Lists, PulseNote, Store, StoreError};

use crate::App;
use crate::error::Error;
use crate::mode::Mode;

/// So many slots wait to be written: two days of one tenant. What is older is counted with what follows it.
const SLOTS: usize = 576;
/// A clock that was put back by less than this goes on in the slot that it was in: what was noted of an earlier one may be
/// forgotten here.
const PUT_BACK: SignedDuration = SignedDuration::from_hours(1);

type Slots = BTreeMap<(TenantId, Timestamp), Counted>;

/// What was counted, and is not written for good.
#[derive(Default)]
pub(crate) struct PulseLog {
    slots: Mutex<Slots>,
}

impl PulseLog {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        // A number that was not added is the worst that a panic here leaves behind.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, tenant: TenantId, now: Timestamp, counted: Counted) {
        if counted.is_nothing() {
            return;
        }
        let mut slots = self.lock();
        let slot = current(&slots, tenant, now);
        *slots.entry((tenant, slot)).or_default() += counted;
        if slots.len() > SLOTS
            && let Some(((oldest, _), counted)) = slots.pop_first()
            && let Some(mut next) = slots.first_entry().filter(|next| next.key().0 == oldest)
        {
            *next.get_mut() += counted;
        }
    }

    /// What is not written for good, and the present slot of a tenant in any case.
    fn unwritten(&self, tenant: TenantId, now: Timestamp) -> (Timestamp, Slots) {
        let mut slots = self.lock();
        let present = current(&slots, tenant, now);
        slots.entry((tenant, present)).or_default();
        (present, slots.clone())
    }

    /// These were written while this slot was counted in. It is kept, to be written again, and so is what came to the others
    /// meanwhile.
    fn written(&self, slot: Timestamp, written: &Slots) {
        self.lock().retain(|key, counted| key.1 >= slot || written.get(key) != Some(counted));
    }
}

/// The slot that is counted in.
fn current(slots: &Slots, tenant: TenantId, now: Timestamp) -> Timestamp {
    let slot = slot_of(now, SLOT);
    let newest = slots.range((tenant, Timestamp::MIN)..=(tenant, Timestamp::MAX)).next_back();
    let newest = newest.map(|((_, at), _)| *at);
    newest.filter(|newest| *newest > slot && newest.duration_since(slot) < PUT_BACK).unwrap_or(slot)
}

impl<S: Store> App<S> {
    /// Counts what was committed.
    pub(crate) fn count_plan<O>(&self, plan: &Plan<O>) {
        let Some(entry) = plan.entries().first() else { return };
        self.inner.pulses.count(entry.tenant, self.now(), pulse::counted(plan.changes(), entry.at));
    }

    /// Counts a refusal.
    pub(crate) fn count_refused(&self, tenant: TenantId) {
        self.inner.pulses.count(tenant, self.now(), Counted { refused: 1, ..Counted::default() });
    }

    /// Looks who is there, and notes that beside what happened by this server. Called once a minute.
    ///
    /// # Errors
    /// What the store says; what was counted is noted the next time.
    pub async fn note_pulse(&self) -> Result<(), Error> {
        if self.mode() == Mode::Restored {
            return Ok(());
        }
        let present = self.present().await?;
        Ok(self.write_pulse(Some(present)).await?)
    }

    /// Notes what happened by this server. Called at its end, when those who were there are going.
    ///
    /// # Errors
    /// What the store says.
    pub async fn flush_pulse(&self) -> Result<(), StoreError> {
        if self.mode() == Mode::Restored { Ok(()) } else { self.write_pulse(None).await }
    }

    async fn present(&self) -> Result<Present, Error> {
        let [_, active, suspended, _] = self.onlooker().await?.machine_counts(self.inner.tenant).await?;
        let alive = self.replicas().await?.into_iter().filter(|replica| replica.alive);
        Ok(Present { online: alive.map(|replica| replica.channels).sum(), machines: active + suspended })
    }

    async fn write_pulse(&self, looked: Option<Present>) -> Result<(), StoreError> {
        let tenant = self.inner.tenant;
        let (slot, counted) = self.inner.pulses.unwritten(tenant, self.now());
        let note = |(key, counted): (&(TenantId, Timestamp), &Counted)| PulseNote {
            tenant: key.0,
            at: key.1,
            replica: self.inner.replica,
            present: looked.filter(|_| *key == (tenant, slot)),
            counted: *counted,
        };
        let is_news = |note: &PulseNote| note.present.is_some() || !note.counted.is_nothing();
        let notes = counted.iter().map(note).filter(is_news).collect();
        self.inner.store.note_pulse(notes).await?;
        self.inner.pulses.written(slot, &counted);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> TenantId {
        TenantId::new(1, [1; 10])
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_793_534_400 + minute * 60).expect("in range")
    }

    fn refused(count: u64) -> Counted {
        Counted { refused: count, ..Counted::default() }
    }

    fn seen(log: &PulseLog) -> Vec<(Timestamp, u64)> {
        log.lock().iter().map(|((_, at), counted)| (*at, counted.refused)).collect()
    }

    #[test]
    fn what_is_counted_is_kept_until_it_is_written_and_its_slot_is_over() {
        let log = PulseLog::default();
        log.count(tenant(), at(1), refused(1));
        let (slot, written) = log.unwritten(tenant(), at(2));
        assert_eq!((slot, &seen(&log)[..]), (at(0), &[(at(0), 1)][..]));
        log.count(tenant(), at(4), refused(1));
        log.written(slot, &written);
        assert_eq!(seen(&log), [(at(0), 2)], "it is not over");
        log.count(tenant(), at(5), refused(1));
        log.written(at(5), &written);
        assert_eq!(seen(&log), [(at(0), 2), (at(5), 1)], "what came after the writing is not written");
        let (slot, written) = log.unwritten(tenant(), at(6));
        log.written(slot, &written);
        assert_eq!(seen(&log), [(at(5), 1)]);
    }

    #[test]
    fn a_clock_that_is_put_back_a_little_goes_on_in_its_slot() {
        let log = PulseLog::default();
        log.count(tenant(), at(60), refused(1));
        log.count(tenant(), at(7), refused(1));
        assert_eq!(seen(&log), [(at(60), 2)]);
        log.count(tenant(), at(-60), refused(1));
        assert_eq!(seen(&log), [(at(-60), 1), (at(60), 2)], "one that was wrong is left behind");
    }

    #[test]
    fn what_cannot_be_written_for_days_is_bounded_and_nothing_of_it_is_lost() {
        let log = PulseLog::default();
        (0..2_000).for_each(|slot| log.count(tenant(), at(slot * 5), refused(1)));
        let seen = seen(&log);
        assert_eq!((seen.len(), seen.iter().map(|(_, count)| count).sum::<u64>()), (SLOTS, 2_000));
        assert_eq!(seen.last(), Some(&(at(1_999 * 5), 1)), "the newest are where they belong");
    }
}
