//! A store that remembers which changes went through it, so that every row they name can be read at the end.

use std::sync::{Arc, Mutex, PoisonError};

use muster_lifecycle::reap::Watched;
use muster_lifecycle::{Change, Plan};
use muster_model::{Entry, SignedDuration};
use muster_store::{
    Decision, Fence, Joining, PresenceNote, Prune, PulseNote, SettleError, Signal, Standing, Store,
    StoreError,
};

/// A store, and what was written to it.
#[derive(Debug, Clone)]
pub(crate) struct Spied<S> {
    inner: S,
    written: Arc<Mutex<Vec<Change>>>,
}

impl<S> Spied<S> {
    /// Around a store. What it holds already is not of interest.
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, written: Arc::default() }
    }

    /// Every change so far, in order.
    pub(crate) fn written(&self) -> Vec<Change> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S: Store> Store for Spied<S> {
    type Reader = S::Reader;

    async fn reader(&self) -> Result<S::Reader, StoreError> {
        self.inner.reader().await
    }

    async fn settle<D: Decision>(&self, decision: D) -> Result<Plan<D::Outcome>, SettleError> {
        let plan = self.inner.settle(decision).await?;
        self.written.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(plan.changes());
        Ok(plan)
    }

    async fn note_presence(&self, notes: Vec<PresenceNote>) -> Result<(), StoreError> {
        self.inner.note_presence(notes).await
    }

    async fn note_pulse(&self, notes: Vec<PulseNote>) -> Result<(), StoreError> {
        self.inner.note_pulse(notes).await
    }

    async fn tell(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        self.inner.tell(entries).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    async fn join(&self, joining: Joining) -> Result<(), StoreError> {
        self.inner.join(joining).await
    }

    async fn alive(&self, channels: u64) -> Result<Standing, StoreError> {
        self.inner.alive(channels).await
    }

    async fn signals(&self) -> Result<Vec<Signal>, StoreError> {
        self.inner.signals().await
    }

    async fn stirred(&self) {
        self.inner.stirred().await;
    }

    async fn lease(&self, job: &'static str, span: SignedDuration) -> Result<Option<Fence>, StoreError> {
        self.inner.lease(job, span).await
    }

    async fn note_watched(&self, fence: Fence, watched: Watched) -> Result<(), StoreError> {
        self.inner.note_watched(fence, watched).await
    }

    async fn prune(&self, fence: Fence, prune: Prune) -> Result<u64, StoreError> {
        self.inner.prune(fence, prune).await
    }
}
