//! The jobs of the writer: a decision, or a note that needs none.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use muster_lifecycle::Plan;
use muster_store::{Decision, SettleError, StoreError};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::apply;
use crate::failure::{invariant, is_damage, told};
use crate::search::Pending;
use crate::view::View;
use crate::writer::{Batch, Job};

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
    fn decided(&self, db: &mut Connection) -> Settled<D> {
        let run = AssertUnwindSafe(|| decide(&self.decision, db));
        catch_unwind(run).unwrap_or_else(|_| Err(invariant(D::NAME, "the decision panicked").into()))
    }

    fn settled(&self, batch: &mut Batch<'_>) -> Settled<D> {
        match self.decided(batch.db) {
            Ok(plan) if plan.is_unchanged() => Ok(plan),
            Ok(plan) => {
                apply::plan(batch.db, batch.words, &plan)?;
                batch.wrote = true;
                Ok(plan)
            }
            Err(SettleError::Refused(refusal)) => {
                if let Some(entry) = self.decision.told(&refusal) {
                    apply::entries(batch.db, batch.words, &[entry])?;
                    batch.wrote = true;
                }
                Err(SettleError::Refused(refusal))
            }
            Err(error) => Err(error),
        }
    }
}

impl<D: Decision> Job for Settle<D> {
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), Arc<StoreError>> {
        match self.settled(batch) {
            Err(SettleError::Store(error)) => lost(batch, error, |error| {
                self.result = Some(Err(error.into()));
            }),
            settled => {
                self.result = Some(settled);
                Ok(())
            }
        }
    }

    fn answer(self: Box<Self>, lost: Option<&Arc<StoreError>>) {
        // Who no longer waits is not answered. What was written stays written.
        drop(self.answer.send(outcome(self.result, lost)));
    }
}

/// A write that needs no decision.
pub(crate) struct Note<F> {
    write: Option<F>,
    result: Option<Result<(), StoreError>>,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

impl<F> Note<F>
where
    F: FnOnce(&Connection, &mut Pending) -> Result<bool, StoreError> + Send,
{
    /// `write` leaves all of its writes or none, and says whether there are any.
    pub(crate) fn new(write: F) -> (Self, oneshot::Receiver<Result<(), StoreError>>) {
        let (answer, asked) = oneshot::channel();
        (Self { write: Some(write), result: None, answer }, asked)
    }
}

impl<F> Job for Note<F>
where
    F: FnOnce(&Connection, &mut Pending) -> Result<bool, StoreError> + Send,
{
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), Arc<StoreError>> {
        let Some(write) = self.write.take() else { return Ok(()) };
        match write(batch.db, batch.words) {
            Ok(wrote) => {
                batch.wrote |= wrote;
                self.result = Some(Ok(()));
                Ok(())
            }
            Err(error) => lost(batch, error, |error| self.result = Some(Err(error))),
        }
    }

    fn answer(self: Box<Self>, lost: Option<&Arc<StoreError>>) {
        drop(self.answer.send(outcome(self.result, lost)));
    }
}

/// Tells a failure of one job from one that takes the whole transaction with it.
fn lost(batch: &Batch<'_>, error: StoreError, keep: impl FnOnce(StoreError)) -> Result<(), Arc<StoreError>> {
    if batch.db.is_autocommit() || is_damage(&error) {
        let error = Arc::new(error);
        keep(told(&error));
        return Err(error);
    }
    keep(error);
    Ok(())
}

/// A job's own failure is its answer in any case. A result, even a refusal, is none unless it was committed.
fn outcome<T, E: From<StoreError>>(
    result: Option<Result<T, E>>,
    lost: Option<&Arc<StoreError>>,
) -> Result<T, E> {
    match (result, lost) {
        (Some(result), None) => result,
        (_, Some(error)) => Err(told(error).into()),
        (None, None) => Err(invariant("answer a job", "it was not run").into()),
    }
}

fn decide<D: Decision>(decision: &D, db: &mut Connection) -> Settled<D> {
    let facts = at_once(decision.load(&mut View(db)))
        .ok_or_else(|| invariant(D::NAME, "it waits for something that is not the store"))??;
    Ok(decision.decide(facts)?)
}

/// The value of a future that needs nothing but one look.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
