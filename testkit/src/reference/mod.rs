//! The storage port as plainly as it can be written: maps in memory behind one mutex.
//!
//! It is what the databases are compared with, so it is made to be read and not to be fast. There is no index: a query
//! is a filter over a map. There is no transaction: a plan is applied to a copy, which takes the place of what was there
//! only where every change of it fits. Never part of a release, and nothing of it outlives the process.

mod apply;
mod cut;
mod lists;
mod pulse;
mod reads;
mod shared;
mod snapshot;
mod tables;
mod words;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use muster_lifecycle::Plan;
use muster_lifecycle::lockout;
use muster_lifecycle::reap::Watched;
use muster_model::{AccessKind, Entry, SignedDuration, Timestamp};
use muster_store::{
    Decision, Fence, Joining, PresenceNote, Prune, PulseNote, SettleError, Signal, Standing, Store,
    StoreError,
};

pub use self::snapshot::Snapshot;

use self::cut::Cut;
use self::tables::{Tables, wrong};

/// The port over maps in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct ReferenceStore {
    tables: Arc<Mutex<Arc<Tables>>>,
}

/// What was there when it was asked for.
#[derive(Debug)]
pub struct Moment {
    tables: Arc<Tables>,
}

impl ReferenceStore {
    fn lock(&self) -> MutexGuard<'_, Arc<Tables>> {
        // A copy takes the place of another as a whole: there is no half of one to see.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all of this, or nothing.
    fn write<T>(&self, work: impl FnOnce(&mut Tables) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut tables = self.lock();
        let mut copy = Tables::clone(&tables);
        let value = work(&mut copy)?;
        *tables = Arc::new(copy);
        Ok(value)
    }
}

fn decide<D: Decision>(decision: &D, tables: &Arc<Tables>) -> Result<Plan<D::Outcome>, SettleError> {
    let mut moment = Moment { tables: Arc::clone(tables) };
    let facts = at_once(decision.load(&mut moment))
        .ok_or_else(|| wrong(D::NAME, "it waits for something that is not the store"))??;
    Ok(decision.decide(facts)?)
}

/// The value of a future that needs nothing but one look.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl Store for ReferenceStore {
    type Reader = Moment;

    async fn reader(&self) -> Result<Moment, StoreError> {
        Ok(Moment { tables: Arc::clone(&self.lock()) })
    }

    async fn settle<D: Decision>(&self, decision: D) -> Result<Plan<D::Outcome>, SettleError> {
        let mut tables = self.lock();
        let run = AssertUnwindSafe(|| decide(&decision, &tables));
        let decided =
            catch_unwind(run).unwrap_or_else(|_| Err(wrong(D::NAME, "the decision panicked").into()));
        let mut copy = Tables::clone(&tables);
        match &decided {
            Ok(plan) if plan.is_unchanged() => return decided,
            Ok(plan) => copy.apply(plan)?,
            Err(SettleError::Refused(refusal)) => copy.tell(decision.told(refusal)),
            Err(SettleError::Store(_)) => return decided,
        }
        *tables = Arc::new(copy);
        decided
    }

    async fn note_presence(&self, notes: Vec<PresenceNote>) -> Result<(), StoreError> {
        self.write(|tables| {
            notes.into_iter().for_each(|note| tables.note(note));
            Ok(())
        })
    }

    async fn note_pulse(&self, notes: Vec<PulseNote>) -> Result<(), StoreError> {
        self.write(|tables| {
            notes.into_iter().for_each(|note| tables.note_pulse(note));
            Ok(())
        })
    }

    async fn tell(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        self.write(|tables| {
            tables.tell(entries);
            Ok(())
        })
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// It belongs to one process: whoever was online before is not any more.
    async fn join(&self, joining: Joining) -> Result<(), StoreError> {
        self.write(|tables| {
            tables.replica = Some(joining.replica);
            tables.end_presence(joining.now.cut());
            Ok(())
        })
    }

    async fn alive(&self, _: u64) -> Result<Standing, StoreError> {
        Ok(Standing::Known)
    }

    async fn signals(&self) -> Result<Vec<Signal>, StoreError> {
        Ok(Vec::new())
    }

    async fn stirred(&self) {
        std::future::pending::<()>().await;
    }

    async fn lease(&self, job: &'static str, _: SignedDuration) -> Result<Option<Fence>, StoreError> {
        Ok(self.lock().replica.map(|holder| Fence { job, holder, token: 1 }))
    }

    async fn note_watched(&self, _: Fence, watched: Watched) -> Result<(), StoreError> {
        self.write(|tables| {
            tables.note_watched(watched);
            Ok(())
        })
    }

    async fn prune(&self, _: Fence, prune: Prune) -> Result<u64, StoreError> {
        self.write(|tables| Ok(tables.prune(&prune)))
    }
}

impl Tables {
    /// Counters of failures: what is old, and what is beyond the newest that are kept at all.
    fn prune_failures(&mut self, before: Timestamp, most: usize) -> usize {
        let mut counters: Vec<_> = self.failures.iter().map(|(key, known)| (known.at, *key)).collect();
        counters.sort_unstable();
        let old: Vec<_> = counters.iter().filter(|(at, _)| *at < before).take(most).copied().collect();
        counters.drain(..old.len());
        let beyond = counters.len().saturating_sub(lockout::MOST as usize).min(most);
        // Of those beyond, the newest: so the statements of the databases have it.
        let newest = counters.len().saturating_sub(lockout::MOST as usize);
        let gone = counters[newest - beyond..newest].iter();
        let gone: Vec<_> = old.iter().chain(gone).map(|(_, key)| *key).collect();
        self.failures.retain(|key, _| !gone.contains(key));
        gone.len()
    }

    /// The oldest go first, at most so many of each.
    fn prune(&mut self, prune: &Prune) -> u64 {
        let most = prune.limit as usize;
        let before = prune.remembered_before.cut();
        let mut requests: Vec<_> =
            self.remembered.iter().filter(|(_, request)| request.at < before).collect();
        requests.sort_by_key(|(_, request)| request.at);
        let requests: Vec<_> = requests.into_iter().map(|(key, _)| *key).take(most).collect();
        let before = prune.access_before.cut();
        let mut sessions: Vec<_> =
            self.tokens.values().filter(|token| token.kind != AccessKind::Api).collect();
        sessions.sort_by_key(|token| token.ended_at.unwrap_or(token.expires_at));
        sessions.retain(|token| token.ended_at.unwrap_or(token.expires_at) < before);
        let sessions: Vec<_> =
            sessions.into_iter().map(|token| (token.tenant, token.id)).take(most).collect();
        let before = prune.pulses_before.cut();
        let pulses: Vec<_> = self.pulses.keys().filter(|(at, ..)| *at < before).take(most).copied().collect();
        self.pulses.retain(|key, _| !pulses.contains(key));
        requests.iter().for_each(|key| drop(self.remembered.remove(key)));
        sessions.iter().for_each(|key| drop(self.tokens.remove(key)));
        let failures = self.prune_failures(prune.remembered_before.cut(), most);
        (requests.len() + sessions.len() + failures + pulses.len()) as u64
    }
}
