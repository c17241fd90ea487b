//! Endings as agents believe them, and the keys that they would wake up with.

use muster_agent_core::{EndReason, Ending};
use muster_model::{HoldState, KeyFingerprint, KeyStanding, MachineState, PublicKey};
use muster_testkit::reference::Snapshot;

use super::host::Role;
use super::hub::Lost;
use super::world::World;

impl World {
    /// an agent believes in its end only where the server's own word is behind it.
    pub(super) fn judge_ending(&mut self, host: usize, ending: &Ending) {
        let Some(device) = self.hosts[host].device() else { return };
        let (key, machine) = (device.fingerprint(), self.machine_of(host));
        if self.was_lost(key, host) {
            return;
        }
        let moment = self.store.snapshot();
        let record = moment.key_by_name(key);
        let row = machine.or(record.map(|record| record.machine)).and_then(|id| moment.machine_by_id(id));
        let is_retired = row.is_some_and(|row| matches!(row.state, MachineState::Retired(_)));
        let is_just = match ending {
            Ending::Told(EndReason::Revoked) | Ending::Revoked => {
                is_retired || self.is_keyless(host, &moment)
            }
            Ending::Told(EndReason::Superseded) => self.is_keyless(host, &moment) && self.may_be_robbed(host),
            Ending::Told(EndReason::UnknownMachine) => row.is_none() && record.is_none() && machine.is_none(),
            Ending::Retired => is_retired,
            Ending::Rejected { .. } => was_rejected(&moment, key),
            Ending::KeyLost => record.is_none() && self.hosts[host].was_damaged,
            Ending::Pending | Ending::GaveUp(_) => true,
        };
        if !is_just {
            let name = self.hosts[host].name.clone();
            self.wrong(format!("{name} believes in its end ({ending:?}) and nobody ended it (Q-14)"));
        }
    }

    /// Whether no key that the machine has is good for anything, and one was.
    fn is_keyless(&self, host: usize, moment: &Snapshot) -> bool {
        let Some(process) = &self.hosts[host].process else { return true };
        let spare = process.other.spare.as_ref().map(|spare| spare.device.fingerprint());
        let shown = self.hosts[host].device().map(|device| device.fingerprint());
        let mut records = shown.into_iter().chain(spare).filter_map(|key| moment.key_by_name(key)).peekable();
        records.peek().is_some() && records.all(|record| !record.standing.counts())
    }

    /// Whether somebody else may have rotated the machine's key, or its own newer key was lost with its slot.
    pub(super) fn may_be_robbed(&self, host: usize) -> bool {
        self.hosts[host].copied || self.hosts[host].was_damaged
    }

    /// I-15: the key that a machine would wake up with is good for something, unless somebody ended it.
    pub(super) fn durable_keys_count(&mut self) {
        let moment = self.store.snapshot();
        for host in 0..self.hosts.len() {
            let at = &self.hosts[host];
            let Some(process) = at.process.as_ref().filter(|_| at.role == Role::Honest) else { continue };
            let Some(base) = process.enrolled().map(|enrolled| enrolled.base) else { continue };
            let standing = moment.key_by_name(base).map(|record| record.standing);
            if standing == Some(KeyStanding::Superseded)
                && !self.may_be_robbed(host)
                && !self.was_lost(base, host)
            {
                self.wrong(format!("{} wakes up with a key that was superseded (I-15)", at.name));
            }
        }
    }

    /// Whether a failover took back what this machine was given.
    pub(super) fn was_lost(&self, key: KeyFingerprint, host: usize) -> bool {
        let machine = self.machine_of(host);
        let inside = self.hub.lock();
        inside.lost.iter().any(|lost| match lost {
            Lost::Key(lost) => *lost == key || self.hosts[host].keys.contains(lost),
            Lost::Machine(lost) => Some(*lost) == machine,
        })
    }
}

fn was_rejected(moment: &Snapshot, key: KeyFingerprint) -> bool {
    moment.holds().any(|hold| {
        matches!(hold.state, HoldState::Rejected { .. })
            && hold.claimant.key.as_ref().map(PublicKey::fingerprint) == Some(key)
    })
}
