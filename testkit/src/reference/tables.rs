//! What is kept, and the facts that are noted without a decision.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_lifecycle::Remembered;
use muster_lifecycle::fork::Boots;
use muster_lifecycle::lockout::Failures;
use muster_lifecycle::nonce::UsedNonces;
use muster_lifecycle::reap::{Stop, Watched};
use muster_model::{
    AccessToken, AccessTokenId, Account, AccountId, Ca, Counted, Credential, CredentialId, Deployment,
    EngagementVersion, Entry, EntryPlace, Grant, GrantId, Hold, HoldId, KeyFingerprint, KeyRecord, Machine,
    MachineId, Operator, OperatorId, Presence, Present, ReplicaId, Site, SiteId, SoftwareAgent, Tenant,
    TenantId, Timestamp,
};
use muster_store::{AuditRecord, PresenceNote, PulseNote, STRETCHES, StoreError};

use super::cut::Cut;
use super::shared::Shared;

type Pulses = BTreeMap<(Timestamp, TenantId, ReplicaId), (Option<Present>, Counted)>;
type Engagements = BTreeMap<(TenantId, (MachineId, u32)), EngagementVersion>;

/// Everything, by tenant and identifier.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    pub(super) deployment: Option<Deployment>,
    pub(super) ca: Option<Ca>,
    /// The bundle of roots that each machine says it holds.
    pub(super) bundles: Shared<BTreeMap<(TenantId, MachineId), u64>>,
    pub(super) replica: Option<ReplicaId>,
    pub(super) tenants: Shared<BTreeMap<TenantId, Tenant>>,
    pub(super) sites: Shared<BTreeMap<(TenantId, SiteId), Site>>,
    pub(super) grants: Shared<BTreeMap<(TenantId, GrantId), Grant>>,
    pub(super) machines: Shared<BTreeMap<(TenantId, MachineId), Machine>>,
    /// Machines in the order in which they came.
    pub(super) came: Shared<Vec<(TenantId, MachineId)>>,
    pub(super) keys: Shared<BTreeMap<(TenantId, KeyFingerprint), KeyRecord>>,
    pub(super) holds: Shared<BTreeMap<(TenantId, HoldId), Hold>>,
    pub(super) credentials: Shared<BTreeMap<(TenantId, CredentialId), Credential>>,
    pub(super) agents: Shared<BTreeMap<(TenantId, MachineId), SoftwareAgent>>,
    pub(super) engagements: Shared<Engagements>,
    pub(super) operators: Shared<BTreeMap<(TenantId, OperatorId), Operator>>,
    pub(super) tokens: Shared<BTreeMap<(TenantId, AccessTokenId), AccessToken>>,
    pub(super) accounts: Shared<BTreeMap<(TenantId, AccountId), Account>>,
    pub(super) remembered: Shared<BTreeMap<(TenantId, [u8; 32]), Remembered>>,
    pub(super) nonces: Shared<BTreeMap<(TenantId, KeyFingerprint), UsedNonces>>,
    pub(super) failures: Shared<BTreeMap<(TenantId, [u8; 32]), Failures>>,
    pub(super) boots: Shared<BTreeMap<(TenantId, KeyFingerprint), Boots>>,
    pub(super) presence: Shared<BTreeMap<(TenantId, MachineId), Presence>>,
    /// When the fleet was watched: from when, until when.
    pub(super) watched: BTreeMap<Timestamp, Timestamp>,
    /// What each server counted in each slot.
    pub(super) pulses: Shared<Pulses>,
    /// Tenants for whom the reaper stopped.
    pub(super) stops: BTreeMap<TenantId, Stop>,
    /// In the order in which they were written.
    pub(super) audit: Shared<Vec<Arc<Told>>>,
}

/// An entry of the audit log.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) tenant: TenantId,
    pub(super) place: EntryPlace,
    pub(super) record: AuditRecord,
}

/// A plan that violates the schema: our own mistake.
pub(super) fn wrong(what: &'static str, why: &'static str) -> StoreError {
    StoreError::Invariant { what, cause: why.into() }
}

impl Tables {
    /// Appends entries.
    pub(super) fn tell(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            let seq = self.audit.len() as u64 + 1;
            let record = AuditRecord {
                seq,
                id: entry.id.to_string(),
                at: entry.at.cut(),
                actor: entry.actor.to_string(),
                action: entry.action.to_owned(),
                object: entry.object.to_string(),
                reason: entry.reason.0.to_owned(),
                source: entry.source.map(|source| source.to_string()),
                detail: entry.detail.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            };
            let (tenant, place) = (entry.tenant, EntryPlace { seq, id: entry.id });
            self.audit.push(Arc::new(Told { tenant, place, record }));
        }
    }

    /// A machine came or went. What was heard never goes back; a machine that is not there has no presence.
    pub(super) fn note(&mut self, note: PresenceNote) {
        let key = (note.tenant, note.machine);
        if !self.machines.contains_key(&key) {
            return;
        }
        let presence = self.presence.entry(key).or_default();
        presence.last_seen = presence.last_seen.max(Some(note.last_seen.cut()));
        presence.online = note.online;
        self.bundles.extend(note.bundle.map(|bundle| (key, bundle)));
    }

    /// A stretch that began at the same time goes on. The last ones are kept.
    pub(super) fn note_watched(&mut self, watched: Watched) {
        let until = self.watched.entry(watched.began.cut()).or_insert(watched.until.cut());
        *until = (*until).max(watched.until.cut());
        let mut ends: Vec<Timestamp> = self.watched.values().copied().collect();
        ends.sort_unstable();
        if let Some(oldest) = ends.len().checked_sub(STRETCHES as usize).and_then(|more| ends.get(more)) {
            self.watched.retain(|_, until| *until >= *oldest);
        }
    }

    /// What a server noted of a slot before gives way; what it saw then stands where it did not look again.
    pub(super) fn note_pulse(&mut self, note: PulseNote) {
        let slot = self.pulses.entry((note.at.cut(), note.tenant, note.replica)).or_default();
        *slot = (note.present.or(slot.0), note.counted);
    }

    /// Whoever was online counts as seen until now.
    pub(super) fn end_presence(&mut self, now: Timestamp) {
        for presence in self.presence.values_mut().filter(|presence| presence.online) {
            *presence = Presence { last_seen: presence.last_seen.max(Some(now)), online: false };
        }
    }
}

/// Those of one tenant.
pub(super) fn of<K, V>(
    map: &BTreeMap<(TenantId, K), V>,
    tenant: TenantId,
) -> impl DoubleEndedIterator<Item = &V> {
    map.iter().filter(move |((owner, _), _)| *owner == tenant).map(|(_, value)| value)
}
