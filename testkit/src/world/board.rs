//! Several replicas in one process: what one commits that concerns machines is signalled to the others, as a database
//! does that several servers share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use muster_lifecycle::{Change, MachineChange, Plan};
use muster_model::TenantId;
use muster_store::{Signal, StoreError};
use tokio::sync::Notify;

/// Where replicas leave signals for each other. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<Vec<Arc<Seat>>>>);

/// The place of one replica: what waits for it, and how it stands with the others.
#[derive(Default)]
pub struct Seat {
    signals: Mutex<Vec<Signal>>,
    stirred: Notify,
    forgotten: AtomicBool,
    cut_off: AtomicBool,
    blind: AtomicBool,
    said_alive: AtomicU64,
}

impl Board {
    /// A place for one more replica.
    pub(crate) fn seat(&self) -> Arc<Seat> {
        let seat = Arc::new(Seat::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&seat));
        seat
    }

    /// Signals what was committed to all but the one who did it.
    pub(crate) fn tell<O>(&self, from: &Arc<Seat>, plan: &Plan<O>) {
        let Some(tenant) = plan.entries().first().map(|entry| entry.tenant) else { return };
        let signals: Vec<Signal> =
            plan.changes().iter().filter_map(|change| signal(tenant, change)).collect();
        if signals.is_empty() {
            return;
        }
        for seat in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if !Arc::ptr_eq(seat, from) {
                seat.signal(&signals);
            }
        }
    }
}

fn signal(tenant: TenantId, change: &Change) -> Option<Signal> {
    match change {
        Change::Machine(MachineChange::Update(machine)) => {
            Some(Signal { tenant, machine: machine.id, order: None })
        }
        Change::Machine(MachineChange::Order { machine, order }) => {
            Some(Signal { tenant, machine: *machine, order: Some(*order) })
        }
        _ => None,
    }
}

impl Seat {
    /// Leaves signals for this replica.
    pub fn signal(&self, signals: &[Signal]) {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner).extend(signals);
        self.stirred.notify_one();
    }

    /// The others give this replica up: it learns so when it next says that it is alive.
    pub fn forget(&self) {
        self.forgotten.store(true, Ordering::SeqCst);
    }

    /// Cuts this replica off from its store, or lets it back.
    pub fn cut_off(&self, is_cut: bool) {
        self.cut_off.store(is_cut, Ordering::SeqCst);
    }

    /// Lets this replica read nothing, or everything again. What else it asks of its store is answered.
    pub fn blind(&self, is_blind: bool) {
        self.blind.store(is_blind, Ordering::SeqCst);
    }

    /// How often it said that it is alive.
    pub fn said_alive(&self) -> u64 {
        self.said_alive.load(Ordering::SeqCst)
    }

    pub(crate) fn take(&self) -> Vec<Signal> {
        std::mem::take(&mut *self.signals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Counts; tells whether the replica was given up meanwhile.
    pub(crate) fn alive(&self) -> bool {
        self.said_alive.fetch_add(1, Ordering::SeqCst);
        self.forgotten.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn reached(&self) -> Result<(), StoreError> {
        match self.cut_off.load(Ordering::SeqCst) {
            true => Err(unreachable()),
            false => Ok(()),
        }
    }

    pub(crate) fn readable(&self) -> Result<(), StoreError> {
        self.reached()?;
        match self.blind.load(Ordering::SeqCst) {
            true => Err(unreachable()),
            false => Ok(()),
        }
    }
}

fn unreachable() -> StoreError {
    StoreError::Unavailable { what: "reach the store", cause: "cut off".into() }
}
