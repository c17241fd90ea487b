//! What a decision reads, read under the locks of its owners: nobody changes it until the decision is committed.
//!
//! A lock is taken before its rows are read. Where only the reading tells the owner (a key names its machine), the row is
//! read, its owner locked, and the row read again. What is never changed (sites, tenants) needs no lock. What a
//! unique index guards (codes, secrets) has none either: who loses that race decides again.
//!
//! How full a site is is read without a lock, far from its limits; a plan that fills it near them decides again under one.
//! Many draw on an unlimited grant at once: they share its lock, and a plan that ends it decides again with the lock alone.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::IpAddr;

use futures_util::future::try_join;
use muster_lifecycle::fork::Boots;
use muster_lifecycle::lockout::Failures;
use muster_lifecycle::nonce::UsedNonces;
use muster_lifecycle::operator::Live;
use muster_lifecycle::reap::Stop;
use muster_lifecycle::{Change, GrantChange, HoldChange, MachineChange, Plan, Remembered};
use muster_model::{
    AccessToken, AccessTokenId, Account, AccountId, AccountName, AuditId, Ca, Credential, CredentialId,
    Deployment, EngagementVersion, EntryPlace, Grant, GrantId, GrantKind, HardwareId, Hold, HoldId,
    KeyFingerprint, KeyRecord, Machine, MachineId, Nick, Object, Operator, OperatorId, Presence,
    ProvisionerName, Replica, SecretId, Site, SiteCode, SiteId, SiteUse, SoftwareAgent, Tenant, TenantId,
    Timestamp, Uses, Verifier,
};
use muster_store::{Behind, Reads, StoreError, Unscoped};
use muster_store_sql::View;

use crate::batch::{Batch, Locked};
use crate::failure::unavailable;
use crate::locks::{Number, Owner, Strength};
use crate::session::Session;

/// So many machines or holds may be on their way into a site while another decision counts: as many as five hundred
/// lanes, more than a server takes connections, have at work.
const NEAR: u64 = 16_000;

/// Why a decision is put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deferral {
    /// Another decision of the same transaction has what it needs, or it needs it alone.
    Within,
    /// Another transaction has what it needs.
    Elsewhere,
}

/// The reads of one decision.
pub(crate) struct Guarded<'b> {
    view: View<Session<'b>>,
    locks: Locks<'b>,
    sites: HashMap<SiteId, Site>,
    /// Sites that were counted without a lock, near a limit: of seats, of holds.
    near: HashMap<(TenantId, SiteId), [bool; 2]>,
}

struct Locks<'b> {
    batch: &'b Batch<'b>,
    who: usize,
    /// What is to be taken alone from the start, because the decision turned out to need it so.
    alone: &'b BTreeSet<Number>,
    deferred: Option<Deferral>,
}

type Answered<T> = Result<T, StoreError>;

impl<'b> Guarded<'b> {
    pub(crate) fn new(batch: &'b Batch<'b>, who: usize, alone: &'b BTreeSet<Number>) -> Self {
        let locks = Locks { batch, who, alone, deferred: None };
        let view = View::new(Session::new(batch, who));
        Self { view, locks, sites: HashMap::new(), near: HashMap::new() }
    }

    /// Whether a lock was not to be had.
    pub(crate) fn deferred(&self) -> Option<Deferral> {
        self.locks.deferred
    }

    /// The locks without which this plan may not be carried out, and which the decision did not have alone.
    pub(crate) fn missing<O>(&self, plan: &Plan<O>) -> Vec<Number> {
        let tenant = plan.entries().first().map(|entry| entry.tenant);
        let Some(tenant) = tenant else { return Vec::new() };
        let wanted = plan.changes().iter().filter_map(|change| self.owner(tenant, change));
        let wanted = wanted.map(|owner| owner.number(tenant));
        wanted.filter(|number| !self.locks.has(*number, Strength::Exclusive)).collect()
    }

    fn owner(&self, tenant: TenantId, change: &Change) -> Option<Owner<'static>> {
        let near = |site: SiteId, which: usize| {
            let near = self.near.get(&(tenant, site)).is_some_and(|near| near[which]);
            near.then_some(Owner::Site(site))
        };
        match change {
            Change::Grant(GrantChange::End { grant, .. } | GrantChange::Prove { grant, .. }) => self
                .locks
                .has(Owner::Grant(*grant).number(tenant), Strength::Shared)
                .then_some(Owner::Grant(*grant)),
            Change::Machine(MachineChange::Create(machine) | MachineChange::Update(machine)) => {
                near(machine.site, 0)
            }
            Change::Hold(HoldChange::Open(hold)) => near(hold.site, 1),
            _ => None,
        }
    }
}

impl Locks<'_> {
    fn has(&self, number: Number, strength: Strength) -> bool {
        self.batch.has(self.who, number, strength)
    }

    async fn take(&mut self, number: Number, strength: Strength) -> Answered<()> {
        let strength = if self.alone.contains(&number) { Strength::Exclusive } else { strength };
        let deferral = match self.batch.lock(self.who, number, strength).await? {
            Locked::Yes => return Ok(()),
            Locked::Within => Deferral::Within,
            Locked::Elsewhere => Deferral::Elsewhere,
        };
        self.deferred = Some(deferral);
        Err(unavailable("take a lock", "it is put off"))
    }
}

/// Takes a lock and reads under it. Both are sent together where that keeps their order.
async fn under<T>(
    locks: &mut Locks<'_>,
    number: Number,
    strength: Strength,
    read: impl Future<Output = Answered<T>>,
) -> Answered<T> {
    if locks.batch.shared {
        return try_join(locks.take(number, strength), read).await.map(|((), read)| read);
    }
    locks.take(number, strength).await?;
    read.await
}

/// Reads under the lock of an owner, alone.
macro_rules! under {
    ($self:ident, $tenant:expr, $owner:expr, $($read:tt)+) => {{
        let number = $owner.number($tenant);
        under(&mut $self.locks, number, Strength::Exclusive, $self.view.$($read)+).await
    }};
}

/// Reads a row whose owner it tells itself: read, lock, read again, until the owner that it tells is the one whose lock is
/// held: an account may have gone to another machine in between. Where the lock was there before, once is enough.
macro_rules! owned {
    ($self:ident, $tenant:expr, $owner:expr, $($read:tt)+) => {{
        let mut found = $self.view.$($read)+.await?;
        loop {
            let Some(number) = found.as_ref().map($owner).map(|owner| owner.number($tenant)) else {
                break Ok(None);
            };
            if $self.locks.has(number, Strength::Exclusive) {
                break Ok(found);
            }
            found = under(&mut $self.locks, number, Strength::Exclusive, $self.view.$($read)+).await?;
        }
    }};
}

mod unscoped;

impl Guarded<'_> {
    /// The machine that a row names is its owner.
    async fn lock_machine(&mut self, tenant: TenantId, machine: MachineId) -> Answered<bool> {
        let number = Owner::Machine(machine).number(tenant);
        if self.locks.has(number, Strength::Exclusive) {
            return Ok(true);
        }
        self.locks.take(number, Strength::Exclusive).await?;
        Ok(false)
    }
}

impl Reads for Guarded<'_> {
    async fn site(&mut self, tenant: TenantId, id: SiteId) -> Answered<Option<Site>> {
        let site = self.view.site(tenant, id).await?;
        self.sites.extend(site.iter().map(|site| (site.id, site.clone())));
        Ok(site)
    }

    async fn site_by_code(&mut self, tenant: TenantId, code: &SiteCode) -> Answered<Option<Site>> {
        // A code that has a site keeps it.
        match self.view.site_by_code(tenant, code).await? {
            Some(site) => {
                self.sites.insert(site.id, site.clone());
                Ok(Some(site))
            }
            None => under!(self, tenant, Owner::SiteCode(code), site_by_code(tenant, code)),
        }
    }

    async fn only_site(&mut self, tenant: TenantId) -> Answered<Option<Site>> {
        let site = self.view.only_site(tenant).await?;
        self.sites.extend(site.iter().map(|site| (site.id, site.clone())));
        Ok(site)
    }

    async fn site_use(&mut self, tenant: TenantId, id: SiteId, now: Timestamp) -> Answered<SiteUse> {
        let number = Owner::Site(id).number(tenant);
        if self.locks.alone.contains(&number) {
            return under!(self, tenant, Owner::Site(id), site_use(tenant, id, now));
        }
        let used = self.view.site_use(tenant, id, now).await?;
        if !self.sites.contains_key(&id) {
            self.site(tenant, id).await?;
        }
        if let Some(site) = self.sites.get(&id) {
            let seats = site.seats.is_some_and(|seats| used.machines + NEAR >= u64::from(seats));
            let holds = used.open_holds + NEAR >= u64::from(site.hold_cap);
            self.near.insert((tenant, id), [seats, holds]);
        }
        Ok(used)
    }

    async fn site_key(&mut self, tenant: TenantId, site: SiteId) -> Answered<Option<Grant>> {
        let newest = under!(self, tenant, Owner::SiteKey(site), site_key(tenant, site))?;
        match newest {
            // Whoever reads the newest generation is about to end it.
            Some(grant) => {
                let number = Owner::Grant(grant.id).number(tenant);
                under(&mut self.locks, number, Strength::Exclusive, self.view.site_key(tenant, site)).await
            }
            None => Ok(None),
        }
    }

    async fn grant(&mut self, tenant: TenantId, id: GrantId) -> Answered<Option<Grant>> {
        let Some(grant) = self.view.grant(tenant, id).await? else { return Ok(None) };
        let held = match grant.kind {
            GrantKind::Machine(machine) => self.lock_machine(tenant, machine).await?,
            GrantKind::Token | GrantKind::SiteKey { .. } => true,
        };
        let number = Owner::Grant(id).number(tenant);
        // How its uses are counted never changes.
        let strength = if grant.uses == Uses::Unlimited { Strength::Shared } else { Strength::Exclusive };
        if held && self.locks.has(number, strength) {
            return Ok(Some(grant));
        }
        under(&mut self.locks, number, strength, self.view.grant(tenant, id)).await
    }

    async fn grants_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Grant>> {
        under!(self, tenant, Owner::Machine(machine), grants_of_machine(tenant, machine))
    }

    async fn machine(&mut self, tenant: TenantId, id: MachineId) -> Answered<Option<Machine>> {
        under!(self, tenant, Owner::Machine(id), machine(tenant, id))
    }

    async fn machine_by_hardware(&mut self, tenant: TenantId, id: &HardwareId) -> Answered<Option<Machine>> {
        let machine = under!(self, tenant, Owner::Hardware(id), machine_by_hardware(tenant, id))?;
        let Some(machine) = machine else { return Ok(None) };
        if self.lock_machine(tenant, machine.id).await? {
            return Ok(Some(machine));
        }
        self.view.machine_by_hardware(tenant, id).await
    }

    async fn key(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Option<KeyRecord>> {
        let record = under!(self, tenant, Owner::Key(key), key(tenant, key))?;
        let Some(record) = record else { return Ok(None) };
        let number = Owner::Machine(record.machine).number(tenant);
        if self.locks.has(number, Strength::Exclusive) {
            return Ok(Some(record));
        }
        under(&mut self.locks, number, Strength::Exclusive, self.view.key(tenant, key)).await
    }

    async fn keys_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<KeyRecord>> {
        under!(self, tenant, Owner::Machine(machine), keys_of_machine(tenant, machine))
    }

    async fn presence(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Presence> {
        // A fact that nobody decides about.
        self.view.presence(tenant, machine).await
    }

    /// Who asks what a caller or a machine has to do with holds must not miss what becomes of this one.
    async fn hold(&mut self, tenant: TenantId, id: HoldId) -> Answered<Option<Hold>> {
        let Some(hold) = self.view.hold(tenant, id).await? else { return Ok(None) };
        let owners = [
            hold.claimant.key.as_ref().map(|key| Owner::Key(key.fingerprint())),
            hold.claimant.hardware_id.as_ref().map(Owner::Hardware).filter(|_| hold.claimant.key.is_none()),
            hold.claimant.verifier.as_ref().map(Owner::Verifier),
            hold.existing.map(Owner::Machine),
        ];
        let numbers = owners.into_iter().flatten().map(|owner| owner.number(tenant));
        let missing: Vec<Number> =
            numbers.filter(|number| !self.locks.has(*number, Strength::Exclusive)).collect();
        let of_nobody = hold.claimant.key.is_none()
            && hold.claimant.verifier.is_none()
            && hold.claimant.hardware_id.is_none()
            && hold.existing.is_none();
        let last = match missing.split_last() {
            Some((last, before)) => {
                for number in before {
                    self.locks.take(*number, Strength::Exclusive).await?;
                }
                *last
            }
            None if of_nobody => Owner::Hold(id).number(tenant),
            None => return Ok(Some(hold)),
        };
        under(&mut self.locks, last, Strength::Exclusive, self.view.hold(tenant, id)).await
    }

    /// Not under a lock: two that ask at once may both find the last place, and one place more is no harm.
    async fn holds_from(
        &mut self,
        tenant: TenantId,
        site: SiteId,
        network: IpAddr,
        now: Timestamp,
    ) -> Answered<u64> {
        self.view.holds_from(tenant, site, network, now).await
    }

    async fn holds_by_key(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Vec<Hold>> {
        under!(self, tenant, Owner::Key(key), holds_by_key(tenant, key))
    }

    async fn holds_by_hardware(&mut self, tenant: TenantId, id: &HardwareId) -> Answered<Vec<Hold>> {
        under!(self, tenant, Owner::Hardware(id), holds_by_hardware(tenant, id))
    }

    async fn holds_by_verifier(&mut self, tenant: TenantId, verifier: &Verifier) -> Answered<Vec<Hold>> {
        under!(self, tenant, Owner::Verifier(verifier), holds_by_verifier(tenant, verifier))
    }

    async fn hold_in_name(&mut self, tenant: TenantId, id: &HardwareId) -> Answered<Option<Hold>> {
        under!(self, tenant, Owner::Hardware(id), hold_in_name(tenant, id))
    }

    async fn holds_about(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Hold>> {
        under!(self, tenant, Owner::Machine(machine), holds_about(tenant, machine))
    }

    async fn credential(&mut self, tenant: TenantId, id: CredentialId) -> Answered<Option<Credential>> {
        let owner = |credential: &Credential| Owner::Machine(credential.machine);
        owned!(self, tenant, owner, credential(tenant, id))
    }

    async fn open_credentials(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Credential>> {
        under!(self, tenant, Owner::Machine(machine), open_credentials(tenant, machine))
    }

    async fn software_agent(
        &mut self,
        tenant: TenantId,
        machine: MachineId,
    ) -> Answered<Option<SoftwareAgent>> {
        under!(self, tenant, Owner::Machine(machine), software_agent(tenant, machine))
    }

    async fn agent_by_nick(&mut self, tenant: TenantId, nick: &Nick) -> Answered<Option<SoftwareAgent>> {
        let agent = under!(self, tenant, Owner::Nick(nick), agent_by_nick(tenant, nick))?;
        let Some(agent) = agent else { return Ok(None) };
        if self.lock_machine(tenant, agent.machine).await? {
            return Ok(Some(agent));
        }
        self.view.agent_by_nick(tenant, nick).await
    }

    async fn engagement(
        &mut self,
        tenant: TenantId,
        machine: MachineId,
        version: u32,
    ) -> Answered<Option<EngagementVersion>> {
        // What was written is never changed.
        self.view.engagement(tenant, machine, version).await
    }

    async fn operator(&mut self, tenant: TenantId, id: OperatorId) -> Answered<Option<Operator>> {
        under!(self, tenant, Owner::Operators, operator(tenant, id))
    }

    async fn live_access_of(
        &mut self,
        tenant: TenantId,
        operator: OperatorId,
        now: Timestamp,
    ) -> Answered<Live> {
        // Nobody is given another one while it is held who the operators are.
        under!(self, tenant, Owner::Operators, live_access_of(tenant, operator, now))
    }

    async fn acting_by(
        &mut self,
        tenant: TenantId,
        id: AccessTokenId,
    ) -> Answered<Option<(AccessToken, Operator)>> {
        self.locks.take(Owner::Operators.number(tenant), Strength::Shared).await?;
        let number = Owner::Access(id).number(tenant);
        under(&mut self.locks, number, Strength::Shared, self.view.acting_by(tenant, id)).await
    }

    async fn access_token(&mut self, tenant: TenantId, id: AccessTokenId) -> Answered<Option<AccessToken>> {
        under!(self, tenant, Owner::Access(id), access_token(tenant, id))
    }

    async fn account(&mut self, tenant: TenantId, id: AccountId) -> Answered<Option<Account>> {
        let owner = |account: &Account| Owner::Machine(account.machine);
        owned!(self, tenant, owner, account(tenant, id))
    }

    async fn accounts_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> Answered<Vec<Account>> {
        under!(self, tenant, Owner::Machine(machine), accounts_of_machine(tenant, machine))
    }

    async fn account_named(
        &mut self,
        tenant: TenantId,
        provisioner: &ProvisionerName,
        name: &AccountName,
    ) -> Answered<Option<Account>> {
        let owner = |account: &Account| Owner::Machine(account.machine);
        owned!(self, tenant, owner, account_named(tenant, provisioner, name))
    }

    async fn remembered(&mut self, tenant: TenantId, key: &[u8; 32]) -> Answered<Option<Remembered>> {
        under!(self, tenant, Owner::Request(key), remembered(tenant, key))
    }

    async fn used_nonces(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Option<UsedNonces>> {
        under!(self, tenant, Owner::Nonce(key), used_nonces(tenant, key))
    }

    async fn failures(&mut self, tenant: TenantId, key: &[u8; 32]) -> Answered<Option<Failures>> {
        under!(self, tenant, Owner::Failures(key), failures(tenant, key))
    }

    async fn boots(&mut self, tenant: TenantId, key: KeyFingerprint) -> Answered<Option<Boots>> {
        under!(self, tenant, Owner::Boots(key), boots(tenant, key))
    }

    async fn reaper_stop(&mut self, tenant: TenantId) -> Answered<Option<Stop>> {
        // Whoever changes it has the one lease for that.
        self.view.reaper_stop(tenant).await
    }
}
