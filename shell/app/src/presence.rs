//! Who holds a channel. Kept in memory; only comings and goings are written.
//!
//! Invariant: a machine has at most one channel here. A newer one takes the place of the older, which is told to close.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_model::{MachineId, TenantId, Timestamp};
use muster_store::{PresenceNote, Reads, Store};
use muster_wire::channel::Order;
use tokio::sync::mpsc;

use crate::App;
use crate::caller::MachineCaller;
use crate::error::Error;

/// Orders that may wait in a channel before it counts as stuck and is closed.
const QUEUE: usize = 16;

/// Who holds a channel.
#[derive(Default)]
pub struct Registry {
    channels: Mutex<HashMap<MachineId, Held>>,
    epochs: AtomicU64,
    /// The newest coming or going of a machine that could not be written yet: at most one each.
    unwritten: Mutex<HashMap<MachineId, PresenceNote>>,
}

struct Held {
    epoch: u64,
    heard: Arc<AtomicI64>,
    /// `None` once the channel was stuck: whoever serves it is told by the end of its orders.
    orders: Option<mpsc::Sender<ChannelOrder>>,
}

/// Something to send down a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelOrder {
    /// What.
    pub order: Order,
    /// What the operator said.
    pub reason: Option<String>,
    /// Whether the channel closes once the order was acknowledged.
    pub last: bool,
}

/// One end of a machine's channel, held by whoever serves the connection.
pub struct Channel {
    tenant: TenantId,
    machine: MachineId,
    epoch: u64,
    heard: Arc<AtomicI64>,
    /// Orders to send. Ends when a newer channel of the same machine took its place.
    pub orders: mpsc::Receiver<ChannelOrder>,
}

impl Registry {
    fn connect(&self, caller: &MachineCaller, now: Timestamp) -> Channel {
        let (sender, orders) = mpsc::channel(QUEUE);
        let epoch = self.epochs.fetch_add(1, Ordering::Relaxed);
        let heard = Arc::new(AtomicI64::new(now.as_millisecond()));
        let held = Held { epoch, heard: Arc::clone(&heard), orders: Some(sender) };
        self.lock().insert(caller.machine, held);
        Channel { tenant: caller.tenant, machine: caller.machine, epoch, heard, orders }
    }

    /// Lets go of a channel, unless a newer one took its place. Tells whether the machine is gone.
    fn disconnect(&self, channel: &Channel) -> bool {
        let mut channels = self.lock();
        let is_mine = channels.get(&channel.machine).is_some_and(|held| held.epoch == channel.epoch);
        if is_mine {
            channels.remove(&channel.machine);
        }
        is_mine
    }

    /// When a machine that holds a channel was last heard of.
    pub fn last_heard(&self, machine: MachineId) -> Option<Timestamp> {
        let channels = self.lock();
        let millis = channels.get(&machine)?.heard.load(Ordering::Relaxed);
        Timestamp::from_millisecond(millis).ok()
    }

    /// How many machines hold a channel.
    pub fn online(&self) -> u64 {
        self.lock().len() as u64
    }

    /// Sends an order to a machine that holds a channel. A channel whose queue is full is stuck: it is told to end, and
    /// the machine learns where it stands when it connects again.
    pub fn order(&self, machine: MachineId, order: ChannelOrder) {
        let mut channels = self.lock();
        let Some(held) = channels.get_mut(&machine) else { return };
        if held.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_err()) {
            held.orders = None;
        }
    }

    fn unwritten(&self) -> MutexGuard<'_, HashMap<MachineId, PresenceNote>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MachineId, Held>> {
        // The map is whole at every point where a panic could have happened.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channel {
    /// Notes that the machine was heard of.
    pub fn heard(&self, now: Timestamp) {
        self.heard.store(now.as_millisecond(), Ordering::Relaxed);
    }

    fn note(&self, online: bool) -> PresenceNote {
        let last_seen = Timestamp::from_millisecond(self.heard.load(Ordering::Relaxed)).unwrap_or_default();
        PresenceNote { tenant: self.tenant, machine: self.machine, last_seen, online }
    }
}

impl<S: Store> App<S> {
    /// A machine opens its channel.
    ///
    /// # Errors
    /// [`muster_model::Refusal::Revoked`] for one that ended since it showed who it is; [`Error::Store`] where that
    /// could not be read.
    pub async fn channel_open(&self, caller: &MachineCaller) -> Result<Channel, Error> {
        let channel = self.inner.registry.connect(caller, self.now());
        // Asked once orders reach it: what is decided from now on comes down the channel.
        if let Err(error) = self.still_counts(caller).await {
            self.inner.registry.disconnect(&channel);
            return Err(error);
        }
        self.write_presence(channel.note(true)).await;
        metrics::gauge!("muster_machines_online").set(self.inner.registry.online() as f64);
        Ok(channel)
    }

    async fn still_counts(&self, caller: &MachineCaller) -> Result<(), Error> {
        let machine = self.inner.store.reader().await?.machine(caller.tenant, caller.machine).await?;
        muster_lifecycle::machine::still_counts(machine.as_ref(), caller.key)?;
        Ok(())
    }

    /// A machine's channel closed.
    pub async fn channel_closed(&self, channel: Channel) {
        if !self.inner.registry.disconnect(&channel) {
            return;
        }
        metrics::gauge!("muster_machines_online").set(self.inner.registry.online() as f64);
        self.write_presence(channel.note(false)).await;
    }

    /// Writes a coming or going. A full disk must not make the fleet look offline, nor lose when a machine was last
    /// seen: presence goes on in memory, and what could not be written is kept for later.
    async fn write_presence(&self, note: PresenceNote) {
        let machine = note.machine;
        self.inner.registry.unwritten().remove(&machine);
        if let Err(error) = self.inner.store.note_presence(vec![note.clone()]).await {
            tracing::warn!(%machine, %error, "presence is written later");
            self.inner.registry.unwritten().insert(machine, note);
        }
    }

    /// Writes what could not be written before. Called every few seconds.
    pub async fn flush_presence(&self) {
        let notes: Vec<PresenceNote> =
            self.inner.registry.unwritten().drain().map(|(_, note)| note).collect();
        if notes.is_empty() {
            return;
        }
        if let Err(error) = self.inner.store.note_presence(notes.clone()).await {
            tracing::debug!(%error, "presence is still not written");
            let mut unwritten = self.inner.registry.unwritten();
            for note in notes {
                // What came in meanwhile is newer.
                unwritten.entry(note.machine).or_insert(note);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(n: u8) -> MachineCaller {
        MachineCaller {
            tenant: TenantId::new(1, [0; 10]),
            machine: MachineId::new(1, [n; 10]),
            key: None,
            expired: false,
            suspended: false,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_newer_channel_takes_the_place_of_the_older() {
        let registry = Registry::default();
        let mut older = registry.connect(&caller(1), at(1));
        let newer = registry.connect(&caller(1), at(2));
        assert!(matches!(older.orders.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
        assert!(!registry.disconnect(&older), "the machine is still there");
        assert_eq!(registry.online(), 1);
        assert!(registry.disconnect(&newer));
        assert_eq!(registry.online(), 0);
    }

    #[test]
    fn a_machine_online_is_heard_of_without_any_write() {
        let registry = Registry::default();
        let channel = registry.connect(&caller(1), at(1));
        channel.heard(at(9));
        assert_eq!(registry.last_heard(channel.machine), Some(at(9)));
    }

    #[test]
    fn a_stuck_channel_is_told_to_end_and_its_going_is_still_noticed() {
        let registry = Registry::default();
        let mut channel = registry.connect(&caller(1), at(1));
        let order = ChannelOrder { order: Order::Renew, reason: None, last: false };
        (0..=QUEUE).for_each(|_| registry.order(channel.machine, order.clone()));
        let received = std::iter::from_fn(|| channel.orders.try_recv().ok()).count();
        assert_eq!(received, QUEUE);
        assert!(matches!(channel.orders.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
        assert!(registry.disconnect(&channel), "its going is noted by whoever serves it");
    }
}
