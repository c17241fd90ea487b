//! The queries of the port, answered on any connection: the writer's within its transaction, a reader's within its own.

use muster_lifecycle::Remembered;
use muster_model::{
    AccessToken, AccessTokenId, Credential, CredentialId, Deployment, EntryPlace, Grant, GrantId, HardwareId,
    Hold, HoldId, KeyFingerprint, KeyRecord, Machine, MachineId, Operator, OperatorId, Presence, Replica,
    SecretId, Site, SiteCode, SiteId, SiteUse, Tenant, TenantId, Timestamp,
};
use muster_store::{
    AuditFilter, AuditRecord, Listed, Lists, MachineFilter, MachineRow, PageRequest, Reads, StoreError,
    Unscoped,
};
use rusqlite::Connection;

use crate::pool::Pooled;
use crate::rows::{
    access, audit, credential, deployment, grant, hold, key, machine, machine_list, memory, presence, site,
};

/// Where a [`View`] looks.
pub trait Source: Send {
    /// The connection.
    fn connection(&mut self) -> &Connection;
}

/// A consistent view of the database. Every query is answered at once: its future is never pending.
#[derive(Debug)]
pub struct View<S>(pub(crate) S);

/// A consistent view for reading. Give it back soon: there are only so many.
pub type Reader = View<Pooled>;

impl Source for &mut Connection {
    fn connection(&mut self) -> &Connection {
        self
    }
}

impl<S: Source> View<S> {
    fn db(&mut self) -> &Connection {
        self.0.connection()
    }
}

type Answered<T> = Result<T, StoreError>;

impl<S: Source> Reads for View<S> {
    async fn site(&mut self, tenant: TenantId, id: SiteId) -> Answered<Option<Site>> {
        site::by_id(self.db(), tenant, id)
    }
    async fn site_by_code(&mut self, tenant: TenantId, code: &SiteCode) -> Answered<Option<Site>> {
        site::by_code(self.db(), tenant, code)
    }
    async fn only_site(&mut self, tenant: TenantId) -> Answered<Option<Site>> {
        site::only(self.db(), tenant)
    }
    async fn site_use(&mut self, tenant: TenantId, id: SiteId, now: Timestamp) -> Answered<SiteUse> {
        site::usage(self.db(), tenant, id, now)
    }
    async fn site_key(&mut self, tenant: TenantId, site: SiteId) -> Answered<Option<Grant>> {
        grant::site_key(self.db(), tenant, site)
    }
    async fn grant(&mut self, tenant: TenantId, id: GrantId) -> Answered<Option<Grant>> {
        grant::by_id(self.db(), tenant, id)
    }
    async fn grants_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Grant>> {
        grant::of_machine(self.db(), tenant, machine)
    }
    async fn machine(&mut self, tenant: TenantId, id: MachineId) -> Answered<Option<Machine>> {
        machine::by_id(self.db(), tenant, id)
    }
    async fn machine_by_hardware(&mut self, tenant: TenantId, id: &HardwareId) -> Answered<Option<Machine>> {
        machine::by_hardware(self.db(), tenant, id)
    }
    async fn key(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Option<KeyRecord>> {
        key::by_fingerprint(self.db(), tenant, key)
    }
    async fn keys_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<KeyRecord>> {
        key::of_machine(self.db(), tenant, machine)
    }
    async fn presence(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Presence> {
        presence::of_machine(self.db(), tenant, machine)
    }
    async fn hold(&mut self, tenant: TenantId, id: HoldId) -> Answered<Option<Hold>> {
        hold::by_id(self.db(), tenant, id)
    }
    async fn holds_by_key(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Vec<Hold>> {
        hold::by_key(self.db(), tenant, key)
    }
    async fn holds_by_hardware(&mut self, tenant: TenantId, id: &HardwareId) -> Answered<Vec<Hold>> {
        hold::by_hardware(self.db(), tenant, id)
    }
    async fn holds_about(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Hold>> {
        hold::about(self.db(), tenant, machine)
    }
    async fn credential(&mut self, tenant: TenantId, id: CredentialId) -> Answered<Option<Credential>> {
        credential::by_id(self.db(), tenant, id)
    }
    async fn open_credentials(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Credential>> {
        credential::open_of_machine(self.db(), tenant, machine)
    }
    async fn operator(&mut self, tenant: TenantId, id: OperatorId) -> Answered<Option<Operator>> {
        access::operator(self.db(), tenant, id)
    }
    async fn access_token(&mut self, tenant: TenantId, id: AccessTokenId) -> Answered<Option<AccessToken>> {
        access::token(self.db(), tenant, id)
    }
    async fn remembered(&mut self, tenant: TenantId, key: &[u8; 32]) -> Answered<Option<Remembered>> {
        memory::request(self.db(), tenant, key)
    }
    async fn last_nonce(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Option<u64>> {
        memory::last_nonce(self.db(), tenant, key)
    }
}

impl<S: Source> Unscoped for View<S> {
    async fn tenants(&mut self) -> Answered<Vec<Tenant>> {
        site::tenants(self.db())
    }
    async fn operators(&mut self, tenant: TenantId) -> Answered<Vec<Operator>> {
        access::operators(self.db(), tenant)
    }
    async fn grant_by_secret(&mut self, secret: SecretId) -> Answered<Option<Grant>> {
        grant::by_secret(self.db(), secret)
    }
    async fn access_by_secret(&mut self, secret: SecretId) -> Answered<Option<AccessToken>> {
        access::by_secret(self.db(), secret)
    }
    async fn credential_by_secret(&mut self, secret: SecretId) -> Answered<Option<Credential>> {
        credential::by_secret(self.db(), secret)
    }
    async fn keys(&mut self, key: KeyFingerprint) -> Answered<Vec<(TenantId, KeyRecord)>> {
        key::anywhere(self.db(), key)
    }
    async fn hold_anywhere(&mut self, id: HoldId) -> Answered<Option<Hold>> {
        hold::anywhere(self.db(), id)
    }
    async fn deployment(&mut self) -> Answered<Option<Deployment>> {
        deployment::deployment(self.db())
    }
    async fn newest_entry(&mut self) -> Answered<Option<EntryPlace>> {
        deployment::newest_entry(self.db())
    }
    async fn has_entry(&mut self, place: EntryPlace) -> Answered<bool> {
        deployment::has_entry(self.db(), place)
    }
    async fn replicas(&mut self) -> Answered<Vec<Replica>> {
        // A file belongs to one process, which knows itself.
        Ok(Vec::new())
    }
}

impl<S: Source> Lists for View<S> {
    async fn machines(
        &mut self,
        tenant: TenantId,
        filter: &MachineFilter,
        page: PageRequest,
    ) -> Answered<Listed<MachineRow>> {
        machine_list::page(self.db(), tenant, filter, page)
    }
    async fn machine_row(&mut self, tenant: TenantId, id: MachineId) -> Answered<Option<MachineRow>> {
        machine_list::row(self.db(), tenant, id)
    }
    async fn machine_counts(&mut self, tenant: TenantId) -> Answered<[u64; 4]> {
        machine::counts(self.db(), tenant)
    }
    async fn credentials(
        &mut self,
        tenant: TenantId,
        machine: MachineId,
        limit: u32,
    ) -> Answered<Vec<Credential>> {
        credential::of_machine(self.db(), tenant, machine, limit)
    }
    async fn sites(&mut self, tenant: TenantId, page: PageRequest) -> Answered<Listed<Site>> {
        site::page(self.db(), tenant, page)
    }
    async fn grants(
        &mut self,
        tenant: TenantId,
        site: Option<SiteId>,
        page: PageRequest,
    ) -> Answered<Listed<Grant>> {
        grant::page(self.db(), tenant, site, page)
    }
    async fn holds(
        &mut self,
        tenant: TenantId,
        open_at: Option<Timestamp>,
        page: PageRequest,
    ) -> Answered<Listed<Hold>> {
        hold::page(self.db(), tenant, open_at, page)
    }
    async fn open_holds(&mut self, tenant: TenantId, now: Timestamp) -> Answered<u64> {
        hold::count_open(self.db(), tenant, now)
    }
    async fn access_tokens(&mut self, tenant: TenantId, page: PageRequest) -> Answered<Listed<AccessToken>> {
        access::page(self.db(), tenant, page)
    }
    async fn audit(&mut self, tenant: TenantId, filter: &AuditFilter) -> Answered<Vec<AuditRecord>> {
        audit::page(self.db(), tenant, filter)
    }
}
