//! The queries of the port, answered on any engine: a writer's within its transaction, a reader's within its own.

use std::net::IpAddr;

use muster_lifecycle::Remembered;
use muster_lifecycle::fork::Boots;
use muster_lifecycle::lockout::Failures;
use muster_lifecycle::nonce::UsedNonces;
use muster_lifecycle::operator::Live;
use muster_lifecycle::reap::{Due, Stop, Watched};
use muster_model::{
    AccessToken, AccessTokenId, Account, AccountId, AccountName, AuditId, Ca, Credential, CredentialId,
    Deployment, EngagementVersion, EntryPlace, Expiry, Grant, GrantId, HardwareId, Hold, HoldId,
    KeyFingerprint, KeyRecord, Machine, MachineId, Nick, Object, Operator, OperatorId, Presence,
    ProvisionerName, Pulse, Replica, SecretId, SignedDuration, Site, SiteCode, SiteId, SiteUse,
    SoftwareAgent, Tenant, TenantId, Timestamp, Verifier, VersionUse,
};
use muster_store::{
    AccountFilter, AgentRow, AuditFilter, AuditRecord, Behind, BehindMachine, Listed, Lists, MachineFilter,
    MachineRow, PageRequest, QuietRow, Reads, StoreError, Unscoped,
};

use crate::dialect::Dialect;
use crate::rows::{
    access, account, agent, audit, ca, credential, deployment, grant, hold, key, machine, machine_list,
    memory, presence, pulse, reaper, site,
};

/// The queries of the port on an engine, each of one moment where the engine's transaction is.
#[derive(Debug)]
pub struct View<E>(E);

impl<E> View<E> {
    /// On this engine.
    pub fn new(engine: E) -> Self {
        Self(engine)
    }

    /// What it runs on.
    pub fn engine(&mut self) -> &mut E {
        &mut self.0
    }
}

type Answered<T> = Result<T, StoreError>;

impl<E: Dialect> Reads for View<E> {
    async fn site(&mut self, tenant: TenantId, id: SiteId) -> Answered<Option<Site>> {
        site::by_id(&mut self.0, tenant, id).await
    }
    async fn site_by_code(&mut self, tenant: TenantId, code: &SiteCode) -> Answered<Option<Site>> {
        site::by_code(&mut self.0, tenant, code).await
    }
    async fn only_site(&mut self, tenant: TenantId) -> Answered<Option<Site>> {
        site::only(&mut self.0, tenant).await
    }
    async fn site_use(&mut self, tenant: TenantId, id: SiteId, now: Timestamp) -> Answered<SiteUse> {
        site::usage(&mut self.0, tenant, id, now).await
    }
    async fn site_key(&mut self, tenant: TenantId, site: SiteId) -> Answered<Option<Grant>> {
        grant::site_key(&mut self.0, tenant, site).await
    }
    async fn grant(&mut self, tenant: TenantId, id: GrantId) -> Answered<Option<Grant>> {
        grant::by_id(&mut self.0, tenant, id).await
    }
    async fn grants_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Grant>> {
        grant::of_machine(&mut self.0, tenant, machine).await
    }
    async fn machine(&mut self, tenant: TenantId, id: MachineId) -> Answered<Option<Machine>> {
        machine::by_id(&mut self.0, tenant, id).await
    }
    async fn machine_by_hardware(&mut self, tenant: TenantId, id: &HardwareId) -> Answered<Option<Machine>> {
        machine::by_hardware(&mut self.0, tenant, id).await
    }
    async fn key(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Option<KeyRecord>> {
        key::by_fingerprint(&mut self.0, tenant, key).await
    }
    async fn keys_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<KeyRecord>> {
        key::of_machine(&mut self.0, tenant, machine).await
    }
    async fn presence(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Presence> {
        presence::of_machine(&mut self.0, tenant, machine).await
    }
    async fn hold(&mut self, tenant: TenantId, id: HoldId) -> Answered<Option<Hold>> {
        hold::by_id(&mut self.0, tenant, id).await
    }
    async fn holds_from(
        &mut self,
        tenant: TenantId,
        site: SiteId,
        network: IpAddr,
        now: Timestamp,
    ) -> Answered<u64> {
        hold::count_from(&mut self.0, tenant, site, network, now).await
    }
    async fn holds_by_key(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Vec<Hold>> {
        hold::by_key(&mut self.0, tenant, key).await
    }
    async fn holds_by_hardware(&mut self, tenant: TenantId, id: &HardwareId) -> Answered<Vec<Hold>> {
        hold::by_hardware(&mut self.0, tenant, id).await
    }
    async fn holds_by_verifier(&mut self, tenant: TenantId, verifier: &Verifier) -> Answered<Vec<Hold>> {
        hold::by_verifier(&mut self.0, tenant, verifier).await
    }
    async fn hold_in_name(&mut self, tenant: TenantId, id: &HardwareId) -> Answered<Option<Hold>> {
        hold::in_name(&mut self.0, tenant, id).await
    }
    async fn holds_about(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Hold>> {
        hold::about(&mut self.0, tenant, machine).await
    }
    async fn credential(&mut self, tenant: TenantId, id: CredentialId) -> Answered<Option<Credential>> {
        credential::by_id(&mut self.0, tenant, id).await
    }
    async fn open_credentials(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Credential>> {
        credential::open_of_machine(&mut self.0, tenant, machine).await
    }
    async fn software_agent(
        &mut self,
        tenant: TenantId,
        machine: MachineId,
    ) -> Answered<Option<SoftwareAgent>> {
        agent::of_machine(&mut self.0, tenant, machine).await
    }
    async fn agent_by_nick(&mut self, tenant: TenantId, nick: &Nick) -> Answered<Option<SoftwareAgent>> {
        agent::by_nick(&mut self.0, tenant, nick).await
    }
    async fn engagement(
        &mut self,
        tenant: TenantId,
        machine: MachineId,
        version: u32,
    ) -> Answered<Option<EngagementVersion>> {
        agent::engagement(&mut self.0, tenant, machine, version).await
    }
    async fn operator(&mut self, tenant: TenantId, id: OperatorId) -> Answered<Option<Operator>> {
        access::operator(&mut self.0, tenant, id).await
    }
    async fn live_access_of(
        &mut self,
        tenant: TenantId,
        operator: OperatorId,
        now: Timestamp,
    ) -> Answered<Live> {
        access::live_of(&mut self.0, tenant, operator, now).await
    }
    async fn acting_by(
        &mut self,
        tenant: TenantId,
        id: AccessTokenId,
    ) -> Answered<Option<(AccessToken, Operator)>> {
        let Some(token) = access::token(&mut self.0, tenant, id).await? else { return Ok(None) };
        let operator = access::operator(&mut self.0, tenant, token.operator).await?;
        Ok(operator.map(|operator| (token, operator)))
    }
    async fn access_token(&mut self, tenant: TenantId, id: AccessTokenId) -> Answered<Option<AccessToken>> {
        access::token(&mut self.0, tenant, id).await
    }
    async fn account(&mut self, tenant: TenantId, id: AccountId) -> Answered<Option<Account>> {
        account::by_id(&mut self.0, tenant, id).await
    }
    async fn accounts_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Account>> {
        account::of_machine(&mut self.0, tenant, machine).await
    }
    async fn account_named(
        &mut self,
        tenant: TenantId,
        provisioner: &ProvisionerName,
        name: &AccountName,
    ) -> Answered<Option<Account>> {
        account::named(&mut self.0, tenant, provisioner, name).await
    }
    async fn remembered(&mut self, tenant: TenantId, key: &[u8; 32]) -> Answered<Option<Remembered>> {
        memory::request(&mut self.0, tenant, key).await
    }
    async fn used_nonces(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Option<UsedNonces>> {
        memory::used_nonces(&mut self.0, tenant, key).await
    }
    async fn failures(&mut self, tenant: TenantId, key: &[u8; 32]) -> Answered<Option<Failures>> {
        memory::failures(&mut self.0, tenant, key).await
    }

    async fn boots(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Option<Boots>> {
        memory::boots(&mut self.0, tenant, key).await
    }

    async fn reaper_stop(&mut self, tenant: TenantId) -> Answered<Option<Stop>> {
        reaper::stop(&mut self.0, tenant).await
    }
}

impl<E: Dialect> Unscoped for View<E> {
    async fn tenants(&mut self) -> Answered<Vec<Tenant>> {
        site::tenants(&mut self.0).await
    }
    async fn operators(&mut self, tenant: TenantId) -> Answered<Vec<Operator>> {
        access::operators(&mut self.0, tenant).await
    }
    async fn grant_by_secret(&mut self, secret: SecretId) -> Answered<Option<Grant>> {
        grant::by_secret(&mut self.0, secret).await
    }
    async fn access_by_secret(&mut self, secret: SecretId) -> Answered<Option<AccessToken>> {
        access::by_secret(&mut self.0, secret).await
    }
    async fn credential_by_secret(&mut self, secret: SecretId) -> Answered<Option<Credential>> {
        credential::by_secret(&mut self.0, secret).await
    }
    async fn keys(&mut self, key: KeyFingerprint) -> Answered<Vec<(TenantId, KeyRecord)>> {
        key::anywhere(&mut self.0, key).await
    }
    async fn due_accounts(&mut self, now: Timestamp, limit: u32) -> Answered<Vec<Account>> {
        account::due(&mut self.0, now, limit).await
    }
    async fn hold_anywhere(&mut self, id: HoldId) -> Answered<Option<Hold>> {
        hold::anywhere(&mut self.0, id).await
    }
    async fn deployment(&mut self) -> Answered<Option<Deployment>> {
        deployment::deployment(&mut self.0).await
    }
    async fn ca(&mut self) -> Answered<Option<Ca>> {
        ca::ca(&mut self.0).await
    }
    async fn bundle_holders(&mut self) -> Answered<Vec<(u64, u64)>> {
        E::aside(ca::holders(&mut self.0)).await
    }
    async fn behind(&mut self, behind: Behind) -> Answered<u64> {
        E::aside(ca::behind(&mut self.0, behind)).await
    }
    async fn not_rotated_since(&mut self, at: Timestamp) -> Answered<u64> {
        E::aside(ca::not_rotated_since(&mut self.0, at)).await
    }
    async fn newest_entry(&mut self) -> Answered<Option<EntryPlace>> {
        deployment::newest_entry(&mut self.0).await
    }
    async fn has_entry(&mut self, place: EntryPlace) -> Answered<bool> {
        deployment::has_entry(&mut self.0, place).await
    }
    async fn has_entry_about(&mut self, tenant: TenantId, object: Object, id: AuditId) -> Answered<bool> {
        deployment::has_entry_about(&mut self.0, tenant, object, id).await
    }
    async fn replicas(&mut self) -> Answered<Vec<Replica>> {
        self.0.replicas().await
    }
}

impl<E: Dialect> Lists for View<E> {
    async fn machines(
        &mut self,
        tenant: TenantId,
        filter: &MachineFilter,
        page: PageRequest,
    ) -> Answered<Listed<MachineRow>> {
        E::aside(machine_list::page(&mut self.0, tenant, filter, page)).await
    }
    async fn machine_row(&mut self, tenant: TenantId, id: MachineId) -> Answered<Option<MachineRow>> {
        E::aside(machine_list::row(&mut self.0, tenant, id)).await
    }
    async fn machine_counts(&mut self, tenant: TenantId) -> Answered<[u64; 4]> {
        E::aside(machine::counts(&mut self.0, tenant)).await
    }
    async fn credentials(
        &mut self,
        tenant: TenantId,
        machine: MachineId,
        limit: u32,
    ) -> Answered<Vec<Credential>> {
        E::aside(credential::of_machine(&mut self.0, tenant, machine, limit)).await
    }
    async fn sites(&mut self, tenant: TenantId, page: PageRequest) -> Answered<Listed<Site>> {
        E::aside(site::page(&mut self.0, tenant, page)).await
    }
    async fn grants(
        &mut self,
        tenant: TenantId,
        site: Option<SiteId>,
        page: PageRequest,
    ) -> Answered<Listed<Grant>> {
        E::aside(grant::page(&mut self.0, tenant, site, page)).await
    }
    async fn has_imported_keys(&mut self, tenant: TenantId) -> Answered<bool> {
        grant::any_imported(&mut self.0, tenant).await
    }
    async fn imported_key(&mut self, tenant: TenantId, site: &SiteCode) -> Answered<Option<Grant>> {
        grant::imported(&mut self.0, tenant, site).await
    }
    async fn holds(
        &mut self,
        tenant: TenantId,
        open_at: Option<Timestamp>,
        page: PageRequest,
    ) -> Answered<Listed<Hold>> {
        E::aside(hold::page(&mut self.0, tenant, open_at, page)).await
    }
    async fn open_holds(&mut self, tenant: TenantId, now: Timestamp) -> Answered<u64> {
        E::aside(hold::count_open(&mut self.0, tenant, now)).await
    }
    async fn software_agents(&mut self, tenant: TenantId, page: PageRequest) -> Answered<Listed<AgentRow>> {
        E::aside(agent::page(&mut self.0, tenant, page)).await
    }
    async fn access_tokens(&mut self, tenant: TenantId, page: PageRequest) -> Answered<Listed<AccessToken>> {
        E::aside(access::page(&mut self.0, tenant, page)).await
    }
    async fn accounts(
        &mut self,
        tenant: TenantId,
        filter: &AccountFilter,
        page: PageRequest,
    ) -> Answered<Listed<Account>> {
        E::aside(account::page(&mut self.0, tenant, filter, page)).await
    }
    async fn machines_behind(
        &mut self,
        tenant: TenantId,
        behind: Behind,
        limit: u32,
    ) -> Answered<Vec<BehindMachine>> {
        E::aside(ca::machines_behind(&mut self.0, tenant, behind, limit)).await
    }

    async fn watched(&mut self) -> Answered<Vec<Watched>> {
        reaper::watched(&mut self.0).await
    }
    async fn quiet(
        &mut self,
        tenant: TenantId,
        due: Due,
        since: Timestamp,
        page: PageRequest,
    ) -> Answered<Listed<QuietRow>> {
        E::aside(reaper::quiet(&mut self.0, tenant, due, since, page)).await
    }
    async fn count_silenced(&mut self, tenant: TenantId, since: Timestamp) -> Answered<u64> {
        E::aside(reaper::count_silenced(&mut self.0, tenant, since)).await
    }
    async fn pulses(
        &mut self,
        tenant: TenantId,
        from: Timestamp,
        until: Timestamp,
        length: SignedDuration,
    ) -> Answered<Vec<Pulse>> {
        E::aside(pulse::pulses(&mut self.0, tenant, (from, until), length)).await
    }
    async fn expiring(
        &mut self,
        tenant: TenantId,
        from: Timestamp,
        until: Timestamp,
    ) -> Answered<Vec<Expiry>> {
        E::aside(pulse::expiring(&mut self.0, tenant, from, until)).await
    }
    async fn versions(&mut self, tenant: TenantId, limit: u32) -> Answered<Vec<VersionUse>> {
        E::aside(pulse::versions(&mut self.0, tenant, limit)).await
    }
    async fn audit(&mut self, tenant: TenantId, filter: &AuditFilter) -> Answered<Vec<AuditRecord>> {
        E::aside(audit::page(&mut self.0, tenant, filter)).await
    }
}
