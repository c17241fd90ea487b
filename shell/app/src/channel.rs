//! A machine's channel opens and closes, a machine without one calls: what is asked first, and what of it is written.
//!
//! Never answers for who is here: that is [`crate::presence`].
//!
//! Invariant: a full disk makes nobody look offline. What could not be written is kept, the newest of each machine.

use muster_lifecycle::MachineOrder;
use muster_model::{KeyStanding, Machine, MachineId, Refusal, TenantId, Timestamp};
use muster_store::{PresenceNote, Reads, Store, StoreError};

use crate::App;
use crate::caller::{MachineCaller, Proof};
use crate::effects;
use crate::error::Error;
use crate::presence::Channel;

impl<S: Store> App<S> {
    /// A machine opens its channel.
    ///
    /// # Errors
    /// [`muster_model::Refusal::Revoked`] for one that ended since it showed who it is; [`Error::Store`] where that
    /// could not be read.
    pub async fn channel_open(&self, caller: &MachineCaller) -> Result<Channel, Error> {
        self.channel_open_holding(caller, None).await
    }

    /// The same, by a machine that says which version of the bundle of roots it holds.
    ///
    /// # Errors
    /// As [`Self::channel_open`].
    pub async fn channel_open_holding(
        &self,
        caller: &MachineCaller,
        bundle: Option<u64>,
    ) -> Result<Channel, Error> {
        let bundle = self.at_most_published(bundle).await;
        let channel = self.inner.registry.connect(caller, bundle, self.now());
        self.hear(caller, channel.repeats).await;
        // Asked once orders reach it, and last: what is decided from now on comes down the channel.
        if let Err(error) = self.where_it_stands(caller).await {
            self.inner.registry.disconnect(&channel);
            return Err(error);
        }
        if channel.took_over && matches!(caller.proof, Proof::Secret(_)) {
            self.pushed_off(caller).await;
        }
        self.write_presence(channel.note(true)).await;
        metrics::gauge!("muster_machines_online").set(self.inner.registry.online() as f64);
        Ok(channel)
    }

    /// Refuses one that counts no more; tells one whose key is to be replaced that it is.
    async fn where_it_stands(&self, caller: &MachineCaller) -> Result<(), Error> {
        let mut reads = self.reader().await?;
        let machine = reads.machine(caller.tenant, caller.machine).await?;
        let machine = machine.ok_or(Refusal::UnknownMachine)?;
        let holder = holder(&mut reads, &machine, caller.proof, self.now()).await?;
        let record = match caller.proof.key() {
            Some(key) => reads.key(caller.tenant, key).await?,
            None => None,
        };
        drop(reads);
        match holder {
            Holder::Itself => {}
            Holder::Rotated => return Err(Refusal::RotationNeeded.into()),
            Holder::Superseded => return Err(Refusal::Superseded.into()),
            // Nobody is told that it ended where that can be undone.
            Holder::Ended if machine.state.undone_until().is_some() => return Err(Refusal::Reaped.into()),
            Holder::Ended => return Err(Refusal::Revoked.into()),
        }
        let machine = self.heard_again(machine).await?;
        match record {
            Some(record) if record.ordered_at.is_some() => {
                let order = effects::ordered(MachineOrder::Rotate);
                self.inner.registry.order_holder(caller.machine, caller.proof, order);
            }
            Some(_) if self.must_rotate(&machine) => self.urge_later(caller.tenant, caller.machine),
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Nobody holds what was never given out. Another server may have published it a moment ago.
    async fn at_most_published(&self, bundle: Option<u64>) -> Option<u64> {
        let is_known = |bundle: u64| bundle <= self.ca().bundle;
        if bundle.is_some_and(|bundle| !is_known(bundle))
            && let Err(error) = self.follow_ca().await
        {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "whether there is a newer bundle is not known"
            );
        }
        bundle.map(|bundle| bundle.min(self.ca().bundle))
    }

    /// A machine holds this version of the bundle of roots, durably. Written with others, later.
    pub async fn channel_holds(&self, channel: &Channel, bundle: u64) {
        let Some(bundle) = self.at_most_published(Some(bundle)).await else { return };
        channel.holds(bundle);
        let note = channel.note(true);
        self.inner.registry.unwritten().insert(note.machine, note);
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
        self.inner.registry.unwritten().remove(&note.machine);
        self.write_notes(vec![note]).await;
    }

    /// A machine without a channel calls. What changes by that is written with the next [`App::flush_presence`].
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn beat(&self, tenant: TenantId, machine: MachineId) -> Result<(), Error> {
        let written = self.reader().await?.presence(tenant, machine).await?;
        let registry = &self.inner.registry;
        if let Some(note) = registry.beats().hear((tenant, machine), written, self.now()) {
            registry.unwritten().insert(machine, note);
        }
        Ok(())
    }

    /// Writes who came and went without a channel, and what could not be written before. Called every few seconds.
    pub async fn flush_presence(&self) {
        let silent = self.inner.registry.beats().expire(self.now());
        self.inner.registry.unwritten().extend(silent.into_iter().map(|note| (note.machine, note)));
        let notes = self.inner.registry.unwritten().drain().map(|(_, note)| note).collect();
        self.write_notes(notes).await;
    }

    /// Writes notes, and what became of their machines while they were written: two transactions may commit in another
    /// order than they were begun in, and whoever writes last must have written what is so.
    async fn write_notes(&self, mut notes: Vec<PresenceNote>) {
        let registry = &self.inner.registry;
        while !notes.is_empty() {
            if let Err(error) = self.inner.store.note_presence(notes.clone()).await {
                tracing::warn!(machines = notes.len(), %error, "presence is written later");
                let mut unwritten = registry.unwritten();
                for note in notes {
                    // What came in meanwhile is newer.
                    unwritten.entry(note.machine).or_insert(note);
                }
                return;
            }
            notes = notes.iter().filter_map(|note| registry.correction(note)).collect();
        }
    }
}

/// What whoever holds a channel is by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The machine.
    Itself,
    /// The machine, by the key before its present one: it has another channel, or opens one in a moment.
    Rotated,
    /// Somebody by a key whose place a newer one took: who has that one knows, and who has not asks, and is told.
    Superseded,
    /// Not the machine any more.
    Ended,
}

/// Who showed this: the machine may have ended, or what it showed, a moment later.
pub(crate) async fn holder<R: Reads>(
    reads: &mut R,
    machine: &Machine,
    proof: Proof,
    now: Timestamp,
) -> Result<Holder, StoreError> {
    let counts = muster_lifecycle::machine::still_counts(Some(machine), proof.key()).is_ok();
    match proof {
        Proof::Key(_) if counts => Ok(Holder::Itself),
        Proof::Key(key) => {
            let record = reads.key(machine.tenant, key).await?;
            Ok(match record.map(|record| record.standing) {
                Some(KeyStanding::Previous) => Holder::Rotated,
                Some(KeyStanding::Superseded) => Holder::Superseded,
                _ => Holder::Ended,
            })
        }
        Proof::Secret(id) => {
            let credential = reads.credential(machine.tenant, id).await?;
            let is_live = counts && credential.is_some_and(|credential| credential.is_live(now));
            Ok(if is_live { Holder::Itself } else { Holder::Ended })
        }
    }
}
