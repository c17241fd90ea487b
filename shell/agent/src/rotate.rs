//! Carrying out a rotation: files first, then the request; and the key that is shown, which is another one for a while
//! than the durable one.
//!
//! Invariant: `Enrolled::base` is the key that a restart would wake up with. It moves with `identity.json` and nothing else.

use muster_agent_core::{Event, Life, Step, Verdict};
use muster_wire::channel::ServerFrame;
use muster_wire::enroll::Renewed;

use crate::begin::Holding;
use crate::drive::{Driver, News};
use crate::keep::{certificate_of, disk};
use crate::links::Which;
use crate::net::channel;
use crate::store::records::{Identity, RotationNote};
use crate::store::slots::{Slots, Spare};
use crate::{AgentError, Progress};

/// What the other slot holds.
#[derive(Debug, Default)]
pub(crate) struct Other {
    pub(crate) spare: Option<Spare>,
    pub(crate) note: Option<RotationNote>,
}

impl Other {
    pub(crate) fn of(slots: &mut Slots) -> (Self, Option<Step>) {
        let open = slots.open();
        (Self { spare: slots.spare.take(), note: slots.note.take() }, open)
    }

    /// The next key, if it is one that is still to take its place.
    fn next(&self, identity: &Identity) -> Option<(&Spare, &RotationNote)> {
        let (spare, note) = self.spare.as_ref().zip(self.note.as_ref())?;
        (spare.slot == note.slot && note.slot != identity.slot).then_some((spare, note))
    }
}

impl Driver {
    /// Proposes the next key; makes it first where there is none.
    pub(crate) fn rotate(&mut self) {
        if let Err(error) = self.prepare() {
            return self.soon.push_back(Event::RotateFailed(disk(error)));
        }
        let Holding::Enrolled(enrolled) = &self.holding else { return };
        let Some((_, note)) = self.other.next(&enrolled.identity) else { return };
        let (line, enrolled, request) = (self.line.clone(), enrolled.clone(), note.request.clone());
        let by = enrolled.key.fingerprint();
        self.tasks.spawn(async move { News::Rotation(by, line.rotate(&enrolled, &request).await) });
    }

    fn prepare(&mut self) -> Result<(), AgentError> {
        let now = self.setting.ports.clock.now();
        let Holding::Enrolled(enrolled) = &mut self.holding else { return Ok(()) };
        // Only the durable key vouches.
        if enrolled.base != enrolled.key.fingerprint() {
            save(&self.store, enrolled)?;
        }
        if self.other.next(&enrolled.identity).is_some() {
            return Ok(());
        }
        // What a rotation before left over; a key that was never spoken of is taken.
        if self.other.note.is_some() {
            self.store.forget(enrolled.identity.slot.other())?;
        }
        self.other = Other::default();
        let (spare, note) = self.store.begin_rotation(enrolled, now)?;
        tracing::info!(rotation = %note.request.rotation, key = %spare.key.fingerprint(), "the next key is made");
        self.other = Other { spare: Some(spare), note: Some(note) };
        Ok(())
    }

    /// Makes the next key's certificate durable.
    pub(crate) fn keep_certified(&mut self, renewed: Renewed) -> Result<Event, Verdict> {
        let Holding::Enrolled(enrolled) = &mut self.holding else { return Err(not_asked()) };
        let Some((spare, note)) = self.other.next(&enrolled.identity) else { return Err(not_asked()) };
        let (certificate, chain) = certificate_of(&renewed.credential, &spare.key)?;
        let note = RotationNote { credential: Some(renewed.credential.id), ..note.clone() };
        self.store.save_certified(&note, &certificate).map_err(disk)?;
        let spare = Spare { chain, ..spare.clone() };
        let is_other = enrolled.identity.trust.version != renewed.trust.version;
        self.other = Other { spare: Some(spare), note: Some(note) };
        // The next channel says which roots are held: those that are durable.
        if is_other {
            self.keep_trust(renewed.trust);
        }
        Ok(Event::Certified)
    }

    /// Opens a channel by the next key, beside the present one.
    pub(crate) fn try_next(&mut self) {
        let Holding::Enrolled(enrolled) = &self.holding else { return };
        let Some((next, _)) = self.other.next(&enrolled.identity) else { return };
        let next = next.shown(enrolled.identity.clone(), enrolled.base);
        let (ear, acknowledged) = self.links.open(Which::Beside);
        let (line, number) = (self.line.clone(), ear.number);
        self.tasks
            .spawn(async move { News::Channel(number, channel::hold(line, next, ear, acknowledged).await) });
    }

    /// What is heard by the next key: a greeting to this machine makes it the present one.
    pub(crate) fn understand_next(&mut self, frame: ServerFrame) -> Option<Event> {
        let ServerFrame::Hello { machine, state, server_time } = frame else { return None };
        let Holding::Enrolled(enrolled) = &self.holding else { return None };
        let (next, note) = self.other.next(&enrolled.identity)?;
        if enrolled.identity.machine.id != machine {
            self.links.lost(Which::Beside);
            return Some(Event::NextClosed(Verdict::later("the server takes us for another machine")));
        }
        self.setting.ports.clock.learn(server_time);
        let standing = muster_agent_core::Standing::from_wire(&state);
        Some(Event::NextOpened { standing, life: next.life(), made_at: note.begun_at })
    }

    /// Shows the next key from now on. In memory alone: the core has it noted next.
    pub(crate) fn take_next(&mut self) {
        self.links.take_beside();
        let life = self.exchange();
        let Holding::Enrolled(enrolled) = &self.holding else { return };
        let key = enrolled.key.fingerprint().to_string();
        tracing::info!(%key, ends = ?life.map(|life| life.not_after), "the next key has worked");
        self.tell(Progress::Rotated { key });
    }

    /// Notes durably which key is shown.
    pub(crate) fn settle(&mut self) {
        let Holding::Enrolled(enrolled) = &mut self.holding else { return };
        self.soon.push_back(match save(&self.store, enrolled) {
            Ok(()) => Event::Settled,
            Err(error) => Event::SettleFailed(disk(error)),
        });
    }

    /// Lets the server hear which key is in the durable slot.
    pub(crate) fn confirm(&mut self) {
        let Holding::Enrolled(enrolled) = &self.holding else { return };
        let (line, enrolled) = (self.line.clone(), enrolled.clone());
        let by = enrolled.key.fingerprint();
        self.tasks.spawn(async move { News::Confirmation(by, line.confirm(&enrolled).await) });
    }

    /// Removes the key before, which the server takes no more.
    pub(crate) fn forget(&mut self) {
        let Holding::Enrolled(enrolled) = &self.holding else { return };
        self.soon.push_back(match self.store.forget(enrolled.identity.slot.other()) {
            Ok(()) => {
                self.other = Other::default();
                Event::Forgotten
            }
            Err(error) => Event::ConfirmFailed(disk(error)),
        });
    }

    /// Removes the next key, which will never be one.
    pub(crate) fn abandon(&mut self) {
        let Holding::Enrolled(enrolled) = &self.holding else { return };
        self.links.lost(Which::Beside);
        tracing::warn!("the server will not take the next key: another one is made");
        if let Err(error) = self.store.forget(enrolled.identity.slot.other()) {
            tracing::error!(%error, "the next key cannot be removed");
        }
        self.other = Other::default();
    }

    /// Shows the key of the other slot instead of one that the server ended.
    pub(crate) fn swap(&mut self) {
        let life = self.exchange();
        tracing::warn!(there = life.is_some(), "the server ended this key: the other slot's is shown");
        self.soon.push_back(Event::Swapped(life));
    }

    /// The key of the other slot is shown, and the one before lies there.
    fn exchange(&mut self) -> Option<Life> {
        let Holding::Enrolled(enrolled) = &mut self.holding else { return None };
        let spare = self.other.spare.take()?;
        let before = Spare {
            slot: enrolled.identity.slot,
            key: std::mem::replace(&mut enrolled.key, spare.key.clone()),
            chain: std::mem::replace(&mut enrolled.chain, spare.chain.clone()),
        };
        let identity = &mut enrolled.identity;
        (identity.slot, identity.life) = (spare.slot, spare.life());
        if let Some(note) = self.other.note.as_ref().filter(|note| note.slot == spare.slot) {
            identity.key_made_at = Some(note.begun_at);
            identity.credential = note.credential.clone().unwrap_or_default();
        }
        self.other.spare = Some(before);
        Some(identity.life)
    }
}

/// Writes who this machine is. Whatever else it was written for, the key that is shown is the durable one then.
pub(crate) fn save(
    store: &crate::store::Store,
    enrolled: &mut crate::store::Enrolled,
) -> Result<(), AgentError> {
    store.save_standing(&enrolled.identity)?;
    enrolled.base = enrolled.key.fingerprint();
    Ok(())
}

fn not_asked() -> Verdict {
    Verdict::later("an answer to a question that was not asked")
}
