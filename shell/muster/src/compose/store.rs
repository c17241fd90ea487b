//! The store that the configuration names, behind one type: everything else in this room works on [`AnyStore`].

use std::net::IpAddr;

use muster_lifecycle::fork::Boots;
use muster_lifecycle::lockout::Failures;
use muster_lifecycle::nonce::UsedNonces;
use muster_lifecycle::operator::Live;
use muster_lifecycle::reap::{Due, Stop, Watched};
use muster_lifecycle::{Plan, Remembered};
use muster_model::{
    AccessToken, AccessTokenId, Account, AccountId, AccountName, AuditId, Ca, Credential, CredentialId,
    Deployment, EngagementVersion, Entry, EntryPlace, Expiry, Grant, GrantId, HardwareId, Hold, HoldId,
    KeyFingerprint, KeyRecord, Machine, MachineId, Nick, Object, Operator, OperatorId, Presence,
    ProvisionerName, Pulse, Replica, SecretId, SignedDuration, Site, SiteCode, SiteId, SiteUse,
    SoftwareAgent, Tenant, TenantId, Timestamp, Verifier, VersionUse,
};
use muster_store::{
    AccountFilter, AgentRow, AuditFilter, AuditRecord, Behind, BehindMachine, Decision, Fence, Joining,
    Listed, Lists, MachineFilter, MachineRow, PageRequest, PresenceNote, Prune, PulseNote, QuietRow, Reads,
    SettleError, Signal, Standing, Store, StoreError, Unscoped,
};
use muster_store_postgres::PostgresStore;
use muster_store_sqlite::SqliteStore;

/// The store of this server.
#[derive(Debug, Clone)]
pub(crate) enum AnyStore {
    /// A file in the data directory.
    Sqlite(SqliteStore),
    /// A PostgreSQL database.
    Postgres(PostgresStore),
}

/// A view for reading.
pub(crate) enum AnyReader {
    /// Of the file.
    Sqlite(<SqliteStore as Store>::Reader),
    /// Of the PostgreSQL database.
    Postgres(<PostgresStore as Store>::Reader),
}

/// Calls the same method on whichever it is.
macro_rules! either {
    ($on:expr, $inner:ident => $call:expr) => {
        match $on {
            Self::Sqlite($inner) => $call,
            Self::Postgres($inner) => $call,
        }
    };
}

/// Implements queries by handing them on.
macro_rules! queries {
    ($queries:ident { $($name:ident($($value:ident: $type:ty),*) -> $answer:ty;)* }) => {
        impl $queries for AnyReader {
            $(async fn $name(&mut self, $($value: $type),*) -> Result<$answer, StoreError> {
                either!(self, reader => reader.$name($($value),*).await)
            })*
        }
    };
}

impl AnyStore {
    /// Returns when nothing can be promised any more.
    pub(crate) async fn damaged(&self) {
        either!(self, store => store.damaged().await);
    }

    /// Finishes what is queued and closes it.
    pub(crate) async fn close(&self) {
        either!(self, store => store.close().await);
    }
}

impl Store for AnyStore {
    type Reader = AnyReader;

    async fn reader(&self) -> Result<AnyReader, StoreError> {
        Ok(match self {
            Self::Sqlite(store) => AnyReader::Sqlite(store.reader().await?),
            Self::Postgres(store) => AnyReader::Postgres(store.reader().await?),
        })
    }

    async fn settle<D: Decision>(&self, decision: D) -> Result<Plan<D::Outcome>, SettleError> {
        either!(self, store => store.settle(decision).await)
    }

    async fn note_presence(&self, notes: Vec<PresenceNote>) -> Result<(), StoreError> {
        either!(self, store => store.note_presence(notes).await)
    }

    async fn note_pulse(&self, notes: Vec<PulseNote>) -> Result<(), StoreError> {
        either!(self, store => store.note_pulse(notes).await)
    }

    async fn tell(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        either!(self, store => store.tell(entries).await)
    }

    async fn check(&self) -> Result<(), StoreError> {
        either!(self, store => store.check().await)
    }

    async fn join(&self, joining: Joining) -> Result<(), StoreError> {
        either!(self, store => store.join(joining).await)
    }

    async fn alive(&self, channels: u64) -> Result<Standing, StoreError> {
        either!(self, store => store.alive(channels).await)
    }

    async fn signals(&self) -> Result<Vec<Signal>, StoreError> {
        either!(self, store => store.signals().await)
    }

    async fn stirred(&self) {
        either!(self, store => store.stirred().await);
    }

    async fn lease(&self, job: &'static str, span: SignedDuration) -> Result<Option<Fence>, StoreError> {
        either!(self, store => store.lease(job, span).await)
    }

    async fn note_watched(&self, fence: Fence, watched: Watched) -> Result<(), StoreError> {
        either!(self, store => store.note_watched(fence, watched).await)
    }

    async fn prune(&self, fence: Fence, prune: Prune) -> Result<u64, StoreError> {
        either!(self, store => store.prune(fence, prune).await)
    }
}

queries!(Reads {
    site(tenant: TenantId, id: SiteId) -> Option<Site>;
    site_by_code(tenant: TenantId, code: &SiteCode) -> Option<Site>;
    only_site(tenant: TenantId) -> Option<Site>;
    site_use(tenant: TenantId, site: SiteId, now: Timestamp) -> SiteUse;
    site_key(tenant: TenantId, site: SiteId) -> Option<Grant>;
    grant(tenant: TenantId, id: GrantId) -> Option<Grant>;
    grants_of_machine(tenant: TenantId, machine: MachineId) -> Vec<Grant>;
    machine(tenant: TenantId, id: MachineId) -> Option<Machine>;
    machine_by_hardware(tenant: TenantId, id: &HardwareId) -> Option<Machine>;
    key(tenant: TenantId, key: KeyFingerprint) -> Option<KeyRecord>;
    keys_of_machine(tenant: TenantId, machine: MachineId) -> Vec<KeyRecord>;
    presence(tenant: TenantId, machine: MachineId) -> Presence;
    hold(tenant: TenantId, id: HoldId) -> Option<Hold>;
    holds_from(tenant: TenantId, site: SiteId, network: IpAddr, now: Timestamp) -> u64;
    holds_by_key(tenant: TenantId, key: KeyFingerprint) -> Vec<Hold>;
    holds_by_hardware(tenant: TenantId, id: &HardwareId) -> Vec<Hold>;
    holds_by_verifier(tenant: TenantId, verifier: &Verifier) -> Vec<Hold>;
    hold_in_name(tenant: TenantId, id: &HardwareId) -> Option<Hold>;
    holds_about(tenant: TenantId, machine: MachineId) -> Vec<Hold>;
    credential(tenant: TenantId, id: CredentialId) -> Option<Credential>;
    open_credentials(tenant: TenantId, machine: MachineId) -> Vec<Credential>;
    software_agent(tenant: TenantId, machine: MachineId) -> Option<SoftwareAgent>;
    agent_by_nick(tenant: TenantId, nick: &Nick) -> Option<SoftwareAgent>;
    engagement(tenant: TenantId, machine: MachineId, version: u32) -> Option<EngagementVersion>;
    operator(tenant: TenantId, id: OperatorId) -> Option<Operator>;
    live_access_of(tenant: TenantId, operator: OperatorId, now: Timestamp) -> Live;
    acting_by(tenant: TenantId, id: AccessTokenId) -> Option<(AccessToken, Operator)>;
    access_token(tenant: TenantId, id: AccessTokenId) -> Option<AccessToken>;
    account(tenant: TenantId, id: AccountId) -> Option<Account>;
    accounts_of_machine(tenant: TenantId, machine: MachineId) -> Vec<Account>;
    account_named(tenant: TenantId, provisioner: &ProvisionerName, name: &AccountName) -> Option<Account>;
    remembered(tenant: TenantId, key: &[u8; 32]) -> Option<Remembered>;
    used_nonces(tenant: TenantId, key: KeyFingerprint) -> Option<UsedNonces>;
    failures(tenant: TenantId, key: &[u8; 32]) -> Option<Failures>;
    boots(tenant: TenantId, key: KeyFingerprint) -> Option<Boots>;
    reaper_stop(tenant: TenantId) -> Option<Stop>;
});

queries!(Unscoped {
    tenants() -> Vec<Tenant>;
    operators(tenant: TenantId) -> Vec<Operator>;
    grant_by_secret(secret: SecretId) -> Option<Grant>;
    access_by_secret(secret: SecretId) -> Option<AccessToken>;
    credential_by_secret(secret: SecretId) -> Option<Credential>;
    keys(key: KeyFingerprint) -> Vec<(TenantId, KeyRecord)>;
    due_accounts(now: Timestamp, limit: u32) -> Vec<Account>;
    hold_anywhere(id: HoldId) -> Option<Hold>;
    deployment() -> Option<Deployment>;
    ca() -> Option<Ca>;
    bundle_holders() -> Vec<(u64, u64)>;
    behind(behind: Behind) -> u64;
    not_rotated_since(at: Timestamp) -> u64;
    newest_entry() -> Option<EntryPlace>;
    has_entry(place: EntryPlace) -> bool;
    has_entry_about(tenant: TenantId, object: Object, id: AuditId) -> bool;
    replicas() -> Vec<Replica>;
});

queries!(Lists {
    has_imported_keys(tenant: TenantId) -> bool;
    imported_key(tenant: TenantId, site: &SiteCode) -> Option<Grant>;
    machines(tenant: TenantId, filter: &MachineFilter, page: PageRequest) -> Listed<MachineRow>;
    machine_row(tenant: TenantId, id: MachineId) -> Option<MachineRow>;
    machine_counts(tenant: TenantId) -> [u64; 4];
    credentials(tenant: TenantId, machine: MachineId, limit: u32) -> Vec<Credential>;
    sites(tenant: TenantId, page: PageRequest) -> Listed<Site>;
    grants(tenant: TenantId, site: Option<SiteId>, page: PageRequest) -> Listed<Grant>;
    holds(tenant: TenantId, open_at: Option<Timestamp>, page: PageRequest) -> Listed<Hold>;
    open_holds(tenant: TenantId, now: Timestamp) -> u64;
    software_agents(tenant: TenantId, page: PageRequest) -> Listed<AgentRow>;
    access_tokens(tenant: TenantId, page: PageRequest) -> Listed<AccessToken>;
    accounts(tenant: TenantId, filter: &AccountFilter, page: PageRequest) -> Listed<Account>;
    machines_behind(tenant: TenantId, behind: Behind, limit: u32) -> Vec<BehindMachine>;
    watched() -> Vec<Watched>;
    quiet(tenant: TenantId, due: Due, since: Timestamp, page: PageRequest) -> Listed<QuietRow>;
    count_silenced(tenant: TenantId, since: Timestamp) -> u64;
    pulses(tenant: TenantId, from: Timestamp, until: Timestamp, length: SignedDuration) -> Vec<Pulse>;
    expiring(tenant: TenantId, from: Timestamp, until: Timestamp) -> Vec<Expiry>;
    versions(tenant: TenantId, limit: u32) -> Vec<VersionUse>;
    audit(tenant: TenantId, filter: &AuditFilter) -> Vec<AuditRecord>;
});
