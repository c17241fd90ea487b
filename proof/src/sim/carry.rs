//! What the core of an agent wants, carried out: requests, timers, files.

use std::sync::{Arc, OnceLock};

use muster_agent_core::{Effect, Ending, Proof, Standing, Timer, Verdict};
use muster_model::KeyFingerprint;
use muster_testkit::world::Device;
use muster_wire::enroll::EnrollRequest;

use super::call::{Call, Kind};
use super::disk::{Content, ENDED, FILES, Slot};
use super::happening::Happening;
use super::host::{Exit, Holding, Link, Process, Role, Trouble, Way};
use super::hub::HOUR;
use super::links::Which;
use super::plant::Plant;
use super::steps::{Column, Step};
use super::world::World;

/// The process does not go on.
pub(super) struct Gone;

impl World {
    /// Carries out one effect.
    pub(super) fn carry_out(&mut self, host: usize, effect: Effect) -> Result<(), Gone> {
        match effect {
            Effect::Enroll => self.ask_to_enroll(host)?,
            Effect::Poll { hold } => self.poll(host, hold)?,
            Effect::Renew(proof) => self.renew(host, proof)?,
            Effect::OpenChannel => self.open_channel(host)?,
            Effect::CloseChannel => self.close_channel(host),
            Effect::Wake { timer, after } => self.wake(host, timer, after),
            Effect::Acknowledge(_) | Effect::Hook { .. } => {}
            Effect::Remember(standing) => self.remember(host, standing)?,
            Effect::SetClock(server_time) => self.learn(host, server_time),
            Effect::SetAside(ending) => self.set_aside(host, &ending)?,
            Effect::Stop(ending) => {
                self.ended(host, ending);
                return Err(Gone);
            }
            Effect::Rotate => self.rotate(host)?,
            Effect::TryNext => self.try_next(host)?,
            Effect::TakeNext => self.take_next(host)?,
            Effect::Settle => self.settle(host)?,
            Effect::Confirm => self.confirm(host)?,
            Effect::Forget => self.forget(host)?,
            Effect::Abandon => self.abandon(host)?,
            Effect::Swap => self.swap(host),
        }
        Ok(())
    }

    fn wake(&mut self, host: usize, timer: Timer, after: std::time::Duration) {
        let after = match self.plant() {
            Some(Plant::NoBackOff) => after.min(std::time::Duration::from_millis(50)),
            _ => after,
        };
        // No timer fires before its hour.
        let after = i64::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX / 4);
        let due = self.now() + after;
        let epoch = self.hosts[host].epoch;
        if let Some(process) = &mut self.hosts[host].process {
            process.timers.insert(timer, due);
        }
        self.after(after, Happening::Due { host, epoch, timer, due });
    }

    fn ask_to_enroll(&mut self, host: usize) -> Result<(), Gone> {
        let at = &self.hosts[host];
        let Some(process) = &at.process else { return Ok(()) };
        let Holding::Pending { pending, evidence, device } = &process.holding else { return Ok(()) };
        let Some(evidence) = evidence.clone() else { return Ok(()) };
        let request = EnrollRequest { evidence, ..pending.request.clone() };
        let kind = match &at.way {
            Way::Request => Kind::Request,
            Way::Token(_) => Kind::Token,
            Way::Site(_) if at.role == Role::Impostor || at.keys.len() > 1 => Kind::Known,
            Way::Site(_) => Kind::SiteKey,
        };
        self.is_durable(host, Slot::A, device.fingerprint());
        if self.rejected.contains(&(host, device.fingerprint())) {
            let name = self.hosts[host].name.clone();
            self.wrong(format!("{name} was rejected and asks again"));
        }
        self.spoken.insert(host);
        self.send(host, kind, Call::Enroll(Box::new(request))).map(drop)
    }

    fn poll(&mut self, host: usize, hold: String) -> Result<(), Gone> {
        let Some(device) = self.hosts[host].device() else { return Ok(()) };
        self.send(host, Kind::Poll, Call::Poll { hold, device, signed: Arc::new(OnceLock::new()) }).map(drop)
    }

    /// A key is durable before it is spoken of.
    pub(super) fn is_durable(&self, host: usize, slot: Slot, key: KeyFingerprint) {
        let at = &self.hosts[host];
        let kept = at.disk.key(slot).map(|seed| Device::seeded(seed, &at.name).fingerprint());
        if kept != Some(key) {
            self.wrong(format!("{} speaks of a key that is not durable", at.name));
        }
    }

    fn renew(&mut self, host: usize, proof: Proof) -> Result<(), Gone> {
        let plant = self.plant();
        let Some(process) = &mut self.hosts[host].process else { return Ok(()) };
        let Some(enrolled) = process.enrolled().cloned() else { return Ok(()) };
        if proof == Proof::Signature && plant == Some(Plant::ExpiredIsTheEnd) {
            let ending = Ending::Told(muster_agent_core::EndReason::Revoked);
            return self.set_aside(host, &ending);
        }
        let slot = process.says(enrolled.base);
        let (device, certificate) = (enrolled.device, enrolled.certificate);
        let call = match proof {
            Proof::Certificate => Call::Renew { certificate, slot },
            Proof::Signature => Call::RenewSigned { device, slot, signed: Arc::new(OnceLock::new()) },
            Proof::Enrollment => Call::Enroll(Box::new(device.by_request())),
        };
        self.send(host, Kind::Renew, call).map(drop)
    }

    fn open_channel(&mut self, host: usize) -> Result<(), Gone> {
        let Some(process) = &mut self.hosts[host].process else { return Ok(()) };
        let Some(enrolled) = process.enrolled().cloned() else { return Ok(()) };
        let kind = if process.first_channel { Kind::FirstChannel } else { Kind::Channel };
        let slot = process.says(enrolled.base);
        let request = self.send(host, kind, Call::Channel { certificate: enrolled.certificate, slot })?;
        self.link(host, Which::Present, Link::Opening(request));
        Ok(())
    }

    /// Both channels close; what comes from them is of the past.
    fn close_channel(&mut self, host: usize) {
        let Some(process) = self.hosts[host].process.as_mut() else { return };
        let channels: Vec<u64> = process.channels().collect();
        (process.link, process.beside) = (Link::Closed, Link::Closed);
        channels.into_iter().for_each(|channel| self.abandoned(channel));
    }

    fn remember(&mut self, host: usize, standing: Standing) -> Result<(), Gone> {
        let process = self.hosts[host].process.as_mut();
        let Some(enrolled) = process.and_then(Process::enrolled_mut) else { return Ok(()) };
        enrolled.identity.standing = standing;
        // Whatever else it is written for, the key that is shown is the durable one then.
        let step = match enrolled.base == enrolled.device.fingerprint() {
            true => self.hosts[host].storing(),
            false => Step::Settle,
        };
        match self.save_identity(host, step) {
            Err(Trouble::Crashed) => Err(Gone),
            // The next hello says it again.
            Err(Trouble::Disk(_)) | Ok(()) => Ok(()),
        }
    }

    pub(super) fn learn(&mut self, host: usize, server_time: jiff::Timestamp) {
        let now = self.now();
        let offset = self.hosts[host].offset;
        let own = super::hub::at(now + offset);
        let ahead = server_time.as_millisecond() - own.as_millisecond();
        if let Some(process) = &mut self.hosts[host].process {
            process.learned = if ahead.abs() < 2000 { 0 } else { ahead };
        }
    }

    fn set_aside(&mut self, host: usize, ending: &Ending) -> Result<(), Gone> {
        self.judge_ending(host, ending);
        let is_rejection = matches!(ending, Ending::Rejected { .. });
        match self.plant() {
            Some(Plant::RejectionForgotten) if is_rejection => return Ok(()),
            Some(Plant::AsideBeforeNote) if !is_rejection => self.move_aside(host)?,
            _ => {}
        }
        let note = Content::Ended(ending.as_str().to_owned());
        match self.write(host, Step::SetAside, ENDED, note) {
            Err(Trouble::Crashed) => return Err(Gone),
            Err(Trouble::Disk(_)) => return Ok(()),
            Ok(()) => {}
        }
        if is_rejection { Ok(()) } else { self.move_aside(host) }
    }

    fn move_aside(&mut self, host: usize) -> Result<(), Gone> {
        for name in FILES {
            self.hosts[host].disk.set_aside(name);
            if self.strikes(host, Step::SetAside, Column::CrashAfter) {
                self.crash(host);
                return Err(Gone);
            }
        }
        Ok(())
    }

    fn ended(&mut self, host: usize, ending: Ending) {
        let exit = match &ending {
            Ending::GaveUp(Verdict::Refused { code, .. }) => Exit::GaveUp(code.clone()),
            Ending::GaveUp(verdict) => Exit::GaveUp(verdict.to_string()),
            Ending::KeyLost => {
                self.judge_ending(host, &ending);
                Exit::KeyLost
            }
            Ending::Rejected { .. } if self.plant() == Some(Plant::RejectionForgotten) => {
                if let Some(device) = self.hosts[host].device() {
                    self.rejected.insert((host, device.fingerprint()));
                }
                Exit::Disk
            }
            // Where its note could not be written, the next start asks, and is told again.
            other if self.hosts[host].disk.exists(ENDED) => Exit::Over(other.as_str().to_owned()),
            _ => Exit::Disk,
        };
        self.left(host, exit);
    }

    /// Whether the clock of a machine is so far off that it takes no server's certificate.
    pub(super) fn is_out_of_time(&self, host: usize) -> bool {
        let at = &self.hosts[host];
        let learned = at.process.as_ref().map_or(0, |process| process.learned);
        (at.offset + learned).abs() > 12 * HOUR
    }
}
