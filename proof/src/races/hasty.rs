//! A store that decides by what it read a moment ago: what every race is there to find.

use std::sync::{Mutex, PoisonError};

use muster_lifecycle::Plan;
use muster_lifecycle::reap::Watched;
use muster_model::{Entry, Refusal, SignedDuration};
use muster_store::{
    Decision, Fence, Joining, PresenceNote, Prune, PulseNote, Reads, SettleError, Signal, Standing, Store,
    StoreError, Unscoped,
};
use muster_testkit::reference::ReferenceStore;

use super::{CLIENTS, Race, run};
use crate::ground::Ground;

#[derive(Clone, Default)]
struct Hasty(ReferenceStore);

/// What was decided elsewhere.
struct Blind<O>(Mutex<Option<Plan<O>>>);

impl<O: Send + 'static> Decision for Blind<O> {
    const NAME: &'static str = "test.blind";
    type Facts = ();
    type Outcome = O;

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<O>, Refusal> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).take().expect("it is decided once"))
    }
}

impl Store for Hasty {
    type Reader = <ReferenceStore as Store>::Reader;

    async fn reader(&self) -> Result<Self::Reader, StoreError> {
        self.0.reader().await
    }

    async fn settle<D: Decision>(&self, decision: D) -> Result<Plan<D::Outcome>, SettleError> {
        let facts = decision.load(&mut self.0.reader().await?).await?;
        match decision.decide(facts) {
            Ok(plan) => {
                tokio::task::yield_now().await;
                self.0.settle(Blind(Mutex::new(Some(plan)))).await
            }
            Err(refusal) => {
                self.0.tell(decision.told(&refusal).into_iter().collect()).await?;
                Err(refusal.into())
            }
        }
    }

    async fn note_presence(&self, notes: Vec<PresenceNote>) -> Result<(), StoreError> {
        self.0.note_presence(notes).await
    }

    async fn note_pulse(&self, notes: Vec<PulseNote>) -> Result<(), StoreError> {
        self.0.note_pulse(notes).await
    }

    async fn tell(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        self.0.tell(entries).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.0.check().await
    }

    async fn join(&self, joining: Joining) -> Result<(), StoreError> {
        self.0.join(joining).await
    }

    async fn alive(&self, channels: u64) -> Result<Standing, StoreError> {
        self.0.alive(channels).await
    }

    async fn signals(&self) -> Result<Vec<Signal>, StoreError> {
        self.0.signals().await
    }

    async fn stirred(&self) {
        self.0.stirred().await;
    }

    async fn lease(&self, job: &'static str, span: SignedDuration) -> Result<Option<Fence>, StoreError> {
        self.0.lease(job, span).await
    }

    async fn note_watched(&self, fence: Fence, watched: Watched) -> Result<(), StoreError> {
        self.0.note_watched(fence, watched).await
    }

    async fn prune(&self, fence: Fence, prune: Prune) -> Result<u64, StoreError> {
        self.0.prune(fence, prune).await
    }
}

#[tokio::test]
async fn a_store_that_does_not_keep_others_out_loses_every_race() {
    let ground = Ground::new();
    for race in Race::ALL {
        let store = Hasty::default();
        let stores: [Hasty; 3] = std::array::from_fn(|_| store.clone());
        let held = Box::pin(run(&stores, &ground, 1, race, CLIENTS)).await;
        assert!(held.is_err(), "{race:?} was not lost");
    }
}

#[tokio::test]
async fn the_reference_holds_every_race() {
    let ground = Ground::new();
    for race in Race::ALL {
        let store = ReferenceStore::default();
        let stores: [ReferenceStore; 3] = std::array::from_fn(|_| store.clone());
        let held = Box::pin(run(&stores, &ground, 1, race, CLIENTS)).await;
        assert_eq!(held, Ok(()), "{race:?}");
    }
}
