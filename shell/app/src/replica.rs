//! One server among several on the same database: it joins, says that it is alive, hears of what the others did, and
//! does jobs that one does at a time.
//!
//! A signal is a hint to look again; what a machine is told follows from its row as it is when it is looked at. A signal
//! that is lost, doubled or late therefore does no harm, and one whose machine could not be read is kept.

use std::collections::HashSet;

use muster_model::{ReplicaId, SignedDuration, Timestamp};
use muster_store::{Joining, Prune, Reads, Signal, Standing, Store, StoreError, Unscoped};
use muster_wire::replica::Replica;

use crate::App;
use crate::caller::Proof;
use crate::channel::{Holder, holder};
use crate::effects;
use crate::error::Error;
use crate::mode::Mode;
use crate::presence::ChannelOrder;

const EXPIRY: &str = "expiry";
const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// Whoever repeats a management request does it within a week.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Login links and sessions stay listed for a month after their end.
const ACCESS: SignedDuration = SignedDuration::from_hours(30 * 24);
const REPLICAS: SignedDuration = SignedDuration::from_hours(1);
/// What the fleet did is told for a quarter of a year.
const PULSES: SignedDuration = SignedDuration::from_hours(92 * 24);
/// Rows of each kind that go in one transaction, and transactions in one call.
const ROWS: u32 = 1000;
const ROUNDS: u32 = 20;
/// Machines looked at through one view of the store.
const LOOKS: usize = 200;

impl<S: Store> App<S> {
    /// This server among the others.
    pub fn replica(&self) -> ReplicaId {
        self.inner.replica
    }

    /// Begins to work on the store. Called once, before anybody is answered.
    ///
    /// # Errors
    /// What the store says.
    pub async fn join(&self) -> Result<(), StoreError> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        self.inner.store.join(Joining { replica: self.replica(), version, now: self.now() }).await
    }

    /// Says that this server is alive. One that the others had given up notes every channel again, and looks at each of
    /// their machines: what was decided meanwhile may have passed it by. Called every few seconds.
    ///
    /// # Errors
    /// What the store says.
    pub async fn keep_alive(&self) -> Result<(), StoreError> {
        match self.inner.store.alive(self.inner.registry.online()).await? {
            Standing::Known => Ok(()),
            Standing::Forgotten => {
                tracing::warn!("the other servers had given this one up: noting every channel again");
                self.inner.registry.note_all(self.now());
                self.flush_presence().await;
                self.heed_all(self.inner.registry.signals()).await
            }
        }
    }

    /// Returns when there may be something to heed. A hint: [`App::heed`] is called every two seconds anyway.
    pub async fn stirred(&self) {
        self.inner.store.stirred().await;
    }

    /// Tells machines that hold their channel here what other servers decided about them.
    ///
    /// # Errors
    /// What the store says. What could not be looked at is looked at the next time.
    pub async fn heed(&self) -> Result<(), StoreError> {
        let mut signals = self.inner.registry.take_unheeded();
        match self.inner.store.signals().await {
            Ok(new) => signals.extend(new),
            Err(error) => {
                self.inner.registry.keep_unheeded(signals);
                return Err(error);
            }
        }
        self.heed_all(signals).await
    }

    async fn heed_all(&self, signals: Vec<Signal>) -> Result<(), StoreError> {
        let mut here: Vec<(Signal, Proof)> = Vec::new();
        let mut known = HashSet::new();
        for signal in signals {
            let Some(proof) = self.inner.registry.holder(signal.machine) else { continue };
            if known.insert((signal.machine, signal.order.is_some())) {
                here.push((signal, proof));
            }
        }
        // Rows of an older day are no reason to start a workload again: nothing is ordered by them.
        if self.mode() == Mode::Restored {
            self.inner.registry.keep_unheeded(here.into_iter().map(|(signal, _)| signal).collect());
            return Ok(());
        }
        let mut left = here.as_slice();
        while !left.is_empty() {
            let (now, later) = left.split_at(left.len().min(LOOKS));
            if let Err(error) = self.look_at(now).await {
                self.inner.registry.keep_unheeded(left.iter().map(|(signal, _)| *signal).collect());
                return Err(error);
            }
            left = later;
        }
        Ok(())
    }

    async fn look_at(&self, signals: &[(Signal, Proof)]) -> Result<(), StoreError> {
        let mut reads = self.inner.store.reader().await?;
        for (signal, proof) in signals {
            let registry = &self.inner.registry;
            match told(&mut reads, signal, *proof, self.now()).await? {
                Word::Order(order) => registry.order_holder(signal.machine, *proof, order),
                Word::Close => registry.close_holder(signal.machine, *proof),
                Word::Nothing => {}
            }
        }
        Ok(())
    }

    /// Deletes what is old enough, where no other server does so already; tells how many rows went. Called every
    /// minute or so.
    ///
    /// # Errors
    /// What the store says.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        if self.mode() != Mode::Normal {
            return Ok(0);
        }
        let mut gone = 0;
        for _ in 0..ROUNDS {
            let Some(fence) = self.inner.store.lease(EXPIRY, LEASE).await? else { break };
            let round = self.inner.store.prune(fence, self.aged()).await?;
            gone += round;
            if round < u64::from(ROWS) {
                break;
            }
        }
        Ok(gone)
    }

    fn aged(&self) -> Prune {
        let now = self.now();
        Prune {
            remembered_before: now - REMEMBERED,
            access_before: now - ACCESS,
            replicas_before: now - REPLICAS,
            pulses_before: now - PULSES,
            limit: ROWS,
        }
    }

    /// Every server of the deployment, the oldest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn replicas(&self) -> Result<Vec<Replica>, Error> {
        let known = self.onlooker().await?.replicas().await?;
        let mut replicas: Vec<Replica> = known.into_iter().map(|known| self.shown(known)).collect();
        if !replicas.iter().any(|replica| replica.this) {
            replicas.push(self.itself());
        }
        Ok(replicas)
    }

    /// What this one holds is known here better than in its row.
    fn shown(&self, known: muster_model::Replica) -> Replica {
        let this = known.id == self.replica();
        Replica {
            id: known.id.to_string(),
            version: known.version,
            started_at: known.started_at,
            alive_at: known.alive_at,
            alive: known.alive || this,
            channels: if this { self.inner.registry.online() } else { known.channels },
            this,
        }
    }

    /// A store that belongs to one process keeps no list.
    fn itself(&self) -> Replica {
        Replica {
            id: self.replica().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.inner.started_at,
            alive_at: self.now(),
            alive: true,
            channels: self.inner.registry.online(),
            this: true,
        }
    }
}

/// What the holder of a channel is told.
enum Word {
    Order(ChannelOrder),
    /// It has, or opens, a channel by its newer key.
    Close,
    Nothing,
}

/// What the holder of a channel is told, by the machine's row as it is now.
async fn told<R: Reads>(
    reads: &mut R,
    signal: &Signal,
    proof: Proof,
    now: Timestamp,
) -> Result<Word, StoreError> {
    let Signal { tenant, machine: id, order } = *signal;
    // No row of a machine is ever deleted: one that is not there tells nothing.
    let Some(machine) = reads.machine(tenant, id).await? else { return Ok(Word::Nothing) };
    Ok(match (holder(reads, &machine, proof, now).await?, order) {
        (Holder::Itself, Some(order)) => Word::Order(effects::ordered(order)),
        (Holder::Itself, None) => Word::Order(effects::order(&machine, false)),
        (Holder::Rotated | Holder::Superseded, _) => Word::Close,
        (Holder::Ended, _) => Word::Order(effects::order(&machine, true)),
    })
}
