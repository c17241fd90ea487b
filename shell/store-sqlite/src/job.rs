//! The jobs of the writer: a decision, or a note that needs none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use muster_lifecycle::Plan;
use muster_store::{Decision, SettleError, StoreError};
use muster_store_sql::{View, invariant};
use tokio::sync::oneshot;

use crate::batch::{Batch, Interruption, Written, answer};
use crate::engine::at_once;

/// A piece of work for the writer.
pub(crate) trait Job: Send {
    /// Runs in the open transaction, leaving all of its writes or none. May be run a second time.
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), Interruption>;

    /// Answers, after the commit or with what became of it.
    fn answer(self: Box<Self>, lost: Option<&Arc<StoreError>>);
}

pub(crate) type Settled<D> = Result<Plan<<D as Decision>::Outcome>, SettleError>;

/// Load, decide, apply.
pub(crate) struct Settle<D: Decision> {
    decision: D,
    result: Option<Settled<D>>,
    answer: oneshot::Sender<Settled<D>>,
}

impl<D: Decision> Settle<D> {
    pub(crate) fn new(decision: D) -> (Self, oneshot::Receiver<Settled<D>>) {
        let (answer, asked) = oneshot::channel();
        (Self { decision, result: None, answer }, asked)
    }

    /// A decision that panics has written nothing: it fails alone.
    fn decided(&self, batch: &mut Batch<'_>) -> Settled<D> {
        let run = AssertUnwindSafe(|| decide(&self.decision, batch));
        catch_unwind(run).unwrap_or_else(|_| Err(invariant(D::NAME, "the decision panicked").into()))
    }

    /// Writes what was decided.
    fn write(&self, decided: &Settled<D>, batch: &mut Batch<'_>) -> Written {
        match decided {
            Ok(plan) if plan.is_unchanged() => Ok(Ok(())),
            Ok(plan) => batch.write(|db| at_once(D::NAME, muster_store_sql::plan(db, plan))),
            Err(SettleError::Refused(refusal)) => match self.decision.told(refusal) {
                Some(entry) => batch.write(|db| at_once(D::NAME, muster_store_sql::entries(db, &[entry]))),
                None => Ok(Ok(())),
            },
            Err(SettleError::Store(_)) => Ok(Ok(())),
        }
    }
}

impl<D: Decision> Job for Settle<D> {
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), Interruption> {
        self.result = Some(match self.decided(batch) {
            Err(SettleError::Store(error)) => Err(batch.unread(error)?.into()),
            decided => self.write(&decided, batch)?.map_err(SettleError::from).and(decided),
        });
        Ok(())
    }

    fn answer(self: Box<Self>, lost: Option<&Arc<StoreError>>) {
        // Who no longer waits is not answered. What was written stays written.
        if let Some(result) = answer(self.result, lost) {
            drop(self.answer.send(result));
        }
    }
}

/// A write that needs no decision.
pub(crate) struct Note<F> {
    write: F,
    result: Option<Result<(), StoreError>>,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

impl<F: Fn(&mut Batch<'_>) -> Written + Send> Note<F> {
    pub(crate) fn new(write: F) -> (Self, oneshot::Receiver<Result<(), StoreError>>) {
        let (answer, asked) = oneshot::channel();
        (Self { write, result: None, answer }, asked)
    }
}

impl<F: Fn(&mut Batch<'_>) -> Written + Send> Job for Note<F> {
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), Interruption> {
        self.result = Some((self.write)(batch)?);
        Ok(())
    }

    fn answer(self: Box<Self>, lost: Option<&Arc<StoreError>>) {
        if let Some(result) = answer(self.result, lost) {
            drop(self.answer.send(result));
        }
    }
}

fn decide<D: Decision>(decision: &D, batch: &mut Batch<'_>) -> Settled<D> {
    let facts = at_once(D::NAME, decision.load(&mut View::new(batch.engine())))?;
    Ok(decision.decide(facts)?)
}
