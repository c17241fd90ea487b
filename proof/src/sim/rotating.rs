//! The next key of a simulated machine, as the real agent has it: files first, then the request, and one atomic write that
//! makes the other slot the durable one.

use std::sync::{Arc, OnceLock};

use muster_agent_core::{Event, Life, Standing, Verdict};
use muster_testkit::world::Device;
use muster_wire::channel::ServerFrame;
use muster_wire::enroll::Renewed;

use super::call::{Call, Kind};
use super::carry::Gone;
use super::disk::{Content, DiskError, ROTATION, RotationNote};
use super::host::{Link, Process, Trouble};
use super::links::Which;
use super::plant::Plant;
use super::slots::{Enrolled, Other, Spare, life_of};
use super::steps::{Column, Step};
use super::world::World;

impl World {
    /// Proposes the next key; makes it first where there is none.
    pub(super) fn rotate(&mut self, host: usize) -> Result<(), Gone> {
        match self.prepare(host) {
            Ok(()) => {}
            Err(Trouble::Crashed) => return Err(Gone),
            Err(Trouble::Disk(error)) => {
                self.soon(host, Event::RotateFailed(Verdict::Disk { what: format!("{error:?}") }));
                return Ok(());
            }
        }
        let Some(process) = &mut self.hosts[host].process else { return Err(Gone) };
        let Some(enrolled) = process.enrolled().cloned() else { return Ok(()) };
        let Some((spare, note)) = process.other.next(&enrolled.identity) else { return Ok(()) };
        let (slot, key, request) = (spare.slot, spare.device.fingerprint(), Box::new(note.request.clone()));
        let said = process.says(enrolled.base);
        self.is_durable(host, slot, key);
        let signed = Arc::new(OnceLock::new());
        let call = Call::Rotate { device: enrolled.device, slot: said, request, signed };
        self.send(host, Kind::Rotate, call).map(drop)
    }

    fn prepare(&mut self, host: usize) -> Result<(), Trouble> {
        let enrolled = self.shown(host)?;
        // Only the durable key vouches.
        if enrolled.base != enrolled.device.fingerprint() {
            self.save_identity(host, Step::Settle)?;
        }
        let other = self.other(host)?;
        let again = self.plant() != Some(Plant::AnotherKeyEachTry);
        if again && other.next(&enrolled.identity).is_some() {
            return Ok(());
        }
        if other.note.is_some() {
            self.remove_slot(host, &enrolled)?;
        }
        let other = self.begin_rotation(host, &enrolled)?;
        if let Some(process) = &mut self.hosts[host].process {
            process.other = other;
        }
        Ok(())
    }

    /// The next key and its proposal, durable. A key that lies there and was never spoken of is taken.
    fn begin_rotation(&mut self, host: usize, enrolled: &Enrolled) -> Result<Other, Trouble> {
        let slot = enrolled.identity.slot.other();
        let mut seed = [0; 32];
        self.hub.lock().dice.fill(&mut seed);
        let seed = self.hosts[host].disk.key(slot).unwrap_or(seed);
        let device = Arc::new(Device::seeded(seed, &self.hosts[host].name));
        self.hosts[host].disk.remove(ROTATION);
        if self.plant() != Some(Plant::NextKeyNotWritten) {
            self.write(host, Step::MakeNext, slot.key_file(), Content::Key(seed))?;
        }
        self.hosts[host].disk.remove(slot.certificate_file());
        let mut rotation = [0; 16];
        self.hub.lock().dice.fill(&mut rotation);
        let request = enrolled.device.rotates_to(&device, rotation);
        let (begun_at, by) = (self.hour_of(host), enrolled.device.fingerprint());
        let note = RotationNote { slot, begun_at, by, request, certified: false };
        self.write(host, Step::MakeNext, ROTATION, Content::Rotation(Box::new(note.clone())))?;
        self.hosts[host].keys.push(device.fingerprint());
        Ok(Other { spare: Some(Spare { slot, device, certificate: Vec::new() }), note: Some(note) })
    }

    /// What an answer to proposing the next key means, once it is durable.
    pub(super) fn keep_rotation(&mut self, host: usize, renewed: Renewed) {
        let kept = self.keep_certified(host, renewed);
        self.tell_core(host, kept, Event::RotateFailed);
    }

    fn keep_certified(&mut self, host: usize, renewed: Renewed) -> Result<Event, Trouble> {
        let (enrolled, other) = (self.shown(host)?, self.other(host)?);
        let Some((spare, note)) = other.next(&enrolled.identity) else {
            return Err(Trouble::Disk(DiskError::Corrupt));
        };
        let (slot, key) = (spare.slot, spare.device.fingerprint());
        let (der, _) = self.taken(host, &renewed.credential, key)?;
        self.learn(host, renewed.server_time);
        let note = RotationNote { certified: true, ..note.clone() };
        self.write(host, Step::StoreNext, ROTATION, Content::Rotation(Box::new(note)))?;
        let file = Content::Certificate(der.clone(), key);
        self.write(host, Step::StoreNext, slot.certificate_file(), file)?;
        let spare = self.hosts[host].process.as_mut().and_then(|process| process.other.spare.as_mut());
        if let Some(spare) = spare {
            spare.certificate = der;
        }
        Ok(Event::Certified)
    }

    /// Opens a channel by the next key, beside the present one.
    pub(super) fn try_next(&mut self, host: usize) -> Result<(), Gone> {
        let Some(process) = &mut self.hosts[host].process else { return Err(Gone) };
        let Some(enrolled) = process.enrolled().cloned() else { return Ok(()) };
        let Some((spare, _)) = process.other.next(&enrolled.identity) else { return Ok(()) };
        let (certificate, next) = (spare.certificate.clone(), spare.device.fingerprint());
        let by_memory = self.hub.lock().setup.plant == Some(Plant::BaseFollowsMemory);
        let slot = process.says(if by_memory { next } else { enrolled.base });
        let request = self.send(host, Kind::Next, Call::Channel { certificate, slot })?;
        self.link(host, Which::Beside, Link::Opening(request));
        Ok(())
    }

    /// What is heard by the next key: a greeting to this machine makes it the present one.
    pub(super) fn heard_next(&mut self, host: usize, frame: ServerFrame) {
        let ServerFrame::Hello { machine, state, server_time } = frame else { return };
        let (Ok(enrolled), Ok(other)) = (self.shown(host), self.other(host)) else { return };
        let Some((spare, note)) = other.next(&enrolled.identity) else { return };
        if enrolled.identity.machine != machine {
            return self.taken_for(host, Which::Beside, &machine);
        }
        self.learn(host, server_time);
        let standing = Standing::from_wire(&state);
        let life = life_of(&spare.certificate, &self.trust_domain);
        self.step(host, Event::NextOpened { standing, life, made_at: note.begun_at });
    }

    /// Shows the next key from now on, in memory alone.
    pub(super) fn take_next(&mut self, host: usize) -> Result<(), Gone> {
        let Some(process) = &mut self.hosts[host].process else { return Err(Gone) };
        let before = std::mem::replace(&mut process.link, process.beside);
        process.beside = Link::Closed;
        process.first_channel = false;
        if let Link::Open(channel) = before {
            self.abandoned(channel);
        }
        self.exchange(host);
        Ok(())
    }

    /// Notes durably which key is shown.
    pub(super) fn settle(&mut self, host: usize) -> Result<(), Gone> {
        if self.plant() == Some(Plant::SlotNotNoted) {
            if let Some(enrolled) = self.hosts[host].process.as_mut().and_then(Process::enrolled_mut) {
                enrolled.base = enrolled.device.fingerprint();
            }
            self.soon(host, Event::Settled);
            return Ok(());
        }
        let event = match self.save_identity(host, Step::Settle) {
            Err(Trouble::Crashed) => return Err(Gone),
            Err(Trouble::Disk(error)) => Event::SettleFailed(Verdict::Disk { what: format!("{error:?}") }),
            Ok(()) => Event::Settled,
        };
        self.soon(host, event);
        Ok(())
    }

    /// Lets the server hear which key is in the durable slot.
    pub(super) fn confirm(&mut self, host: usize) -> Result<(), Gone> {
        let Some(process) = &mut self.hosts[host].process else { return Err(Gone) };
        let Some(enrolled) = process.enrolled().cloned() else { return Ok(()) };
        let slot = process.says(enrolled.base);
        self.send(host, Kind::Confirm, Call::Confirm { certificate: enrolled.certificate, slot }).map(drop)
    }

    /// Removes the key before, which the server takes no more.
    pub(super) fn forget(&mut self, host: usize) -> Result<(), Gone> {
        let Ok(enrolled) = self.shown(host) else { return Err(Gone) };
        let event = match self.remove_slot(host, &enrolled) {
            Err(Trouble::Crashed) => return Err(Gone),
            Err(Trouble::Disk(error)) => Event::ConfirmFailed(Verdict::Disk { what: format!("{error:?}") }),
            Ok(()) => Event::Forgotten,
        };
        if event == Event::Forgotten
            && let Some(process) = &mut self.hosts[host].process
        {
            process.other = Other::default();
        }
        self.soon(host, event);
        Ok(())
    }

    /// Removes the next key, which will never be one.
    pub(super) fn abandon(&mut self, host: usize) -> Result<(), Gone> {
        let Ok(enrolled) = self.shown(host) else { return Err(Gone) };
        self.hosts[host].abandoned = true;
        self.lost_beside(host);
        if let Err(Trouble::Crashed) = self.remove_slot(host, &enrolled) {
            return Err(Gone);
        }
        if let Some(process) = &mut self.hosts[host].process {
            process.other = Other::default();
        }
        Ok(())
    }

    fn lost_beside(&mut self, host: usize) {
        let Some(process) = &mut self.hosts[host].process else { return };
        if let Link::Open(channel) = std::mem::replace(&mut process.beside, Link::Closed) {
            self.abandoned(channel);
        }
    }

    /// Shows the key of the other slot instead of one that the server ended.
    pub(super) fn swap(&mut self, host: usize) {
        let life = self.exchange(host);
        self.soon(host, Event::Swapped(life));
    }

    /// The key of the other slot is shown, and the one before lies there.
    fn exchange(&mut self, host: usize) -> Option<Life> {
        let trust_domain = self.trust_domain.clone();
        let process = self.hosts[host].process.as_mut()?;
        let spare = process.other.spare.take()?;
        let made_at = process.other.note.as_ref().filter(|note| note.slot == spare.slot);
        let made_at = made_at.map(|note| note.begun_at);
        let enrolled = process.enrolled_mut()?;
        let before = Spare {
            slot: enrolled.identity.slot,
            device: std::mem::replace(&mut enrolled.device, spare.device),
            certificate: std::mem::replace(&mut enrolled.certificate, spare.certificate),
        };
        enrolled.identity.slot = spare.slot;
        enrolled.identity.life = life_of(&enrolled.certificate, &trust_domain);
        enrolled.identity.key_made_at = made_at.unwrap_or(enrolled.identity.key_made_at);
        let life = enrolled.identity.life;
        process.other.spare = Some(before);
        Some(life)
    }

    /// Removes what lies in the slot that is not shown, its note last.
    fn remove_slot(&mut self, host: usize, enrolled: &Enrolled) -> Result<(), Trouble> {
        let slot = enrolled.identity.slot.other();
        for name in [slot.certificate_file(), slot.key_file(), ROTATION] {
            if self.strikes(host, Step::ForgetOld, Column::CrashBefore) {
                self.crash(host);
                return Err(Trouble::Crashed);
            }
            for column in [Column::ReadOnly, Column::FsyncError] {
                if self.strikes(host, Step::ForgetOld, column) {
                    return Err(Trouble::Disk(DiskError::Write));
                }
            }
            self.hosts[host].disk.remove(name);
        }
        if self.strikes(host, Step::ForgetOld, Column::CrashAfter) {
            self.crash(host);
            return Err(Trouble::Crashed);
        }
        Ok(())
    }

    pub(super) fn shown(&self, host: usize) -> Result<Enrolled, Trouble> {
        let process = self.hosts[host].process.as_ref().ok_or(Trouble::Crashed)?;
        process.enrolled().cloned().ok_or(Trouble::Disk(DiskError::Corrupt))
    }

    fn other(&self, host: usize) -> Result<Other, Trouble> {
        let process = self.hosts[host].process.as_ref().ok_or(Trouble::Crashed)?;
        Ok(process.other.clone())
    }

    /// What came of an effect that is done at once: the core hears of it after the others.
    fn soon(&mut self, host: usize, event: Event) {
        if let Some(process) = &mut self.hosts[host].process {
            process.soon.push_back(event);
        }
    }
}
