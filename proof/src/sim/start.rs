//! How an agent starts, stops and is looked after. The order of writes is that of the real agent: a key is durable before it
//! is spoken of, what makes a machine enrolled comes last, what ended it comes first.

use std::sync::Arc;

use muster_agent_core::{Agent, Event, Fresh, Keys, Patience};
use muster_model::SignedDuration;
use muster_testkit::world::Device;

use super::disk::{Content, DiskError, ENDED, IDENTITY, Identity, PENDING, Pending, Slot};
use super::host::{Exit, Holding, Process, Trouble};
use super::plant::Plant;
use super::slots;
use super::steps::{Column, Step};
use super::world::World;

impl World {
    /// Starts an agent, as its supervisor does.
    pub(super) fn start(&mut self, host: usize) {
        if self.hosts[host].process.is_some() {
            return;
        }
        self.hosts[host].epoch += 1;
        match self.begin(host) {
            Ok(mut process) => {
                if self.hosts[host].disk.is_exposed() {
                    let name = self.hosts[host].name.clone();
                    self.wrong(format!("{name} starts from files that others can reach (Q-29)"));
                }
                self.hub.lock().dice.fill(&mut process.boot);
                self.hosts[host].exit = None;
                self.hosts[host].process = Some(process);
                self.tell(|world| format!("{} starts", world.hosts[host].name));
                self.step(host, Event::Started);
            }
            Err(Begun::Crashed) => {}
            Err(Begun::Left(exit)) => self.left(host, exit),
        }
    }

    /// Finds out where to begin, as the real agent does.
    fn begin(&mut self, host: usize) -> Result<Process, Begun> {
        match self.plant() {
            Some(Plant::PermissionsIgnored) => self.hosts[host].disk.ignore_modes(),
            Some(Plant::CorruptIsNothing) if self.hosts[host].disk.is_damaged() => {
                return self.begin_anew(host);
            }
            Some(Plant::AnotherKeyAtRestart)
                if self.hosts[host].disk.pending().is_ok_and(|p| p.is_some()) =>
            {
                return self.begin_anew(host);
            }
            _ => {}
        }
        let disk = &self.hosts[host].disk;
        match disk.read(ENDED).map_err(unreadable)? {
            Some(Content::Ended(why)) => return Err(Begun::Left(Exit::Over(why.clone()))),
            Some(_) => return Err(Begun::Left(Exit::Corrupt)),
            None => {}
        }
        if let Some(identity) = disk.identity().map_err(unreadable)? {
            let identity = identity.clone();
            return self.go_on(host, identity);
        }
        if let Some(pending) = disk.pending().map_err(unreadable)? {
            let pending = pending.clone();
            return self.resume(host, pending);
        }
        if [Slot::A, Slot::B].iter().any(|slot| disk.exists(slot.certificate_file())) {
            return Err(Begun::Left(Exit::Corrupt));
        }
        self.begin_anew(host)
    }

    fn go_on(&mut self, host: usize, identity: Identity) -> Result<Process, Begun> {
        let at = &self.hosts[host];
        let found = slots::load(&at.disk, &at.name, identity, &self.trust_domain).map_err(unreadable)?;
        let identity = &found.enrolled.identity;
        // Where it is not known whether that is enough, everything stays where a person can put it right.
        if found.moved && !found.untried {
            let file = Content::Identity(identity.clone());
            // Where the disk refuses, it goes on with what it could read.
            if let Err(Trouble::Crashed) = self.write(host, Step::Settle, IDENTITY, file) {
                return Err(Begun::Crashed);
            }
        }
        for name in found.damage.iter().filter(|_| !found.untried) {
            self.hosts[host].disk.set_aside(name);
        }
        let rotate_after = Some(self.settings_of_machines());
        let keys =
            Keys { made_at: identity.key_made_at, rotate_after, open: found.open, untried: found.untried };
        let core = Agent::enrolled(identity.life, identity.standing, keys);
        let mut process = Process::new(core, Holding::Enrolled(Box::new(found.enrolled)));
        process.other = found.other;
        Ok(process)
    }

    /// How old a key may grow.
    fn settings_of_machines(&self) -> SignedDuration {
        let setup = self.setup();
        match setup.focus {
            _ if !setup.faults => SignedDuration::from_hours(30 * 24),
            Some((step, _)) if step.is_of_rotation() => SignedDuration::from_hours(3),
            _ => SignedDuration::from_hours(8),
        }
    }

    fn resume(&mut self, host: usize, mut pending: Pending) -> Result<Process, Begun> {
        let at = &self.hosts[host];
        at.disk.read(Slot::A.key_file()).map_err(unreadable)?;
        let seed = at.disk.key(Slot::A).ok_or(Begun::Left(Exit::Corrupt))?;
        let device = Arc::new(Device::seeded(seed, &at.name));
        let token = at.token();
        if token != pending.token {
            pending.hold = None;
        }
        pending.token = token;
        pending.request = at.request(pending.request.csr.take());
        let evidence = Some(at.evidence());
        let file = Content::Pending(Box::new(pending.clone()));
        self.put(host, Step::NoteHold, PENDING, file)?;
        let core = match &pending.hold {
            Some((hold, poll_after)) => Agent::waiting(Patience::Service, hold.clone(), *poll_after),
            None => Agent::new(Patience::Service),
        };
        let core = core.rotating(Some(self.settings_of_machines()));
        Ok(Process::new(core, Holding::Pending { pending, device, evidence }))
    }

    fn begin_anew(&mut self, host: usize) -> Result<Process, Begun> {
        let mut seed = [0; 32];
        self.hub.lock().dice.fill(&mut seed);
        let device = Arc::new(Device::seeded(seed, &self.hosts[host].name));
        // A key that was made and could not be written was never spoken of.
        if self.spoken.contains(&host) {
            let name = self.hosts[host].name.clone();
            self.wrong(format!("{name} makes another key by itself"));
        }
        let csr = data_encoding::BASE64.encode(&device.csr());
        let at = &mut self.hosts[host];
        at.keys.push(device.fingerprint());
        let pending = Pending { request: at.request(Some(csr)), token: at.token(), hold: None };
        let evidence = Some(at.evidence());
        if at.disk.exists(Slot::A.key_file()) {
            at.disk.set_aside(Slot::A.key_file());
        }
        if self.plant() != Some(Plant::KeyNotWritten) {
            self.put(host, Step::MakeKey, Slot::A.key_file(), Content::Key(seed))?;
        }
        self.put(host, Step::MakeKey, PENDING, Content::Pending(Box::new(pending.clone())))?;
        let core = Agent::new(Patience::Service).rotating(Some(self.settings_of_machines()));
        Ok(Process::new(core, Holding::Pending { pending, device, evidence }))
    }

    fn put(&mut self, host: usize, step: Step, name: &'static str, content: Content) -> Result<(), Begun> {
        self.write(host, step, name, content).map_err(|trouble| match trouble {
            Trouble::Crashed => Begun::Crashed,
            Trouble::Disk(DiskError::Write) => Begun::Left(Exit::Disk),
            Trouble::Disk(DiskError::Permissions) => Begun::Left(Exit::Permissions),
            Trouble::Disk(DiskError::Corrupt) => Begun::Left(Exit::Corrupt),
        })
    }

    /// Replaces a file, whole or not at all; the process may die around it.
    pub(super) fn write(
        &mut self,
        host: usize,
        step: Step,
        name: &'static str,
        content: Content,
    ) -> Result<(), Trouble> {
        for column in [Column::CrashBefore, Column::PartialWrite] {
            if self.strikes(host, step, column) {
                if (column, self.plant()) == (Column::PartialWrite, Some(Plant::WrittenInPlace)) {
                    self.hosts[host].disk.tear(name);
                }
                self.crash(host);
                return Err(Trouble::Crashed);
            }
        }
        for column in [Column::DiskFull, Column::ReadOnly, Column::FsyncError] {
            if self.strikes(host, step, column) {
                return Err(Trouble::Disk(DiskError::Write));
            }
        }
        self.hosts[host].disk.write(name, content).map_err(Trouble::Disk)?;
        if self.strikes(host, step, Column::CrashAfter) || self.hub.lock().spoils(step) {
            self.crash(host);
            return Err(Trouble::Crashed);
        }
        Ok(())
    }

    /// Whether a fault strikes a machine here.
    pub(super) fn strikes(&mut self, host: usize, step: Step, column: Column) -> bool {
        let mut inside = self.hub.lock();
        let strikes = inside.strikes(step, column, 60);
        if strikes {
            inside.hit(step, column);
            let name = self.hosts[host].name.clone();
            inside.tell(|| format!("{} strikes {name} at {}", column.says(), step.says()));
        }
        strikes
    }

    /// One step of an agent, and what follows from it.
    pub(super) fn step(&mut self, host: usize, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next {
            if self.hosts[host].process.is_some() {
                self.tell(|world| format!("{}: {event:?}", world.hosts[host].name));
            }
            let fresh = self.fresh(host);
            let Some(process) = self.hosts[host].process.as_mut() else { return };
            let effects = process.core.step(event, &fresh);
            for effect in effects {
                if self.carry_out(host, effect).is_err() {
                    return;
                }
            }
            next = self.hosts[host].process.as_mut().and_then(|process| process.soon.pop_front());
        }
    }

    fn fresh(&mut self, host: usize) -> Fresh {
        let mut inside = self.hub.lock();
        let (jitter, spread) = (inside.dice.u32(..), inside.dice.u32(..));
        let at = &self.hosts[host];
        let now = match &at.process {
            Some(process) => process.hour(inside.now, at.offset),
            None => super::hub::at(inside.now + at.offset),
        };
        Fresh { now, jitter: muster_agent_core::Draw(jitter), spread: muster_agent_core::Draw(spread) }
    }
}

/// Why an agent did not begin.
enum Begun {
    Crashed,
    Left(Exit),
}

fn unreadable(error: DiskError) -> Begun {
    Begun::Left(match error {
        DiskError::Permissions => Exit::Permissions,
        DiskError::Corrupt | DiskError::Write => Exit::Corrupt,
    })
}
