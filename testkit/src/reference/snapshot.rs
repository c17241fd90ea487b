//! Everything that is kept at one moment, for whoever checks it; and putting it back, as a backup or a failover does.

use std::sync::Arc;

use muster_lifecycle::nonce::UsedNonces;
use muster_model::{
    Credential, EntryPlace, Grant, Hold, KeyFingerprint, KeyRecord, Machine, MachineId, Presence, TenantId,
};
use muster_store::AuditRecord;

use super::ReferenceStore;
use super::tables::Tables;

/// Everything that is kept at one moment. Cheap to take and to copy.
#[derive(Debug, Clone)]
pub struct Snapshot(Arc<Tables>);

impl ReferenceStore {
    /// What is there now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(Arc::clone(&self.lock()))
    }

    /// Puts back what was there then.
    pub fn put_back(&self, earlier: &Snapshot) {
        *self.lock() = Arc::clone(&earlier.0);
    }
}

impl Snapshot {
    /// Every machine.
    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.0.machines.values()
    }

    /// One machine.
    pub fn machine(&self, tenant: TenantId, id: MachineId) -> Option<&Machine> {
        self.0.machines.get(&(tenant, id))
    }

    /// One machine, of whichever tenant.
    pub fn machine_by_id(&self, id: MachineId) -> Option<&Machine> {
        self.machines().find(|machine| machine.id == id)
    }

    /// The reading of a decision that sees this moment.
    pub fn moment(&self) -> super::Moment {
        super::Moment { tables: Arc::clone(&self.0) }
    }

    /// Every key, with the short name of each.
    pub fn keys(&self) -> impl Iterator<Item = (&KeyFingerprint, &KeyRecord)> {
        self.0.keys.iter().map(|((_, name), record)| (name, record))
    }

    /// One key.
    pub fn key(&self, tenant: TenantId, key: KeyFingerprint) -> Option<&KeyRecord> {
        self.0.keys.get(&(tenant, key))
    }

    /// One key, of whichever tenant.
    pub fn key_by_name(&self, key: KeyFingerprint) -> Option<&KeyRecord> {
        self.keys().find(|(name, _)| **name == key).map(|(_, record)| record)
    }

    /// Every hold.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.0.holds.values()
    }

    /// Every grant.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.0.grants.values()
    }

    /// Every credential.
    pub fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.0.credentials.values()
    }

    /// The presence of a machine, as it is written.
    pub fn presence(&self, tenant: TenantId, machine: MachineId) -> Option<Presence> {
        self.0.presence.get(&(tenant, machine)).copied()
    }

    /// The nonces that a key has used.
    pub fn nonces(&self, tenant: TenantId, key: KeyFingerprint) -> Option<UsedNonces> {
        self.0.nonces.get(&(tenant, key)).cloned()
    }

    /// The audit log, from a place on.
    pub fn audit_after(&self, seq: u64) -> impl Iterator<Item = &AuditRecord> {
        self.0.audit.iter().skip(seq as usize).map(|told| &told.record)
    }

    /// The newest entry's place.
    pub fn newest(&self) -> Option<EntryPlace> {
        self.0.audit.last().map(|told| told.place)
    }

    /// How many audit entries there are.
    pub fn told(&self) -> u64 {
        self.0.audit.len() as u64
    }

    /// Whether nothing changed from one to the other.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
