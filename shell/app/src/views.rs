//! Writing what was read in the shapes of the wire. States that depend on the clock are computed here, never stored.

use muster_model::{
    AccessToken, Credential, CredentialKind, CredentialState, Grant, GrantKind, GrantState, KeyRecord,
    KeyStanding, Machine, MachineState, SignedDuration, Site, Timestamp, Uses,
};
use muster_store::{MachineRow, Store};
use muster_wire::{ListQuery, access, grant, machine, site};

use crate::App;
use crate::caller::Origin;
use crate::cursor::Binding;
use crate::effects::said;
use crate::site::enrollment_key;

impl<S: Store> App<S> {
    /// Writes a machine, with its presence as it is now.
    pub(crate) fn view(&self, row: MachineRow) -> machine::Machine {
        let MachineRow { machine, site, presence, credential_expires, contested_by } = row;
        let presence = self.presence_now(machine.id, presence);
        machine::Machine {
            id: machine.id.to_string(),
            name: machine.name.to_string(),
            kind: machine.kind.as_str().to_owned(),
            state: machine.state.as_str().to_owned(),
            state_since: machine.state.since(),
            state_reason: said(&machine),
            online: presence.online,
            site: site.to_string(),
            hostname: machine.hostname.as_ref().map(ToString::to_string),
            hardware_id: machine.hardware_id.as_ref().map(ToString::to_string),
            last_seen: presence.last_seen.max(machine.enrolled_at),
            credential_expires,
            generation: machine.generation,
            key: machine.key.map(|key| key.to_string()),
            role: machine.role.as_ref().map(ToString::to_string),
            labels: muster_wire::pairs(machine.labels.iter()),
            attributes: muster_wire::pairs(machine.attributes.iter()),
            grant: machine.grant.map(|grant| grant.to_string()),
            entered_from: machine.lineage.source.map(|source| source.to_string()),
            approved_by: machine.lineage.approved_by.map(|by| by.to_string()),
            readmit_until: self.readmit_until(&machine.state),
            contested_by: contested_by.filter(|(_, end)| self.now() < *end).map(|(hold, _)| hold.to_string()),
            created_at: machine.created_at,
            enrolled_at: machine.enrolled_at,
        }
    }

    /// A permit that is over is as good as none.
    fn readmit_until(&self, state: &MachineState) -> Option<Timestamp> {
        match state {
            MachineState::Retired(retired) => retired.readmit.filter(|until| self.now() < *until),
            MachineState::Pending(_) | MachineState::Active(_) | MachineState::Suspended(_) => None,
        }
    }

    /// What the cursors of a list are bound to.
    pub(crate) fn binding(&self, list: &str, query: &ListQuery, origin: &Origin) -> Binding<'_> {
        let ListQuery { search, state, site, .. } = query;
        let query = format!("{list}|{}|{search:?}|{state:?}|{site:?}", origin.caller.actor());
        Binding { pepper: &self.inner.pepper, query }
    }
}

pub(crate) fn key(record: &KeyRecord) -> machine::MachineKey {
    machine::MachineKey {
        key: record.key.fingerprint().to_string(),
        standing: record.standing.as_str().to_owned(),
        generation: record.generation,
    }
}

pub(crate) fn rotation(
    machine: &Machine,
    keys: &[KeyRecord],
    key_life: SignedDuration,
    now: Timestamp,
) -> Option<machine::Rotation> {
    let key = keys.iter().find(|record| record.standing == KeyStanding::Current)?;
    let last = machine.keyed_at();
    let next = last.and_then(|last| last.checked_add(key_life).ok());
    let overdue = next.is_some_and(|next| now > next);
    let forked_at = machine.alarm.map(|alarm| alarm.at);
    let forked_by = machine.alarm.map(|alarm| alarm.evidence.as_str().to_owned());
    Some(machine::Rotation { last, next, overdue, forked_at, forked_by, ordered_at: key.ordered_at })
}

pub(crate) fn credential(credential: &Credential, now: Timestamp) -> machine::Credential {
    let (state, end_reason) = match &credential.state {
        CredentialState::Reserved => ("reserved", None),
        CredentialState::Issued(_) if now >= credential.not_after => ("expired", None),
        CredentialState::Issued(_) => ("issued", None),
        CredentialState::Ended { reason, .. } => ("ended", Some(reason.as_str().to_owned())),
    };
    let kind = match credential.kind {
        CredentialKind::Certificate { .. } => "certificate",
        CredentialKind::Bearer { .. } => "bearer",
        CredentialKind::Refresh { .. } => "refresh",
    };
    machine::Credential {
        id: credential.id.to_string(),
        kind: kind.to_owned(),
        state: state.to_owned(),
        end_reason,
        generation: credential.generation,
        not_before: credential.not_before,
        not_after: credential.not_after,
    }
}

pub(crate) fn site(site: &Site, key: Option<&Grant>) -> site::Site {
    site::Site {
        id: site.id.to_string(),
        code: site.code.to_string(),
        approval: site.approval,
        requests: site.requests,
        reimage: site.reimage.as_str().to_owned(),
        seats: site.seats,
        enrollment_key: key.and_then(generation),
        created_at: site.created_at,
    }
}

/// How people call the generation of a site's enrollment key: `v3 (7F2A)`.
pub(crate) fn generation(grant: &Grant) -> Option<String> {
    enrollment_key(grant).map(|key| key.to_string())
}

pub(crate) fn grant(grant: &Grant, site: &str, now: Timestamp) -> grant::Grant {
    let (uses, used) = match grant.uses {
        Uses::Once(binding) => (Some(1), Some(u32::from(binding.is_some()))),
        Uses::Capped { limit, used } => (Some(limit), Some(used)),
        Uses::Unlimited => (None, None),
    };
    let (kind, machine) = match grant.kind {
        GrantKind::Token => ("token", None),
        GrantKind::SiteKey { .. } => ("site_key", None),
        GrantKind::Machine(machine) => ("machine", Some(machine.to_string())),
    };
    let state = match grant.state {
        GrantState::Live if !grant.has_uses_left() => "spent",
        GrantState::Live if grant.expires_at.is_some_and(|end| now >= end) => "expired",
        other => other.as_str(),
    };
    grant::Grant {
        id: grant.id.to_string(),
        kind: kind.to_owned(),
        site: site.to_owned(),
        state: state.to_owned(),
        uses,
        used,
        generation: generation(grant),
        machine,
        approval: grant.approval,
        machine_kind: grant.machine_kind.map(|kind| kind.as_str().to_owned()),
        role: grant.role.as_ref().map(ToString::to_string),
        labels: muster_wire::pairs(grant.labels.iter()),
        expires_at: grant.expires_at,
        created_at: grant.created_at,
    }
}

pub(crate) fn token(token: &AccessToken, now: Timestamp) -> access::Token {
    let state = match token.ended_at {
        Some(_) => "ended",
        None if now >= token.expires_at => "expired",
        None => "live",
    };
    access::Token {
        id: token.id.to_string(),
        kind: token.kind.as_str().to_owned(),
        name: token.name.to_string(),
        role: token.role.as_str().to_owned(),
        scopes: token
            .scope
            .iter()
            .flat_map(|scope| scope.scopes.iter())
            .map(|one| one.as_str().to_owned())
            .collect(),
        operator: token.operator.to_string(),
        state: state.to_owned(),
        created_at: token.created_at,
        expires_at: token.expires_at,
    }
}
