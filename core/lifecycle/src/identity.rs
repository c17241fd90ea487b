//! What changes when somebody becomes a machine: a new record, a pending one filled, or a known one under a new key.
//!
//! Shared by enrolling and by approving a hold, so that there is one way to become a machine.

use std::net::IpAddr;

use muster_model::{
    Active, Actor, Claimant, EndReason, Grant, GrantId, HardwareId, KeyRecord, KeyStanding, Labels, Lineage,
    Machine, MachineId, MachineName, MachineState, PublicKey, Refusal, RetireCause, SignedDuration, Site,
    SuspendCause, Timestamp,
};

use crate::account::{self, Wish};
use crate::credential::end_all;
use crate::enroll::Known;
use crate::plan::{Change, Context, KeyChange, MachineChange};

/// Somebody who becomes a machine that is not there yet, or is only pending.
#[derive(Debug)]
pub(crate) struct Newcomer<'a> {
    pub(crate) context: &'a Context,
    pub(crate) machine: MachineId,
    pub(crate) claimant: &'a Claimant,
    pub(crate) site: &'a Site,
    pub(crate) grant: Option<&'a Grant>,
    pub(crate) hardware_id: Option<HardwareId>,
    /// The accounts that machines may have without anybody ordering them.
    pub(crate) accounts: &'a [Wish],
}

impl Newcomer<'_> {
    /// The machine, filled into the pending one if there is one, and the changes that make it so.
    pub(crate) fn into_machine(self, pending: Option<Machine>) -> Result<(Machine, Vec<Change>), Refusal> {
        let machine = match pending {
            Some(pending) => self.fill(pending)?,
            None => self.create(),
        };
        let record = if machine.id == self.machine {
            MachineChange::Create(machine.clone())
        } else {
            MachineChange::Update(machine.clone())
        };
        let mut changes: Vec<Change> = vec![record.into()];
        changes.extend(register(self.claimant, &machine));
        changes.extend(account::on_admission(self.accounts, &machine, &self.site.code, self.context));
        Ok((machine, changes))
    }

    fn create(&self) -> Machine {
        let now = self.context.now;
        let blank = Machine {
            id: self.machine,
            tenant: self.context.tenant,
            site: self.site.id,
            name: name_for(self.claimant, self.machine),
            hostname: None,
            kind: self.claimant.kind,
            hardware_id: None,
            key: None,
            generation: 1,
            role: self.grant.and_then(|grant| grant.role.clone()),
            labels: self.grant.map_or_else(Labels::default, |grant| grant.labels.clone()),
            attributes: self.claimant.attributes.clone(),
            grant: None,
            state: MachineState::Active(Active { since: now }),
            created_at: now,
            enrolled_at: None,
            key_since: None,
            alarm: None,
            lineage: Default::default(),
        };
        self.described(blank)
    }

    fn fill(&self, pending: Machine) -> Result<Machine, Refusal> {
        let state = pending.state.clone().enrolled(self.context.now)?;
        Ok(self.described(Machine { state, ..pending }))
    }

    fn described(&self, machine: Machine) -> Machine {
        Machine {
            hostname: self.claimant.hostname.clone(),
            hardware_id: self.hardware_id.clone().or(machine.hardware_id),
            key: self.claimant.key.as_ref().map(PublicKey::fingerprint),
            attributes: self.claimant.attributes.clone(),
            grant: self.grant.map(|grant| grant.id),
            enrolled_at: Some(self.context.now),
            key_since: None,
            lineage: lineage(self.claimant.source, self.context),
            ..machine
        }
    }
}

/// A known machine under another key: one generation on, its older keys and credentials ended. The grant it came by this
/// time is noted, so that the same call with the same grant stays a repetition after the grant has lapsed.
pub(crate) fn take_over(
    known: Known,
    state: MachineState,
    claimant: &Claimant,
    grant: Option<GrantId>,
    now: Timestamp,
) -> (Machine, Vec<Change>) {
    let Known { machine, credentials, accounts, .. } = known;
    let mut changes: Vec<Change> = Vec::new();
    // A machine that rotates has more keys than the one in its record. Those that were revoked stay so.
    if machine.key.is_some() && !is_revoked(&machine.state) {
        changes.push(KeyChange::SupersedeAll(machine.id).into());
    }
    changes.extend(end_all(&credentials, EndReason::Superseded, now));
    let machine = Machine {
        hostname: claimant.hostname.clone().or(machine.hostname),
        hardware_id: machine.hardware_id.or_else(|| claimant.hardware_id.clone()),
        key: claimant.key.as_ref().map(PublicKey::fingerprint),
        generation: machine.generation + 1,
        attributes: claimant.attributes.clone(),
        grant: grant.or(machine.grant),
        state,
        enrolled_at: Some(after(machine.enrolled_at, now)),
        key_since: None,
        ..machine
    };
    changes.extend(account::follow(&accounts, &machine.state, true, now));
    changes.push(MachineChange::Update(machine.clone()).into());
    changes.extend(register(claimant, &machine));
    (machine, changes)
}

/// How somebody is let in who comes from there, at this moment: an operator who acts vouches for it.
pub(crate) fn lineage(source: Option<IpAddr>, context: &Context) -> Lineage {
    let approved_by = Some(context.actor).filter(|actor| matches!(actor, Actor::Operator(_)));
    Lineage { at: Some(context.now), source, approved_by, grant: None }
}

/// Now, and later than the enrollment before, whatever the clocks of several servers say: what was approved for an earlier
/// one is told from what was approved for this one by it.
pub(crate) fn after(earlier: Option<Timestamp>, now: Timestamp) -> Timestamp {
    earlier.map_or(now, |earlier| now.max(earlier + SignedDuration::from_millis(1)))
}

fn is_revoked(state: &MachineState) -> bool {
    match state {
        MachineState::Suspended(suspended) => matches!(suspended.cause, SuspendCause::Revoked(_)),
        // Whoever was ended for silence alone kept its key until now.
        MachineState::Retired(retired) => retired.cause != RetireCause::Silent,
        MachineState::Pending(_) | MachineState::Active(_) => false,
    }
}

fn register(claimant: &Claimant, machine: &Machine) -> Option<Change> {
    let key = claimant.key.clone()?;
    let record = KeyRecord {
        key,
        machine: machine.id,
        generation: machine.generation,
        standing: KeyStanding::Current,
        ordered_at: None,
    };
    Some(KeyChange::Register(record).into())
}

fn name_for(claimant: &Claimant, id: MachineId) -> MachineName {
    let wished = claimant
        .hostname
        .as_ref()
        .map(|name| name.as_str().chars().take(MachineName::MAX).collect::<String>());
    wished
        .and_then(|name| name.parse().ok())
        .unwrap_or_else(|| id.to_string().parse().expect("an identifier is a valid name"))
}
