//! What came back, made durable before the core of an agent hears of it.

use jiff::Timestamp;
use muster_agent_core::{Event, Life, Standing, Verdict};
use muster_issuer::MachineIdentity;
use muster_model::KeyFingerprint;
use muster_testkit::world::leaf;
use muster_wire::enroll::{EnrollAnswer, Enrolled, Held, IssuedCredential, Renewed};

use super::call::Kind;
use super::disk::{Content, DiskError, IDENTITY, Identity, PENDING, Slot};
use super::host::{Holding, Process, Trouble};
use super::hub::Fact;
use super::plant::Plant;
use super::slots;
use super::steps::Step;
use super::world::World;

impl World {
    /// What an answer to enrolling or polling means, once it is durable.
    pub(super) fn keep_enrollment(&mut self, host: usize, answer: EnrollAnswer) {
        let kept = match answer {
            EnrollAnswer::Held(held) => self.keep_hold(host, held),
            EnrollAnswer::Enrolled(answer) | EnrollAnswer::Same(answer) => self.keep_identity(host, *answer),
        };
        self.tell_core(host, kept, Event::EnrollFailed);
    }

    pub(super) fn tell_core(
        &mut self,
        host: usize,
        kept: Result<Event, Trouble>,
        failed: fn(Verdict) -> Event,
    ) {
        match kept {
            Ok(event) => self.step(host, event),
            Err(Trouble::Crashed) => {}
            Err(Trouble::Disk(error)) => {
                self.step(host, failed(Verdict::Disk { what: format!("{error:?}") }));
            }
        }
    }

    fn keep_hold(&mut self, host: usize, held: Held) -> Result<Event, Trouble> {
        let event = Event::Held { hold: held.hold.clone(), poll_after: held.poll_after };
        let Some(process) = self.hosts[host].process.as_mut() else { return Ok(event) };
        let Holding::Pending { pending, .. } = &mut process.holding else { return Ok(event) };
        let hold = Some((held.hold, held.poll_after));
        if pending.hold == hold {
            return Ok(event);
        }
        pending.hold = hold;
        let file = Content::Pending(Box::new(pending.clone()));
        match self.write(host, Step::NoteHold, PENDING, file) {
            Err(Trouble::Crashed) => Err(Trouble::Crashed),
            // The key is enough to find the hold again.
            Err(Trouble::Disk(_)) | Ok(()) => Ok(event),
        }
    }

    fn keep_identity(&mut self, host: usize, answer: Enrolled) -> Result<Event, Trouble> {
        let standing = Standing::from_wire(&answer.machine.state);
        self.learn(host, answer.server_time);
        let Some(device) = self.hosts[host].device() else { return Err(Trouble::Crashed) };
        let (der, life) = self.taken(host, &answer.credential, device.fingerprint())?;
        let identity = Identity {
            machine: answer.machine.id.clone(),
            life,
            standing,
            renewed: false,
            slot: Slot::A,
            key_made_at: self.hour_of(host),
        };
        let (step, file) = (self.hosts[host].storing(), Slot::A.certificate_file());
        let base = device.fingerprint();
        if self.plant() == Some(Plant::IdentityBeforeCertificate) {
            self.write(host, step, IDENTITY, Content::Identity(identity.clone()))?;
            self.identity_is_last(host, Slot::A);
        }
        if self.plant() != Some(Plant::CertificateInMemory) {
            self.write(host, step, file, Content::Certificate(der.clone(), base))?;
        }
        self.write(host, step, IDENTITY, Content::Identity(identity.clone()))?;
        self.identity_is_last(host, Slot::A);
        self.hosts[host].disk.remove(PENDING);
        if let Ok(machine) = answer.machine.id.parse() {
            self.note(Fact::Enrolled(machine, base));
        }
        if let Some(process) = &mut self.hosts[host].process {
            process.holding =
                Holding::Enrolled(Box::new(slots::Enrolled { identity, device, certificate: der, base }));
        }
        Ok(Event::Enrolled { life, standing })
    }

    /// The certificate of an answer, if it is one for this key.
    pub(super) fn taken(
        &mut self,
        host: usize,
        credential: &IssuedCredential,
        key: KeyFingerprint,
    ) -> Result<(Vec<u8>, Life), Trouble> {
        let der = credential.certificate.as_deref().map(leaf).unwrap_or_default();
        let certified = MachineIdentity::from_certificate(&der, &self.trust_domain);
        if certified.ok().map(|identity| identity.key.fingerprint()) != Some(key) {
            let name = self.hosts[host].name.clone();
            self.wrong(format!("{name} is given a certificate that is not for its key"));
            return Err(Trouble::Disk(DiskError::Corrupt));
        }
        Ok((der, Life { not_before: credential.not_before, not_after: credential.not_after }))
    }

    /// What an answer to enrolling once more means to a machine that only wants its next certificate.
    pub(super) fn keep_enrolled_again(&mut self, host: usize, answer: EnrollAnswer) {
        let own = self.machine_of(host).map(|machine| machine.to_string());
        match answer {
            EnrollAnswer::Same(found) | EnrollAnswer::Enrolled(found)
                if Some(&found.machine.id) != own.as_ref() =>
            {
                let verdict = Verdict::later("the server takes us for another machine");
                self.failed(host, Kind::Renew, verdict);
            }
            EnrollAnswer::Same(found) | EnrollAnswer::Enrolled(found) => {
                let (credential, trust) = (found.credential, found.trust);
                self.keep_renewal(host, Renewed { credential, trust, server_time: found.server_time });
            }
            EnrollAnswer::Held(_) => self.failed(host, Kind::Renew, Verdict::later("a person must decide")),
        }
    }

    /// What an answer to renewing means, once it is durable.
    pub(super) fn keep_renewal(&mut self, host: usize, renewed: Renewed) {
        let kept = self.keep_renewed(host, renewed);
        self.tell_core(host, kept, Event::RenewFailed);
    }

    fn keep_renewed(&mut self, host: usize, renewed: Renewed) -> Result<Event, Trouble> {
        let process = self.hosts[host].process.as_ref().ok_or(Trouble::Crashed)?;
        let enrolled = process.enrolled().cloned().ok_or(Trouble::Disk(DiskError::Corrupt))?;
        let key = enrolled.device.fingerprint();
        let (der, life) = self.taken(host, &renewed.credential, key)?;
        self.learn(host, renewed.server_time);
        let next = Identity { life, renewed: true, ..enrolled.identity };
        let file = next.slot.certificate_file();
        self.write(host, Step::StoreRenewed, file, Content::Certificate(der.clone(), key))?;
        self.write(host, Step::StoreRenewed, IDENTITY, Content::Identity(next.clone()))?;
        if let Some(enrolled) = self.hosts[host].process.as_mut().and_then(Process::enrolled_mut) {
            (enrolled.identity, enrolled.certificate, enrolled.base) = (next, der, key);
        }
        Ok(Event::Renewed(life))
    }

    /// Writes who this machine is: the key that is shown is the durable one then.
    pub(super) fn save_identity(&mut self, host: usize, step: Step) -> Result<(), Trouble> {
        let process = self.hosts[host].process.as_ref().ok_or(Trouble::Crashed)?;
        let enrolled = process.enrolled().ok_or(Trouble::Disk(DiskError::Corrupt))?;
        let identity = enrolled.identity.clone();
        self.write(host, step, IDENTITY, Content::Identity(identity))?;
        if let Some(enrolled) = self.hosts[host].process.as_mut().and_then(Process::enrolled_mut) {
            enrolled.base = enrolled.device.fingerprint();
        }
        Ok(())
    }

    /// What makes a machine enrolled is written once its certificate is durable.
    fn identity_is_last(&self, host: usize, slot: Slot) {
        let at = &self.hosts[host];
        if !at.disk.exists(slot.certificate_file()) {
            self.wrong(format!("{} notes who it is before its certificate is durable", at.name));
        }
    }

    /// The hour by a machine's own clock.
    pub(super) fn hour_of(&self, host: usize) -> Timestamp {
        let (now, at) = (self.now(), &self.hosts[host]);
        at.process.as_ref().map_or_else(|| super::hub::at(now), |process| process.hour(now, at.offset))
    }
}
