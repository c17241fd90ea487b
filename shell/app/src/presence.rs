//! Who holds a channel. Kept in memory; only comings and goings are written.
//!
//! Invariant: a machine has at most one channel here. A newer one takes the place of the older, which is told to close.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
}

struct Held {
    epoch: u64,
    heard: Arc<AtomicI64>,
    orders: mpsc::Sender<ChannelOrder>,
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
        let held = Held { epoch, heard: Arc::clone(&heard), orders: sender };
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

    /// Sends an order to a machine that holds a channel. A channel whose queue is full is stuck: it is let go, and
    /// the machine learns where it stands when it connects again.
    pub fn order(&self, machine: MachineId, order: ChannelOrder) {
        let mut channels = self.lock();
        if let Some(held) = channels.get(&machine)
            && held.orders.try_send(order).is_err()
        {
            channels.remove(&machine);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<MachineId, Held>> {
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
        let noted = self.inner.store.note_presence(vec![channel.note(true)]).await;
        // A full disk must not make the fleet look offline: presence goes on in memory.
        if let Err(error) = noted {
            tracing::warn!(machine = %caller.machine, %error, "the coming of a machine could not be written");
        }
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
        if let Err(error) = self.inner.store.note_presence(vec![channel.note(false)]).await {
            tracing::warn!(machine = %channel.machine, %error, "the going of a machine could not be written");
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
    fn a_stuck_channel_is_let_go() {
        let registry = Registry::default();
        let channel = registry.connect(&caller(1), at(1));
        let order = ChannelOrder { order: Order::Renew, reason: None, last: false };
        (0..=QUEUE).for_each(|_| registry.order(channel.machine, order.clone()));
        assert_eq!(registry.online(), 0);
    }
}
