//! What is done in a transaction: a decision, or a note that needs none.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use muster_lifecycle::reap::Watched;
use muster_lifecycle::{Change, MachineChange, Plan};
use muster_model::Entry;
use muster_store::{Decision, Fence, PresenceNote, PulseNote, SettleError, Signal, StoreError};
use muster_store_sql::invariant;
use tokio::sync::oneshot;

use crate::batch::Batch;
use crate::failure::told;
use crate::fence;
use crate::guard::{Deferral, Guarded};
use crate::locks::Number;
use crate::session::Session;

/// A piece of work.
pub(crate) trait Job: Send {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// Does it in a transaction that may be rolled back, after which it is done again.
    fn run<'r>(&'r mut self, batch: &'r Batch<'_>, who: usize) -> BoxFuture<'r, Ran>;

    /// Answers: as it was decided, or with what became of the transaction.
    fn answer(self: Box<Self>, lost: Option<&Arc<StoreError>>);
}

/// How far a job came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    /// To its end.
    Done {
        /// Whether there is anything to commit.
        wrote: bool,
    },
    /// It wrote nothing and must be run again.
    PutOff(Deferral),
    /// It failed and may have written: its transaction must not be committed.
    Failed,
}

pub(crate) type Settled<D> = Result<Plan<<D as Decision>::Outcome>, SettleError>;

/// Load, decide, apply.
pub(crate) struct Settle<D: Decision> {
    decision: D,
    /// The locks that it turned out to need alone.
    alone: BTreeSet<Number>,
    result: Option<Settled<D>>,
    answer: oneshot::Sender<Settled<D>>,
}

impl<D: Decision> Settle<D> {
    pub(crate) fn new(decision: D) -> (Self, oneshot::Receiver<Settled<D>>) {
        let (answer, asked) = oneshot::channel();
        (Self { decision, alone: BTreeSet::new(), result: None, answer }, asked)
    }

    /// Reads and decides. A decision that panics has written nothing: it fails alone.
    async fn decided(&mut self, batch: &Batch<'_>, who: usize) -> Result<Settled<D>, Deferral> {
        if let Some(fence) = self.decision.fence()
            && let Err(error) = fence::check(&mut Session::new(batch, who), fence).await
        {
            return Ok(Err(error.into()));
        }
        let mut reads = Guarded::new(batch, who, &self.alone);
        let loaded = AssertUnwindSafe(self.decision.load(&mut reads)).catch_unwind().await;
        if let Some(deferral) = reads.deferred() {
            return Err(deferral);
        }
        let facts = match loaded {
            Ok(Ok(facts)) => facts,
            Ok(Err(error)) => return Ok(Err(error.into())),
            Err(panic) => return Ok(Err(panicked(D::NAME, &*panic))),
        };
        let decide = AssertUnwindSafe(|| self.decision.decide(facts));
        let decided = match catch_unwind(decide) {
            Ok(decided) => decided,
            Err(panic) => return Ok(Err(panicked(D::NAME, &*panic))),
        };
        let missing = decided.as_ref().map(|plan| reads.missing(plan)).unwrap_or_default();
        if !missing.is_empty() {
            self.alone.extend(missing);
            return Err(Deferral::Within);
        }
        Ok(decided.map_err(SettleError::from))
    }

    /// Writes what was decided, and gives it back. `false` where there is nothing to write.
    async fn write(
        decision: &D,
        decided: Settled<D>,
        batch: &Batch<'_>,
        who: usize,
    ) -> Result<(Settled<D>, bool), StoreError> {
        let mut session = Session::new(batch, who);
        match decided {
            Ok(plan) if plan.is_unchanged() => Ok((Ok(plan), false)),
            Ok(plan) => {
                let mut outcome = None;
                let bare = plan.map(|decided| outcome = Some(decided));
                muster_store_sql::plan(&mut session, &bare).await?;
                batch.effects(|effects| signals(&bare).for_each(|signal| effects.signal(signal)));
                Ok((Ok(bare.map(|()| outcome.expect("it was there a moment ago"))), true))
            }
            Err(SettleError::Refused(refusal)) => {
                let entry = decision.told(&refusal);
                let told = entry.is_some();
                muster_store_sql::entries(&mut session, entry.as_slice()).await?;
                Ok((Err(refusal.into()), told))
            }
            Err(SettleError::Store(error)) => Ok((Err(error.into()), false)),
        }
    }
}

impl<D: Decision> Job for Settle<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    fn run<'r>(&'r mut self, batch: &'r Batch<'_>, who: usize) -> BoxFuture<'r, Ran> {
        Box::pin(async move {
            let decided = match self.decided(batch, who).await {
                Ok(decided) => decided,
                Err(deferral) => {
                    batch.give_up(who);
                    return Ran::PutOff(deferral);
                }
            };
            match Self::write(&self.decision, decided, batch, who).await {
                Ok((decided, wrote)) => {
                    self.result = Some(decided);
                    Ran::Done { wrote }
                }
                Err(error) => {
                    self.result = Some(Err(error.into()));
                    Ran::Failed
                }
            }
        })
    }

    fn answer(self: Box<Self>, lost: Option<&Arc<StoreError>>) {
        let result = match lost {
            Some(error) => Some(Err(told(error).into())),
            None => self.result,
        };
        // Who no longer waits is not answered. What was written stays written.
        if let Some(result) = result {
            drop(self.answer.send(result));
        }
    }
}

fn panicked(name: &'static str, panic: &(dyn Any + Send)) -> SettleError {
    let said = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(decision = name, panic = said.unwrap_or("without a word"), "a decision panicked");
    invariant(name, "the decision panicked").into()
}

/// What machines elsewhere may have to hear of: whose record changed, and who is told to do something.
fn signals<O>(plan: &Plan<O>) -> impl Iterator<Item = Signal> {
    let tenant = plan.entries().first().map(|entry| entry.tenant);
    plan.changes().iter().filter_map(move |change| match change {
        Change::Machine(MachineChange::Update(machine)) => {
            Some(Signal { tenant: machine.tenant, machine: machine.id, order: None })
        }
        Change::Machine(MachineChange::Order { machine, order }) => {
            Some(Signal { tenant: tenant?, machine: *machine, order: Some(*order) })
        }
        _ => None,
    })
}

/// A write that needs no decision.
pub(crate) struct Note<W> {
    write: W,
    result: Option<Result<u64, StoreError>>,
    answer: oneshot::Sender<Result<u64, StoreError>>,
}

/// What is written without a decision, and how.
pub(crate) trait Write: Send {
    /// What it is called.
    const NAME: &'static str;

    /// Writes it, and tells how many rows.
    fn write<'w>(&'w self, batch: &'w Batch<'_>, who: usize) -> BoxFuture<'w, Result<u64, StoreError>>;
}

impl<W: Write> Note<W> {
    pub(crate) fn new(write: W) -> (Self, oneshot::Receiver<Result<u64, StoreError>>) {
        let (answer, asked) = oneshot::channel();
        (Self { write, result: None, answer }, asked)
    }
}

impl<W: Write> Job for Note<W> {
    fn name(&self) -> &'static str {
        W::NAME
    }

    fn run<'r>(&'r mut self, batch: &'r Batch<'_>, who: usize) -> BoxFuture<'r, Ran> {
        Box::pin(async move {
            let written = self.write.write(batch, who).await;
            let fenced = matches!(written, Err(StoreError::Fenced { .. }));
            let ran =
                if written.is_ok() || fenced { Ran::Done { wrote: written.is_ok() } } else { Ran::Failed };
            self.result = Some(written);
            ran
        })
    }

    fn answer(self: Box<Self>, lost: Option<&Arc<StoreError>>) {
        let result = match lost {
            Some(error) => Some(Err(told(error))),
            None => self.result,
        };
        if let Some(result) = result {
            drop(self.answer.send(result));
        }
    }
}

/// Entries that tell of no change.
pub(crate) struct Tell(pub(crate) Vec<Entry>);

impl Write for Tell {
    const NAME: &'static str = "tell";

    fn write<'w>(&'w self, batch: &'w Batch<'_>, who: usize) -> BoxFuture<'w, Result<u64, StoreError>> {
        Box::pin(async move {
            muster_store_sql::entries(&mut Session::new(batch, who), &self.0).await?;
            Ok(self.0.len() as u64)
        })
    }
}

/// Comings and goings.
pub(crate) struct Presences(pub(crate) Vec<PresenceNote>);

impl Write for Presences {
    const NAME: &'static str = "note_presence";

    fn write<'w>(&'w self, batch: &'w Batch<'_>, _: usize) -> BoxFuture<'w, Result<u64, StoreError>> {
        batch.effects(|effects| self.0.iter().for_each(|note| effects.presence(note)));
        Box::pin(async { Ok(self.0.len() as u64) })
    }
}

/// That the fleet was watched, under a lease.
pub(crate) struct Watching {
    pub(crate) fence: Fence,
    pub(crate) watched: Watched,
}

impl Write for Watching {
    const NAME: &'static str = "note_watched";

    fn write<'w>(&'w self, batch: &'w Batch<'_>, who: usize) -> BoxFuture<'w, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut session = Session::new(batch, who);
            fence::check(&mut session, self.fence).await?;
            muster_store_sql::note_watched(&mut session, self.watched).await?;
            Ok(1)
        })
    }
}

/// What this server counted: rows of its own, for which it meets nobody.
pub(crate) struct Pulses(pub(crate) Vec<PulseNote>);

impl Write for Pulses {
    const NAME: &'static str = "note_pulse";

    fn write<'w>(&'w self, batch: &'w Batch<'_>, who: usize) -> BoxFuture<'w, Result<u64, StoreError>> {
        Box::pin(async move {
            muster_store_sql::note_pulse(&mut Session::new(batch, who), &self.0).await?;
            Ok(self.0.len() as u64)
        })
    }
}
