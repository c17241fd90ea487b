//! How a planted mistake bends a plan on its way into the store.

use muster_app::{App, Caller, Error, MachineCaller, Proof};
use muster_issuer::MachineIdentity;
use muster_lifecycle::rotate::Right;
use muster_lifecycle::{
    Change, CredentialChange, GrantChange, HoldChange, KeyChange, MachineChange, MemoryChange, Plan,
};
use muster_model::{
    Active, Actor, CredentialState, Entry, HoldState, KeyRecord, KeyStanding, MachineState, Minted, Object,
    SignedDuration,
};
use muster_testkit::reference::Snapshot;

use super::plant::Plant;
use super::store::SeatStore;

/// A decision whose plan may be bent.
pub(super) struct Planted<D> {
    pub(super) decision: D,
    pub(super) plant: Option<Plant>,
    pub(super) before: Snapshot,
}

/// Lets a certificate count, whatever became of it.
pub(super) fn anyway(app: &App<SeatStore>, certificate: &[u8]) -> Result<Caller, Error> {
    let identity = MachineIdentity::from_certificate(certificate, app.authority().trust_domain())
        .or(Err(muster_model::Refusal::NotAuthenticated { cause: "certificate_form" }))?;
    Ok(Caller::Machine(MachineCaller {
        tenant: identity.tenant,
        machine: identity.machine,
        proof: Proof::Key(identity.key.fingerprint()),
        right: Right::Everything,
        slot: None,
        nonce: None,
        expired: false,
        suspended: false,
    }))
}

impl Plant {
    /// The plan as the mistake has it.
    pub(super) fn bend<O>(self, name: &str, plan: Plan<O>, before: &Snapshot) -> Plan<O> {
        if plan.changes().is_empty() {
            return plan;
        }
        let mut entries = plan.entries().to_vec();
        let (outcome, mut changes) = plan.into_parts();
        self.bend_changes(name, &mut changes);
        self.bend_rotation(name, &mut changes, before);
        if self == Self::ToldElsewhere && name == "machine.act" {
            entries.iter_mut().for_each(|entry| entry.object = Object::Deployment);
        }
        told_by(outcome, changes, entries)
    }

    fn bend_changes(self, name: &str, changes: &mut Vec<Change>) {
        match (self, name) {
            (Self::TokenNotBound, "machine.enroll") => changes.retain(|change| !is_draw(change)),
            (Self::TokenBurnt, "machine.enroll") if changes.iter().any(is_draw) => changes.retain(is_draw),
            (Self::HoldOpensItself, "machine.enroll") => open_by_itself(changes),
            (Self::HardwareTakesOver, "machine.enroll") => take_over(changes),
            (Self::RevokedKeyStays, "machine.act") => changes.retain(|change| !is_key(change)),
            (Self::RevokedCredentialsStay, "machine.act") if changes.iter().any(is_key) => {
                changes.retain(|change| !is_credential(change));
            }
            (Self::RetiredCredentialsStay, "machine.act") if changes.iter().any(is_retirement) => {
                changes.retain(|change| !is_credential(change));
            }
            (Self::ActForgotten, "machine.act") => changes.retain(|change| !is_machine(change)),
            (Self::PauseForgotten, "machine.act") => changes.iter_mut().for_each(unpause),
            (Self::KeyNotRegistered, "machine.enroll" | "hold.approve") => {
                changes.retain(|change| !is_key(change));
            }
            (Self::IssueNotNoted, "credential.issue") | (Self::RenewalNotReserved, "credential.renew") => {
                changes.clear();
            }
            (Self::NonceForgotten, "machine.signed_request") => {
                changes.retain(|change| !matches!(change, Change::Memory(MemoryChange::Nonce { .. })));
            }
            (Self::OlderKeyStays, "hold.approve") => changes.retain(|change| !ends_a_key(change)),
            (Self::OlderCertificatesStay, "hold.approve") => changes.retain(|change| !is_credential(change)),
            (Self::RejectionNotWritten, "hold.reject") => changes.clear(),
            (Self::TwinMade, "machine.enroll" | "hold.approve") => twin(changes),
            (Self::HoldNotWritten, "machine.enroll") => {
                changes.retain(|change| !matches!(change, Change::Hold(_)));
            }
            (Self::RevokedMayRotate, "machine.act") => changes.iter_mut().for_each(spare_a_right),
            _ => changes.iter_mut().for_each(|change| self.bend_change(name, change)),
        }
    }

    /// The mistakes in what becomes of a machine's keys.
    fn bend_rotation(self, name: &str, changes: &mut Vec<Change>, before: &Snapshot) {
        let is_first_use = changes.iter().any(is_machine);
        match (self, name) {
            (Self::FirstUseNotWritten, "key.use") if is_first_use => changes.clear(),
            (Self::PreviousStays, "key.use") if !is_first_use => changes.retain(|change| !is_key(change)),
            (Self::BaseNotAsked, "key.use") => changes.iter_mut().for_each(end_previous),
            (Self::ProposalNotWritten, "key.propose") => changes.clear(),
            (Self::ProposalsPileUp, "key.propose") => changes.retain(|change| !ends_a_key(change)),
            (Self::NextCountsAtOnce, "key.propose") => changes.iter_mut().for_each(count_at_once),
            (Self::OldDroppedAtProposal, "key.propose") => drop_old(changes, before),
            _ => {}
        }
    }

    fn bend_change(self, name: &str, change: &mut Change) {
        match (self, change) {
            (Self::GenerationFalls, Change::Machine(MachineChange::Update(machine))) => {
                machine.generation = machine.generation.saturating_sub(2);
            }
            (Self::HoldOverAtOnce, Change::Hold(HoldChange::Open(hold))) => {
                hold.expires_at = hold.created_at;
            }
            (Self::HoldWithoutKey, Change::Hold(HoldChange::Open(hold))) => hold.claimant.key = None,
            (Self::LongLife, Change::Credential(CredentialChange::Reserve(credential))) => {
                credential.not_after += SignedDuration::from_hours(24 * 3650);
            }
            (Self::ReservedCountsAsIssued, Change::Credential(CredentialChange::Reserve(credential))) => {
                credential.state = CredentialState::Issued(Minted::Certificate(Vec::new()));
            }
            (Self::HardwareForgotten, Change::Machine(MachineChange::Create(machine)))
                if name != "machine.create" =>
            {
                machine.hardware_id = None;
            }
            (
                Self::ApprovedByNobody,
                Change::Hold(HoldChange::Decide { state: HoldState::Approved { by, .. }, .. }),
            ) => *by = Actor::System,
            _ => {}
        }
    }
}

fn told_by<O>(outcome: O, changes: Vec<Change>, entries: Vec<Entry>) -> Plan<O> {
    let mut entries = entries.into_iter();
    let first = entries.next().expect("what changes is told");
    entries.fold(Plan::new(outcome, changes, first), Plan::also_told_by)
}

fn is_draw(change: &Change) -> bool {
    matches!(change, Change::Grant(GrantChange::Draw { .. }))
}

fn is_key(change: &Change) -> bool {
    matches!(change, Change::Key(_))
}

fn ends_a_key(change: &Change) -> bool {
    matches!(change, Change::Key(KeyChange::Standing { .. } | KeyChange::SupersedeAll(_)))
}

fn is_credential(change: &Change) -> bool {
    matches!(change, Change::Credential(_))
}

fn is_machine(change: &Change) -> bool {
    matches!(change, Change::Machine(_))
}

fn is_retirement(change: &Change) -> bool {
    matches!(change, Change::Machine(MachineChange::Update(machine)) if matches!(machine.state, MachineState::Retired(_)))
}

fn unpause(change: &mut Change) {
    if let Change::Machine(MachineChange::Update(machine)) = change
        && let MachineState::Suspended(paused) = &machine.state
    {
        machine.state = MachineState::Active(Active { since: paused.since });
    }
}

fn spare_a_right(change: &mut Change) {
    if let Change::Key(KeyChange::Standing { standing: standing @ KeyStanding::Revoked, .. }) = change {
        *standing = KeyStanding::Previous;
    }
}

fn open_by_itself(changes: &mut Vec<Change>) {
    let opened = changes.iter().find_map(|change| match change {
        Change::Hold(HoldChange::Open(hold)) => Some(hold.clone()),
        _ => None,
    });
    if let Some(hold) = opened
        && let Some(machine) = hold.existing
    {
        let state = HoldState::Approved { machine, at: hold.created_at, by: Actor::System };
        changes.push(HoldChange::Decide { hold: hold.id, state }.into());
    }
}

fn take_over(changes: &mut Vec<Change>) {
    let claimed = changes.iter().find_map(|change| match change {
        Change::Hold(HoldChange::Open(hold)) => hold.existing.zip(hold.claimant.key.clone()),
        _ => None,
    });
    if let Some((machine, key)) = claimed {
        let record =
            KeyRecord { key, machine, generation: 1, standing: KeyStanding::Proposed, ordered_at: None };
        changes.push(KeyChange::Register(record).into());
    }
}

fn twin(changes: &mut Vec<Change>) {
    let made = changes.iter().find_map(|change| match change {
        Change::Machine(MachineChange::Create(machine)) => Some(machine.clone()),
        _ => None,
    });
    if let Some(mut twin) = made {
        let mut bytes = *twin.id.as_bytes();
        bytes[15] ^= 1;
        twin.id = muster_model::MachineId::from_bytes(bytes);
        twin.hardware_id = None;
        changes.push(MachineChange::Create(twin).into());
    }
}

fn end_previous(change: &mut Change) {
    if let Change::Key(KeyChange::Standing { standing: standing @ KeyStanding::Previous, .. }) = change {
        *standing = KeyStanding::Superseded;
    }
}

fn count_at_once(change: &mut Change) {
    if let Change::Key(KeyChange::Register(record)) = change {
        record.standing = KeyStanding::Current;
    }
}

fn drop_old(changes: &mut Vec<Change>, before: &Snapshot) {
    let of = changes.iter().find_map(|change| match change {
        Change::Key(KeyChange::Register(record)) => Some(record.machine),
        _ => None,
    });
    let old = before
        .keys()
        .find(|(_, record)| Some(record.machine) == of && record.standing == KeyStanding::Current);
    if let Some((key, _)) = old {
        changes.push(KeyChange::Standing { key: *key, standing: KeyStanding::Superseded }.into());
    }
}
