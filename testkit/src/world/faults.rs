//! A store that fails where it is told to, as a database and a crash do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use muster_lifecycle::Plan;
use muster_lifecycle::reap::Watched;
use muster_model::{Entry, SignedDuration};
use muster_store::{
    Decision, Fence, Joining, PresenceNote, Prune, PulseNote, SettleError, Signal, Standing, Store,
    StoreError,
};
use muster_store_sqlite::SqliteStore;
use tokio::sync::Semaphore;

use super::board::{Board, Seat};

/// A store that fails where it is told to. Several replicas of one process may share what is beneath.
#[derive(Clone)]
pub struct FaultyStore<S = SqliteStore> {
    inner: S,
    faults: Faults,
    board: Board,
    seat: Arc<Seat>,
    is_first: bool,
}

/// What goes wrong with decisions, by their names.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<HashMap<&'static str, Vec<Fault>>>>);

#[derive(Clone)]
enum Fault {
    Before,
    After,
    Broken,
    Wait(Gate),
}

/// A place where a decision waits before it is settled.
#[derive(Clone)]
pub struct Gate {
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Faults {
    /// The next settling of this decision does not happen: the server died before it.
    pub fn before(&self, decision: &'static str) {
        self.add(decision, Fault::Before);
    }

    /// The next settling of this decision is committed and nobody hears of it: the server died after it.
    pub fn after(&self, decision: &'static str) {
        self.add(decision, Fault::After);
    }

    /// The next settling of this decision meets a row that nobody can read.
    pub fn broken(&self, decision: &'static str) {
        self.add(decision, Fault::Broken);
    }

    /// The next settling of this decision waits until the gate is opened.
    pub fn gate(&self, decision: &'static str) -> Gate {
        let gate = Gate { arrived: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) };
        self.add(decision, Fault::Wait(gate.clone()));
        gate
    }

    fn add(&self, decision: &'static str, fault: Fault) {
        self.lock().entry(decision).or_default().push(fault);
    }

    fn next(&self, decision: &str) -> Option<Fault> {
        let mut faults = self.lock();
        let waiting = faults.get_mut(decision)?;
        (!waiting.is_empty()).then(|| waiting.remove(0))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Vec<Fault>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// Returns once a decision waits here.
    pub async fn arrived(&self) {
        self.arrived.acquire().await.expect("never closed").forget();
    }

    /// Lets it go on.
    pub fn open(&self) {
        self.open.add_permits(1);
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        self.open.acquire().await.expect("never closed").forget();
    }
}

impl FaultyStore {
    /// Around a database of its own.
    pub fn in_memory() -> Self {
        Self::new(SqliteStore::in_memory().expect("a database"))
    }

    /// How many transactions that wrote something were committed.
    pub fn writes(&self) -> u64 {
        self.inner.writes()
    }
}

impl<S> FaultyStore<S> {
    /// Around a store that works.
    pub fn new(inner: S) -> Self {
        let board = Board::default();
        let seat = board.seat();
        Self { inner, faults: Faults::default(), board, seat, is_first: true }
    }

    /// The same store as another replica has it. What goes wrong goes wrong for all.
    pub fn replica(&self) -> Self
    where
        S: Clone,
    {
        Self { seat: self.board.seat(), is_first: false, ..self.clone() }
    }

    /// The store that works.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// This replica's place among the others.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }
}

fn lost() -> SettleError {
    StoreError::Unavailable { what: "settle", cause: "the server died here".into() }.into()
}

fn broken() -> StoreError {
    StoreError::Broken { table: "machines", row: "one".to_owned(), column: "state" }
}

impl<S: Store> Store for FaultyStore<S> {
    type Reader = S::Reader;

    async fn reader(&self) -> Result<Self::Reader, StoreError> {
        self.seat.readable()?;
        self.inner.reader().await
    }

    async fn settle<D: Decision>(&self, decision: D) -> Result<Plan<D::Outcome>, SettleError> {
        self.seat.reached()?;
        let fault = self.faults.next(D::NAME);
        match &fault {
            Some(Fault::Before) => return Err(lost()),
            Some(Fault::Broken) => return Err(broken().into()),
            Some(Fault::Wait(gate)) => gate.pass().await,
            Some(Fault::After) | None => {}
        }
        let plan = self.inner.settle(decision).await?;
        self.board.tell(&self.seat, &plan);
        match fault {
            Some(Fault::After) => Err(lost()),
            _ => Ok(plan),
        }
    }

    async fn note_presence(&self, notes: Vec<PresenceNote>) -> Result<(), StoreError> {
        self.seat.reached()?;
        self.inner.note_presence(notes).await
    }

    async fn note_pulse(&self, notes: Vec<PulseNote>) -> Result<(), StoreError> {
        self.seat.reached()?;
        self.inner.note_pulse(notes).await
    }

    async fn tell(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        self.seat.reached()?;
        self.inner.tell(entries).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.seat.reached()?;
        self.inner.check().await
    }

    async fn join(&self, joining: Joining) -> Result<(), StoreError> {
        self.seat.reached()?;
        // What is beneath takes its first replica for the only one, and would end the presence of the others.
        if self.is_first { self.inner.join(joining).await } else { Ok(()) }
    }

    async fn alive(&self, channels: u64) -> Result<Standing, StoreError> {
        self.seat.reached()?;
        let standing = self.inner.alive(channels).await?;
        Ok(if self.seat.alive() { Standing::Forgotten } else { standing })
    }

    async fn signals(&self) -> Result<Vec<Signal>, StoreError> {
        self.seat.reached()?;
        let mut signals = self.inner.signals().await?;
        signals.extend(self.seat.take());
        Ok(signals)
    }

    async fn stirred(&self) {
        tokio::select! {
            () = self.inner.stirred() => {}
            () = self.seat.stirred() => {}
        }
    }

    async fn lease(&self, job: &'static str, span: SignedDuration) -> Result<Option<Fence>, StoreError> {
        self.seat.reached()?;
        self.inner.lease(job, span).await
    }

    async fn note_watched(&self, fence: Fence, watched: Watched) -> Result<(), StoreError> {
        self.seat.reached()?;
        self.inner.note_watched(fence, watched).await
    }

    async fn prune(&self, fence: Fence, prune: Prune) -> Result<u64, StoreError> {
        self.seat.reached()?;
        self.inner.prune(fence, prune).await
    }
}
