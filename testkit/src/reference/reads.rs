//! The queries of decisions: each a filter over a map.

use std::net::IpAddr;

use muster_lifecycle::Remembered;
use muster_lifecycle::fork::Boots;
use muster_lifecycle::lockout::Failures;
use muster_lifecycle::nonce::UsedNonces;
use muster_lifecycle::operator::Live;
use muster_lifecycle::reap::Stop;
use muster_model::{
    AccessToken, AccessTokenId, Account, AccountId, AccountName, AuditId, Ca, Credential, CredentialId,
    CredentialKind, CredentialState, Delivery, Deployment, EngagementVersion, EntryPlace, Grant, GrantId,
    GrantKind, HardwareId, Hold, HoldId, HoldState, KeyFingerprint, KeyRecord, KeyStanding, Machine,
    MachineId, MachineState, Nick, Object, Operator, OperatorId, Presence, ProvisionerName, PublicKey,
    Replica, SecretId, Site, SiteCode, SiteId, SiteUse, SoftwareAgent, SuspendCause, Tenant, TenantId,
    Timestamp, Verifier, Wanted,
};
use muster_store::{Behind, Reads, StoreError, Unscoped};

use super::Moment;
use super::cut::Cut;
use super::tables::of;

type Answered<T> = Result<T, StoreError>;

/// So many holds are read of one caller or about one machine.
const HOLDS: usize = 16;

impl Moment {
    /// Machines of every tenant that have a key that works.
    pub(super) fn keyed(&self) -> impl Iterator<Item = &Machine> {
        let works = |machine: &&Machine| match &machine.state {
            MachineState::Active(_) => true,
            MachineState::Suspended(suspended) => !matches!(suspended.cause, SuspendCause::Revoked(_)),
            MachineState::Pending(_) | MachineState::Retired(_) => false,
        };
        self.tables.machines.values().filter(works).filter(|machine| machine.key.is_some())
    }

    pub(super) fn bundle_of(&self, machine: &Machine) -> u64 {
        self.tables.bundles.get(&(machine.tenant, machine.id)).copied().unwrap_or(0)
    }

    pub(super) fn is_behind(&self, machine: &Machine, behind: Behind) -> bool {
        let its = || {
            let issued = |credential: &&Credential| {
                credential.machine == machine.id
                    && matches!(credential.kind, CredentialKind::Certificate { .. })
                    && matches!(credential.state, CredentialState::Issued(_))
            };
            of(&self.tables.credentials, machine.tenant).filter(issued)
        };
        let is_outdated = |since: Timestamp| {
            its().any(|credential| behind.now.cut() < credential.not_after)
                && its().all(|credential| credential.id.drawn_at() < since.cut())
        };
        self.bundle_of(machine) < behind.bundle || behind.certified_since.is_some_and(is_outdated)
    }

    /// The newest first.
    fn holds_that(&self, tenant: TenantId, fits: impl Fn(&Hold) -> bool) -> Vec<Hold> {
        of(&self.tables.holds, tenant).rev().filter(|hold| fits(hold)).take(HOLDS).cloned().collect()
    }

    /// The newest first, of those that were decided before those that were not.
    fn decided_holds_that(&self, tenant: TenantId, fits: impl Fn(&Hold) -> bool) -> Vec<Hold> {
        let is_undecided = |hold: &&Hold| matches!(hold.state, HoldState::Open);
        let mut holds: Vec<&Hold> = of(&self.tables.holds, tenant).rev().filter(|hold| fits(hold)).collect();
        holds.sort_by_key(is_undecided);
        holds.truncate(HOLDS);
        holds.sort_by_key(|hold| std::cmp::Reverse(hold.id));
        holds.into_iter().cloned().collect()
    }
}

impl Reads for Moment {
    async fn site(&mut self, tenant: TenantId, id: SiteId) -> Answered<Option<Site>> {
        Ok(self.tables.sites.get(&(tenant, id)).cloned())
    }

    async fn site_by_code(&mut self, tenant: TenantId, code: &SiteCode) -> Answered<Option<Site>> {
        Ok(of(&self.tables.sites, tenant).find(|site| site.code == *code).cloned())
    }

    async fn only_site(&mut self, tenant: TenantId) -> Answered<Option<Site>> {
        let sites: Vec<&Site> = of(&self.tables.sites, tenant).collect();
        Ok(if let [only] = *sites { Some(only.clone()) } else { None })
    }

    async fn site_use(&mut self, tenant: TenantId, id: SiteId, now: Timestamp) -> Answered<SiteUse> {
        let is_live = |machine: &&Machine| !matches!(machine.state, MachineState::Retired(_));
        let machines = of(&self.tables.machines, tenant).filter(|machine| machine.site == id).filter(is_live);
        let holds = of(&self.tables.holds, tenant).filter(|hold| hold.site == id && hold.is_open(now.cut()));
        Ok(SiteUse { machines: machines.count() as u64, open_holds: holds.count() as u64, from_network: 0 })
    }

    async fn site_key(&mut self, tenant: TenantId, site: SiteId) -> Answered<Option<Grant>> {
        let version = |grant: &&Grant| match grant.kind {
            GrantKind::SiteKey { version, .. } => Some(version),
            GrantKind::Token | GrantKind::Machine(_) => None,
        };
        let of_site = of(&self.tables.grants, tenant).filter(|grant| grant.site == site);
        Ok(of_site.filter(|grant| version(grant).is_some()).max_by_key(version).cloned())
    }

    async fn grant(&mut self, tenant: TenantId, id: GrantId) -> Answered<Option<Grant>> {
        Ok(self.tables.grants.get(&(tenant, id)).cloned())
    }

    async fn grants_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Grant>> {
        let of_machine = |grant: &&Grant| grant.kind == GrantKind::Machine(machine);
        Ok(of(&self.tables.grants, tenant).filter(of_machine).cloned().collect())
    }

    async fn machine(&mut self, tenant: TenantId, id: MachineId) -> Answered<Option<Machine>> {
        Ok(self.tables.machines.get(&(tenant, id)).cloned())
    }

    async fn machine_by_hardware(&mut self, tenant: TenantId, id: &HardwareId) -> Answered<Option<Machine>> {
        let came = self.tables.came.iter().filter(|(owner, _)| *owner == tenant);
        let machines = came.filter_map(|key| self.tables.machines.get(key));
        let same: Vec<&Machine> =
            machines.filter(|machine| machine.hardware_id.as_ref() == Some(id)).collect();
        let live = same.iter().find(|machine| !matches!(machine.state, MachineState::Retired(_)));
        // Of two that were retired at the same time, the one that came last.
        let last = || same.iter().max_by_key(|machine| machine.state.since());
        Ok(live.or_else(last).map(|machine| Machine::clone(machine)))
    }

    async fn key(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Option<KeyRecord>> {
        Ok(self.tables.keys.get(&(tenant, key)).cloned())
    }

    async fn keys_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<KeyRecord>> {
        let its = || of(&self.tables.keys, tenant).filter(move |record| record.machine == machine);
        let newest_first = |record: &&KeyRecord| std::cmp::Reverse(record.generation);
        let mut counting: Vec<&KeyRecord> = its().filter(|record| record.standing.counts()).collect();
        counting.sort_by_key(newest_first);
        let mut revoked: Vec<&KeyRecord> =
            its().filter(|record| record.standing == KeyStanding::Revoked).collect();
        revoked.sort_by_key(newest_first);
        Ok(counting.into_iter().chain(revoked).cloned().collect())
    }

    async fn presence(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Presence> {
        Ok(self.tables.presence.get(&(tenant, machine)).copied().unwrap_or_default())
    }

    async fn hold(&mut self, tenant: TenantId, id: HoldId) -> Answered<Option<Hold>> {
        Ok(self.tables.holds.get(&(tenant, id)).cloned())
    }

    async fn holds_from(
        &mut self,
        tenant: TenantId,
        site: SiteId,
        network: IpAddr,
        now: Timestamp,
    ) -> Answered<u64> {
        let here = of(&self.tables.holds, tenant)
            .filter(|hold| hold.site == site && hold.grant.is_none() && hold.is_open(now.cut()))
            .filter(|hold| hold.claimant.source.map(muster_model::network) == Some(network));
        Ok(here.count() as u64)
    }

    async fn holds_by_key(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Vec<Hold>> {
        Ok(self
            .holds_that(tenant, |hold| hold.claimant.key.as_ref().map(PublicKey::fingerprint) == Some(key)))
    }

    async fn holds_by_hardware(&mut self, tenant: TenantId, id: &HardwareId) -> Answered<Vec<Hold>> {
        Ok(self.decided_holds_that(tenant, |hold| {
            let claimant = &hold.claimant;
            claimant.key.is_none() && claimant.verifier.is_none() && claimant.hardware_id.as_ref() == Some(id)
        }))
    }

    async fn holds_by_verifier(&mut self, tenant: TenantId, verifier: &Verifier) -> Answered<Vec<Hold>> {
        Ok(self.holds_that(tenant, |hold| hold.claimant.verifier.as_ref() == Some(verifier)))
    }

    async fn hold_in_name(&mut self, tenant: TenantId, id: &HardwareId) -> Answered<Option<Hold>> {
        let newest = self.holds_that(tenant, |hold| {
            let claimant = &hold.claimant;
            claimant.key.is_none() && claimant.verifier.is_some() && claimant.hardware_id.as_ref() == Some(id)
        });
        Ok(newest.into_iter().next())
    }

    async fn holds_about(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Hold>> {
        Ok(self.decided_holds_that(tenant, |hold| hold.existing == Some(machine)))
    }

    async fn credential(&mut self, tenant: TenantId, id: CredentialId) -> Answered<Option<Credential>> {
        Ok(self.tables.credentials.get(&(tenant, id)).cloned())
    }

    async fn open_credentials(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Credential>> {
        let open = |credential: &&Credential| credential.machine == machine && credential.is_open();
        Ok(of(&self.tables.credentials, tenant).rev().filter(open).cloned().collect())
    }

    async fn software_agent(
        &mut self,
        tenant: TenantId,
        machine: MachineId,
    ) -> Answered<Option<SoftwareAgent>> {
        Ok(self.tables.agents.get(&(tenant, machine)).cloned())
    }

    async fn agent_by_nick(&mut self, tenant: TenantId, nick: &Nick) -> Answered<Option<SoftwareAgent>> {
        let mut holders = of(&self.tables.agents, tenant).filter(|agent| agent.freed_at.is_none());
        Ok(holders.find(|agent| agent.nick == *nick).cloned())
    }

    async fn engagement(
        &mut self,
        tenant: TenantId,
        machine: MachineId,
        version: u32,
    ) -> Answered<Option<EngagementVersion>> {
        Ok(self.tables.engagements.get(&(tenant, (machine, version))).cloned())
    }

    async fn operator(&mut self, tenant: TenantId, id: OperatorId) -> Answered<Option<Operator>> {
        Ok(self.tables.operators.get(&(tenant, id)).cloned())
    }

    async fn live_access_of(
        &mut self,
        tenant: TenantId,
        operator: OperatorId,
        now: Timestamp,
    ) -> Answered<Live> {
        let is_live = |token: &&AccessToken| token.operator == operator && token.is_live(now);
        let mut live = Live::default();
        of(&self.tables.tokens, tenant).filter(is_live).for_each(|token| *live.of(token.kind) += 1);
        Ok(live)
    }

    async fn acting_by(
        &mut self,
        tenant: TenantId,
        id: AccessTokenId,
    ) -> Answered<Option<(AccessToken, Operator)>> {
        let Some(token) = self.tables.tokens.get(&(tenant, id)).cloned() else { return Ok(None) };
        let operator = self.tables.operators.get(&(tenant, token.operator)).cloned();
        Ok(operator.map(|operator| (token, operator)))
    }

    async fn access_token(&mut self, tenant: TenantId, id: AccessTokenId) -> Answered<Option<AccessToken>> {
        Ok(self.tables.tokens.get(&(tenant, id)).cloned())
    }

    async fn account(&mut self, tenant: TenantId, id: AccountId) -> Answered<Option<Account>> {
        Ok(self.tables.accounts.get(&(tenant, id)).cloned())
    }

    async fn accounts_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Account>> {
        let stays = |account: &&Account| account.machine == machine && account.wanted != Wanted::Removed;
        Ok(of(&self.tables.accounts, tenant).filter(stays).take(64).cloned().collect())
    }

    async fn account_named(
        &mut self,
        tenant: TenantId,
        provisioner: &ProvisionerName,
        name: &AccountName,
    ) -> Answered<Option<Account>> {
        let same = |account: &&Account| {
            account.provisioner == *provisioner
                && account.name.folded() == name.folded()
                && account.wanted != Wanted::Removed
        };
        Ok(of(&self.tables.accounts, tenant).find(same).cloned())
    }

    async fn remembered(&mut self, tenant: TenantId, key: &[u8; 32]) -> Answered<Option<Remembered>> {
        Ok(self.tables.remembered.get(&(tenant, *key)).cloned())
    }

    async fn used_nonces(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Option<UsedNonces>> {
        Ok(self.tables.nonces.get(&(tenant, key)).cloned())
    }

    async fn failures(&mut self, tenant: TenantId, key: &[u8; 32]) -> Answered<Option<Failures>> {
        Ok(self.tables.failures.get(&(tenant, *key)).copied())
    }

    async fn boots(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Option<Boots>> {
        Ok(self.tables.boots.get(&(tenant, key)).cloned())
    }

    async fn reaper_stop(&mut self, tenant: TenantId) -> Answered<Option<Stop>> {
        Ok(self.tables.stops.get(&tenant).copied())
    }
}

impl Unscoped for Moment {
    async fn tenants(&mut self) -> Answered<Vec<Tenant>> {
        Ok(self.tables.tenants.values().take(1000).cloned().collect())
    }

    async fn operators(&mut self, tenant: TenantId) -> Answered<Vec<Operator>> {
        Ok(of(&self.tables.operators, tenant).take(1000).cloned().collect())
    }

    async fn grant_by_secret(&mut self, secret: SecretId) -> Answered<Option<Grant>> {
        Ok(self.tables.grants.values().find(|grant| grant.secret == secret).cloned())
    }

    async fn access_by_secret(&mut self, secret: SecretId) -> Answered<Option<AccessToken>> {
        Ok(self.tables.tokens.values().find(|token| token.secret == secret).cloned())
    }

    async fn credential_by_secret(&mut self, secret: SecretId) -> Answered<Option<Credential>> {
        let has = |credential: &&Credential| credential.kind.secret() == Some(secret);
        Ok(self.tables.credentials.values().find(has).cloned())
    }

    async fn keys(&mut self, key: KeyFingerprint) -> Answered<Vec<(TenantId, KeyRecord)>> {
        let same = self.tables.keys.iter().filter(|((_, other), _)| *other == key);
        Ok(same.map(|((tenant, _), record)| (*tenant, record.clone())).take(1000).collect())
    }

    async fn due_accounts(&mut self, now: Timestamp, limit: u32) -> Answered<Vec<Account>> {
        let since = |account: &Account| match account.delivery {
            Delivery::Due { at, .. } => Some(at),
            Delivery::Done { .. } | Delivery::Conflict { .. } | Delivery::Dead { .. } => None,
        };
        let accounts = self.tables.accounts.values();
        let mut due: Vec<Account> = accounts.filter(|account| account.is_due(now.cut())).cloned().collect();
        due.sort_by_key(|account| (since(account), account.id));
        due.truncate(limit as usize);
        Ok(due)
    }

    async fn hold_anywhere(&mut self, id: HoldId) -> Answered<Option<Hold>> {
        Ok(self.tables.holds.values().find(|hold| hold.id == id).cloned())
    }

    async fn deployment(&mut self) -> Answered<Option<Deployment>> {
        Ok(self.tables.deployment.clone())
    }

    async fn ca(&mut self) -> Answered<Option<Ca>> {
        Ok(self.tables.ca.clone())
    }

    async fn bundle_holders(&mut self) -> Answered<Vec<(u64, u64)>> {
        let mut holders = std::collections::BTreeMap::new();
        for machine in self.keyed() {
            *holders.entry(self.bundle_of(machine)).or_default() += 1;
        }
        Ok(holders.into_iter().collect())
    }

    async fn behind(&mut self, behind: Behind) -> Answered<u64> {
        Ok(self.keyed().filter(|machine| self.is_behind(machine, behind)).count() as u64)
    }

    async fn not_rotated_since(&mut self, at: Timestamp) -> Answered<u64> {
        let is_older = |machine: &&Machine| machine.keyed_at().is_none_or(|since| since < at.cut());
        Ok(self.keyed().filter(is_older).count() as u64)
    }

    async fn newest_entry(&mut self) -> Answered<Option<EntryPlace>> {
        Ok(self.tables.audit.last().map(|told| told.place))
    }

    async fn has_entry(&mut self, place: EntryPlace) -> Answered<bool> {
        Ok(self.tables.audit.iter().any(|told| told.place == place))
    }

    async fn has_entry_about(&mut self, tenant: TenantId, object: Object, id: AuditId) -> Answered<bool> {
        let object = object.to_string();
        let entries = &self.tables.audit;
        Ok(entries
            .iter()
            .any(|told| (told.tenant, told.place.id) == (tenant, id) && told.record.object == object))
    }

    async fn replicas(&mut self) -> Answered<Vec<Replica>> {
        // It belongs to one process, which knows itself.
        Ok(Vec::new())
    }
}
