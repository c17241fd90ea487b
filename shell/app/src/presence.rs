//! Who holds a channel, or is heard of without one. Kept in memory; only comings and goings are written.
//!
//! Invariant: a machine has at most one channel here. A newer one takes the place of the older, which is told to close.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_lifecycle::fork::{Boot, Window};
use muster_model::{MachineId, SignedDuration, TenantId, Timestamp};
use muster_store::{PresenceNote, Signal};
use muster_wire::channel::{Order, SERVER_PATIENCE};
use muster_wire::rotate::Slot;
use tokio::sync::mpsc;

use crate::beats::Beats;
use crate::caller::{MachineCaller, Proof};

/// Orders that may wait in a channel before it counts as stuck and is closed.
const QUEUE: usize = 16;

/// Who holds a channel.
#[derive(Default)]
pub struct Registry {
    channels: Mutex<HashMap<MachineId, Held>>,
    epochs: AtomicU64,
    /// Who is heard of without a channel.
    beats: Beats,
    /// The newest coming or going of a machine that could not be written yet: at most one each.
    unwritten: Mutex<HashMap<MachineId, PresenceNote>>,
    /// Signals whose machines could not be looked at yet.
    unheeded: Mutex<Vec<Signal>>,
}

struct Held {
    tenant: TenantId,
    /// By what its holder showed who it is.
    proof: Proof,
    epoch: u64,
    heard: Arc<AtomicI64>,
    /// What it said of this life of its agent.
    life: Option<Life>,
    bundle: Arc<AtomicU64>,
    /// `None` once the channel was stuck: whoever serves it is told by the end of its orders.
    orders: Option<mpsc::Sender<ChannelOrder>>,
}

/// A life of an agent, and what was counted in it as long as it held the channel.
#[derive(Debug, Clone, Copy)]
struct Life {
    boot: Boot,
    window: Window,
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
    /// The version of the bundle of roots that it says it holds; 0 where it said nothing.
    bundle: Arc<AtomicU64>,
    /// Whether it took the place of another one.
    pub(crate) took_over: bool,
    /// Whether its holder counted again what whoever held that one had counted.
    pub(crate) repeats: bool,
    /// Orders to send. Ends when a newer channel of the same machine took its place.
    pub orders: mpsc::Receiver<ChannelOrder>,
}

impl Registry {
    pub(crate) fn connect(&self, caller: &MachineCaller, bundle: Option<u64>, now: Timestamp) -> Channel {
        let (sender, orders) = mpsc::channel(QUEUE);
        let epoch = self.epochs.fetch_add(1, Ordering::Relaxed);
        let heard = Arc::new(AtomicI64::new(now.as_millisecond()));
        let bundle = Arc::new(AtomicU64::new(bundle.unwrap_or(0)));
        let MachineCaller { tenant, machine, proof, slot, .. } = *caller;
        let mut channels = self.lock();
        let before = channels.get(&machine);
        let took_over = before.is_some();
        let (life, repeats) = Life::of(slot, before.and_then(|held| held.life));
        let held = Held {
            tenant,
            proof,
            epoch,
            heard: Arc::clone(&heard),
            life,
            bundle: Arc::clone(&bundle),
            orders: Some(sender),
        };
        channels.insert(machine, held);
        Channel { tenant, machine, epoch, heard, bundle, took_over, repeats, orders }
    }

    /// Lets go of a channel, unless a newer one took its place. Tells whether the machine is gone.
    pub(crate) fn disconnect(&self, channel: &Channel) -> bool {
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
        if let Some(held) = self.lock().get_mut(&machine) {
            held.order(order);
        }
    }

    /// The same, where the channel is still held by whoever showed this.
    pub(crate) fn order_holder(&self, machine: MachineId, proof: Proof, order: ChannelOrder) {
        if let Some(held) = self.lock().get_mut(&machine).filter(|held| held.proof == proof) {
            held.order(order);
        }
    }

    /// Ends a channel without a word, where it is still held by whoever showed this.
    pub(crate) fn close_holder(&self, machine: MachineId, proof: Proof) {
        if let Some(held) = self.lock().get_mut(&machine).filter(|held| held.proof == proof) {
            held.orders = None;
        }
    }

    /// What whoever holds a machine's channel showed; `None` where nobody holds it.
    pub(crate) fn holder(&self, machine: MachineId) -> Option<Proof> {
        self.lock().get(&machine).map(|held| held.proof)
    }

    /// A signal for every machine that holds a channel here.
    pub(crate) fn signals(&self) -> Vec<Signal> {
        let signal = |(machine, held): (&MachineId, &Held)| Signal {
            tenant: held.tenant,
            machine: *machine,
            order: None,
        };
        self.lock().iter().map(signal).collect()
    }

    pub(crate) fn take_unheeded(&self) -> Vec<Signal> {
        std::mem::take(&mut *self.unheeded.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn keep_unheeded(&self, signals: Vec<Signal>) {
        let mut unheeded = self.unheeded.lock().unwrap_or_else(PoisonError::into_inner);
        unheeded.extend(signals);
    }

    /// Has every machine that holds a channel here looked at anew.
    pub(crate) fn look_again(&self) {
        self.keep_unheeded(self.signals());
    }

    /// Has every channel noted again by the next writing of what is not written. One that was not heard of lately is not:
    /// this server may have slept, and its machine is with another one since.
    pub(crate) fn note_all(&self, now: Timestamp) {
        let lately = SignedDuration::from_secs(SERVER_PATIENCE as i64);
        let channels = self.lock();
        let lively = channels.iter().filter(|(_, held)| now.duration_since(heard_at(&held.heard)) <= lately);
        let notes = lively.map(|(machine, held)| (*machine, held.note(*machine)));
        self.unwritten().extend(notes);
        self.beats.note_again();
    }

    /// A machine that has ended is not waited for.
    pub(crate) fn forget(&self, machine: MachineId) {
        if let Some(note) = self.beats.forget(machine) {
            self.unwritten().insert(machine, note);
        }
    }

    /// When a machine without a channel was heard of.
    pub(crate) fn beat_heard(&self, machine: MachineId, now: Timestamp) -> Option<Timestamp> {
        self.beats.heard(machine, now)
    }

    /// Notes that a machine that holds no channel was heard of: written with others by the next writing.
    pub(crate) fn heard_of(&self, note: PresenceNote) {
        if !self.lock().contains_key(&note.machine) {
            self.unwritten().insert(note.machine, note);
        }
    }

    /// When a machine was last heard of, as far as that is not written.
    pub(crate) fn unwritten_of(&self, machine: MachineId) -> Option<Timestamp> {
        self.unwritten().get(&machine).map(|note| note.last_seen)
    }

    /// Who is heard of without a channel.
    pub(crate) fn beats(&self) -> &Beats {
        &self.beats
    }

    /// Whether what a note says is not so any more; then what is so now.
    pub(crate) fn correction(&self, note: &PresenceNote) -> Option<PresenceNote> {
        let channels = self.lock();
        match (channels.get(&note.machine), note.online) {
            (Some(held), false) => Some(held.note(note.machine)),
            (None, true) if self.beats.note(note.machine).is_some() => None,
            (None, true) => Some(PresenceNote { online: false, ..note.clone() }),
            (None, false) => self.beats.note(note.machine),
            (Some(_), true) => None,
        }
    }

    pub(crate) fn unwritten(&self) -> MutexGuard<'_, HashMap<MachineId, PresenceNote>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MachineId, Held>> {
        // The map is whole at every point where a panic could have happened.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Life {
    /// The life that is told of, and whether it repeats what the one before had counted.
    fn of(slot: Option<Slot>, before: Option<Self>) -> (Option<Self>, bool) {
        let Some(Slot { boot, counter, .. }) = slot else { return (None, false) };
        match before.filter(|before| before.boot == boot) {
            None => (Some(Self { boot, window: Window::first(counter) }), false),
            Some(mut life) => {
                let is_new = life.window.take(counter);
                (Some(life), !is_new)
            }
        }
    }
}

impl Held {
    fn order(&mut self, order: ChannelOrder) {
        if self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_err()) {
            self.orders = None;
        }
    }

    fn note(&self, machine: MachineId) -> PresenceNote {
        PresenceNote {
            tenant: self.tenant,
            machine,
            last_seen: heard_at(&self.heard),
            online: true,
            bundle: said(&self.bundle),
        }
    }
}

fn said(bundle: &AtomicU64) -> Option<u64> {
    Some(bundle.load(Ordering::Relaxed)).filter(|bundle| *bundle > 0)
}

fn heard_at(heard: &AtomicI64) -> Timestamp {
    Timestamp::from_millisecond(heard.load(Ordering::Relaxed)).unwrap_or_default()
}

impl Channel {
    /// Notes that the machine was heard of.
    pub fn heard(&self, now: Timestamp) {
        self.heard.store(now.as_millisecond(), Ordering::Relaxed);
    }

    /// The version of the bundle of roots that the machine says it holds.
    pub fn bundle(&self) -> Option<u64> {
        said(&self.bundle)
    }

    /// Notes which version of the bundle of roots it holds.
    pub(crate) fn holds(&self, bundle: u64) {
        self.bundle.store(bundle, Ordering::Relaxed);
    }

    pub(crate) fn note(&self, online: bool) -> PresenceNote {
        PresenceNote {
            tenant: self.tenant,
            machine: self.machine,
            last_seen: heard_at(&self.heard),
            online,
            bundle: said(&self.bundle),
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::CredentialId;

    use super::*;

    fn caller(n: u8) -> MachineCaller {
        MachineCaller {
            tenant: TenantId::new(1, [0; 10]),
            machine: MachineId::new(1, [n; 10]),
            proof: Proof::Secret(CredentialId::new(1, [n; 10])),
            right: crate::Right::Everything,
            slot: None,
            nonce: None,
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
        let mut older = registry.connect(&caller(1), None, at(1));
        let newer = registry.connect(&caller(1), None, at(2));
        assert!(matches!(older.orders.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
        assert!(!registry.disconnect(&older), "the machine is still there");
        assert_eq!(registry.online(), 1);
        assert!(registry.disconnect(&newer));
        assert_eq!(registry.online(), 0);
    }

    #[test]
    fn a_note_that_was_overtaken_while_it_was_written_is_corrected() {
        let registry = Registry::default();
        let channel = registry.connect(&caller(1), None, at(1));
        let (came, went) = (channel.note(true), channel.note(false));
        assert_eq!(registry.correction(&came), None);
        assert_eq!(registry.correction(&went), Some(came.clone()), "it came back meanwhile");
        registry.disconnect(&channel);
        assert_eq!(registry.correction(&went), None);
        assert_eq!(registry.correction(&came), Some(went), "it went meanwhile");
    }

    #[test]
    fn a_machine_online_is_heard_of_without_any_write() {
        let registry = Registry::default();
        let channel = registry.connect(&caller(1), None, at(1));
        channel.heard(at(9));
        assert_eq!(registry.last_heard(channel.machine), Some(at(9)));
    }

    #[test]
    fn a_stuck_channel_is_told_to_end_and_its_going_is_still_noticed() {
        let registry = Registry::default();
        let mut channel = registry.connect(&caller(1), None, at(1));
        let order = ChannelOrder { order: Order::Renew, reason: None, last: false };
        (0..=QUEUE).for_each(|_| registry.order(channel.machine, order.clone()));
        let received = std::iter::from_fn(|| channel.orders.try_recv().ok()).count();
        assert_eq!(received, QUEUE);
        assert!(matches!(channel.orders.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
        assert!(registry.disconnect(&channel), "its going is noted by whoever serves it");
    }
}
