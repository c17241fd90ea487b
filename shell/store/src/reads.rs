//! The typed queries. One row, or a few, each; a list is asked for in pages.

use std::future::Future;
use std::net::IpAddr;

use muster_lifecycle::Remembered;
use muster_lifecycle::fork::Boots;
use muster_lifecycle::lockout::Failures;
use muster_lifecycle::nonce::UsedNonces;
use muster_lifecycle::operator::Live;
use muster_lifecycle::reap::{Due, Stop, Traces, Watched};
use muster_model::{
    AccessToken, AccessTokenId, Account, AccountId, AccountName, AuditId, Ca, Credential, CredentialId,
    Deployment, EngagementVersion, EntryPlace, Expiry, Grant, GrantId, HardwareId, Hold, HoldId,
    KeyFingerprint, KeyRecord, Machine, MachineId, MachineName, Nick, Object, Operator, OperatorId, Presence,
    ProvisionerName, Pulse, Replica, SecretId, SignedDuration, Site, SiteCode, SiteId, SiteUse,
    SoftwareAgent, Tenant, TenantId, Timestamp, Verifier, VersionUse,
};

use crate::StoreError;
use crate::page::{AccountFilter, AuditFilter, AuditRecord, Listed, MachineFilter, PageRequest};

/// A machine as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineRow {
    /// The machine.
    pub machine: Machine,
    /// The code of its site.
    pub site: SiteCode,
    /// Its presence row.
    pub presence: Presence,
    /// The end of its newest credential that is issued and not ended.
    pub credential_expires: Option<Timestamp>,
    /// The newest open hold of somebody else who claims to be it, and when that hold ends by itself.
    pub contested_by: Option<(HoldId, Timestamp)>,
}

/// A machine that nobody heard of for a while, by the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietRow {
    /// The machine.
    pub machine: Machine,
    /// What is known of its being there.
    pub traces: Traces,
}

/// A software agent as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    /// The agent.
    pub agent: SoftwareAgent,
    /// Its engagement in force.
    pub version: EngagementVersion,
    /// Its machine.
    pub machine: Machine,
    /// When it was last heard of, as far as is written.
    pub last_seen: Option<Timestamp>,
}

/// Which machines are behind: those that did not say that they hold this bundle of roots; and, where certificates matter,
/// those whose certificates are all from before a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// The version of the bundle.
    pub bundle: u64,
    /// Since when certificates count; whatever they are, where nothing is said.
    pub certified_since: Option<Timestamp>,
    /// The time: what is over by then holds nobody back.
    pub now: Timestamp,
}

/// A machine that is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BehindMachine {
    /// Which.
    pub machine: MachineId,
    /// Its name.
    pub name: MachineName,
    /// The bundle that it said it holds; 0 where it said nothing.
    pub bundle: u64,
}

/// Shorthand for what every query gives.
pub trait Answer<T>: Future<Output = Result<T, StoreError>> + Send {}
impl<T, F: Future<Output = Result<T, StoreError>> + Send> Answer<T> for F {}

/// Queries within one tenant.
pub trait Reads: Send {
    /// A site.
    fn site(&mut self, tenant: TenantId, id: SiteId) -> impl Answer<Option<Site>>;
    /// A site by its code.
    fn site_by_code(&mut self, tenant: TenantId, code: &SiteCode) -> impl Answer<Option<Site>>;
    /// The only site of a tenant; `None` where there are several.
    fn only_site(&mut self, tenant: TenantId) -> impl Answer<Option<Site>>;
    /// How full a site is at this time.
    fn site_use(&mut self, tenant: TenantId, site: SiteId, now: Timestamp) -> impl Answer<SiteUse>;
    /// The newest generation of a site's enrollment key.
    fn site_key(&mut self, tenant: TenantId, site: SiteId) -> impl Answer<Option<Grant>>;
    /// A grant.
    fn grant(&mut self, tenant: TenantId, id: GrantId) -> impl Answer<Option<Grant>>;
    /// Grants for one pending machine.
    fn grants_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> impl Answer<Vec<Grant>>;
    /// A machine.
    fn machine(&mut self, tenant: TenantId, id: MachineId) -> impl Answer<Option<Machine>>;
    /// The machine of this hardware: the one that is not retired or else the one retired last; of two that were retired at
    /// the same time, the one that came last.
    fn machine_by_hardware(&mut self, tenant: TenantId, id: &HardwareId) -> impl Answer<Option<Machine>>;
    /// A key that some machine enrolled with.
    fn key(&mut self, tenant: TenantId, key: KeyFingerprint) -> impl Answer<Option<KeyRecord>>;
    /// Keys of a machine that are not superseded: those that count, then those that were revoked; each the newest first.
    fn keys_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> impl Answer<Vec<KeyRecord>>;
    /// The presence of a machine: online while a replica that is alive holds its channel.
    fn presence(&mut self, tenant: TenantId, machine: MachineId) -> impl Answer<Presence>;
    /// A hold.
    fn hold(&mut self, tenant: TenantId, id: HoldId) -> impl Answer<Option<Hold>>;
    /// How many open holds without a grant a site has from one network, as [`network`](muster_model::network) tells networks
    /// apart.
    fn holds_from(
        &mut self,
        tenant: TenantId,
        site: SiteId,
        network: IpAddr,
        now: Timestamp,
    ) -> impl Answer<u64>;
    /// Holds by the same key, the newest first, at most 16.
    fn holds_by_key(&mut self, tenant: TenantId, key: KeyFingerprint) -> impl Answer<Vec<Hold>>;
    /// Holds by callers of the same hardware who have neither a key nor a secret to show, the newest first, at most 16: what
    /// a person decided before what is undecided, for anybody may open many of those.
    fn holds_by_hardware(&mut self, tenant: TenantId, id: &HardwareId) -> impl Answer<Vec<Hold>>;
    /// Holds by the caller who can show this secret, the newest first, at most 16.
    fn holds_by_verifier(&mut self, tenant: TenantId, verifier: &Verifier) -> impl Answer<Vec<Hold>>;
    /// The newest hold of any caller of this hardware who has no key and a secret to show.
    fn hold_in_name(&mut self, tenant: TenantId, id: &HardwareId) -> impl Answer<Option<Hold>>;
    /// Holds of others about a machine, whatever became of them, the newest first, at most 16, as in
    /// [`holds_by_hardware`](Self::holds_by_hardware).
    fn holds_about(&mut self, tenant: TenantId, machine: MachineId) -> impl Answer<Vec<Hold>>;
    /// A credential.
    fn credential(&mut self, tenant: TenantId, id: CredentialId) -> impl Answer<Option<Credential>>;
    /// Credentials of a machine that are not ended, the newest first.
    fn open_credentials(&mut self, tenant: TenantId, machine: MachineId) -> impl Answer<Vec<Credential>>;
    /// The software agent that a machine is.
    fn software_agent(&mut self, tenant: TenantId, machine: MachineId) -> impl Answer<Option<SoftwareAgent>>;
    /// The software agent that holds a nick.
    fn agent_by_nick(&mut self, tenant: TenantId, nick: &Nick) -> impl Answer<Option<SoftwareAgent>>;
    /// A version of a software agent's engagement.
    fn engagement(
        &mut self,
        tenant: TenantId,
        machine: MachineId,
        version: u32,
    ) -> impl Answer<Option<EngagementVersion>>;
    /// An operator.
    fn operator(&mut self, tenant: TenantId, id: OperatorId) -> impl Answer<Option<Operator>>;
    /// How many tokens, sessions and login links an operator has that are good for something at this time. Nobody is given
    /// another one before what is decided is written.
    fn live_access_of(&mut self, tenant: TenantId, operator: OperatorId, now: Timestamp)
    -> impl Answer<Live>;
    /// What somebody has shown that now acts, and whose it is: neither ends before what is decided is written. Many may be at
    /// work by one.
    fn acting_by(
        &mut self,
        tenant: TenantId,
        id: AccessTokenId,
    ) -> impl Answer<Option<(AccessToken, Operator)>>;
    /// A token of an operator.
    fn access_token(&mut self, tenant: TenantId, id: AccessTokenId) -> impl Answer<Option<AccessToken>>;
    /// An account in another system.
    fn account(&mut self, tenant: TenantId, id: AccountId) -> impl Answer<Option<Account>>;
    /// The accounts of a machine that are not to be removed, the oldest first, at most 64.
    fn accounts_of_machine(&mut self, tenant: TenantId, machine: MachineId) -> impl Answer<Vec<Account>>;
    /// The account of a provisioner that has this name, or one that folds to the same, and is not to be removed.
    fn account_named(
        &mut self,
        tenant: TenantId,
        provisioner: &ProvisionerName,
        name: &AccountName,
    ) -> impl Answer<Option<Account>>;
    /// A management request that was carried out before.
    fn remembered(&mut self, tenant: TenantId, key: &[u8; 32]) -> impl Answer<Option<Remembered>>;
    /// The nonces that a key has used.
    fn used_nonces(&mut self, tenant: TenantId, key: KeyFingerprint) -> impl Answer<Option<UsedNonces>>;
    /// How often what is counted under a key failed.
    fn failures(&mut self, tenant: TenantId, key: &[u8; 32]) -> impl Answer<Option<Failures>>;
    /// The lives that a key was shown in.
    fn boots(&mut self, tenant: TenantId, key: KeyFingerprint) -> impl Answer<Option<Boots>>;
    /// Whether the reaper takes nobody of the tenant, and since when.
    fn reaper_stop(&mut self, tenant: TenantId) -> impl Answer<Option<Stop>>;
}

/// The few queries that find out which tenant is meant. Each is by a secret's id, a key or an unguessable identifier.
pub trait Unscoped: Send {
    /// Every tenant, at most 1000.
    fn tenants(&mut self) -> impl Answer<Vec<Tenant>>;
    /// The operators of a tenant, at most 1000.
    fn operators(&mut self, tenant: TenantId) -> impl Answer<Vec<Operator>>;
    /// The grant that a presented enrollment secret selects.
    fn grant_by_secret(&mut self, secret: SecretId) -> impl Answer<Option<Grant>>;
    /// The token, session or login link that a presented secret selects.
    fn access_by_secret(&mut self, secret: SecretId) -> impl Answer<Option<AccessToken>>;
    /// The bearer credential that a presented secret selects.
    fn credential_by_secret(&mut self, secret: SecretId) -> impl Answer<Option<Credential>>;
    /// The records of a key that a signed request names: one for each tenant that knows it.
    fn keys(&mut self, key: KeyFingerprint) -> impl Answer<Vec<(TenantId, KeyRecord)>>;
    /// Accounts of any tenant for which another system is to be asked now, those that wait longest first.
    fn due_accounts(&mut self, now: Timestamp, limit: u32) -> impl Answer<Vec<Account>>;
    /// The hold that a polling caller names.
    fn hold_anywhere(&mut self, id: HoldId) -> impl Answer<Option<Hold>>;
    /// Which deployment this is; `None` before it is founded.
    fn deployment(&mut self) -> impl Answer<Option<Deployment>>;
    /// Where the change of the certificate authority stands; `None` where it was never begun.
    fn ca(&mut self) -> impl Answer<Option<Ca>>;
    /// How many machines with a key hold each version of the bundle of roots, 0 for those that never said; of every tenant,
    /// for they have one authority.
    fn bundle_holders(&mut self) -> impl Answer<Vec<(u64, u64)>>;
    /// How many machines with a key are behind, of every tenant.
    fn behind(&mut self, behind: Behind) -> impl Answer<u64>;
    /// How many machines with a key have the one that they had at this time, of every tenant.
    fn not_rotated_since(&mut self, at: Timestamp) -> impl Answer<u64>;
    /// The newest audit entry of any tenant.
    fn newest_entry(&mut self) -> impl Answer<Option<EntryPlace>>;
    /// Whether there is this audit entry at this place.
    fn has_entry(&mut self, place: EntryPlace) -> impl Answer<bool>;
    /// Whether there is this audit entry about this object, wherever its place is.
    fn has_entry_about(&mut self, tenant: TenantId, object: Object, id: AuditId) -> impl Answer<bool>;
    /// Every replica that is known, the oldest first. None, where the store belongs to one process alone.
    fn replicas(&mut self) -> impl Answer<Vec<Replica>>;
}

/// Pages and counts for people, and what is read outside of decisions alone.
pub trait Lists: Send {
    /// Machines, in the order of their identifiers; those of a search in the order in which they came.
    fn machines(
        &mut self,
        tenant: TenantId,
        filter: &MachineFilter,
        page: PageRequest,
    ) -> impl Answer<Listed<MachineRow>>;
    /// One machine as lists show it.
    fn machine_row(&mut self, tenant: TenantId, id: MachineId) -> impl Answer<Option<MachineRow>>;
    /// How many machines are in each state: pending, active, suspended, retired. Kept, not counted.
    fn machine_counts(&mut self, tenant: TenantId) -> impl Answer<[u64; 4]>;
    /// Credentials of a machine, ended ones too, the newest first.
    fn credentials(
        &mut self,
        tenant: TenantId,
        machine: MachineId,
        limit: u32,
    ) -> impl Answer<Vec<Credential>>;
    /// Sites, in the order of their identifiers.
    fn sites(&mut self, tenant: TenantId, page: PageRequest) -> impl Answer<Listed<Site>>;
    /// Grants, the newest first.
    fn grants(
        &mut self,
        tenant: TenantId,
        site: Option<SiteId>,
        page: PageRequest,
    ) -> impl Answer<Listed<Grant>>;
    /// Whether a site of the tenant has a key that was brought from another server and that nobody has shown yet.
    fn has_imported_keys(&mut self, tenant: TenantId) -> impl Answer<bool>;
    /// The key of the site of this code, if it is such a one.
    fn imported_key(&mut self, tenant: TenantId, site: &SiteCode) -> impl Answer<Option<Grant>>;
    /// Holds, the newest first; only those open at this time where one is given.
    fn holds(
        &mut self,
        tenant: TenantId,
        open_at: Option<Timestamp>,
        page: PageRequest,
    ) -> impl Answer<Listed<Hold>>;
    /// How many holds are open at this time.
    fn open_holds(&mut self, tenant: TenantId, now: Timestamp) -> impl Answer<u64>;
    /// Software agents that hold a nick and are not retired, in the order of their machines' identifiers.
    fn software_agents(&mut self, tenant: TenantId, page: PageRequest) -> impl Answer<Listed<AgentRow>>;
    /// API tokens and sessions, the newest first.
    fn access_tokens(&mut self, tenant: TenantId, page: PageRequest) -> impl Answer<Listed<AccessToken>>;
    /// Accounts in other systems, the newest first.
    fn accounts(
        &mut self,
        tenant: TenantId,
        filter: &AccountFilter,
        page: PageRequest,
    ) -> impl Answer<Listed<Account>>;
    /// Machines with a key that are behind, in the order of their identifiers.
    fn machines_behind(
        &mut self,
        tenant: TenantId,
        behind: Behind,
        limit: u32,
    ) -> impl Answer<Vec<BehindMachine>>;
    /// When the fleet was watched, the earliest stretch first.
    fn watched(&mut self) -> impl Answer<Vec<Watched>>;
    /// Machines that may be due for this, in the order of their identifiers: in a state from which they are taken, offline,
    /// and not heard of since this time. Walks those of that state alone.
    fn quiet(
        &mut self,
        tenant: TenantId,
        due: Due,
        since: Timestamp,
        page: PageRequest,
    ) -> impl Answer<Listed<QuietRow>>;
    /// How many machines are paused for their silence, since this time.
    fn count_silenced(&mut self, tenant: TenantId, since: Timestamp) -> impl Answer<u64>;
    /// What the fleet did from a time on and before another, as stretches of this length, the earliest first. Stretches of
    /// which nothing was noted are left out. Both ends are beginnings of stretches, and at most
    /// [`PULSES`](crate::PULSES) come back.
    fn pulses(
        &mut self,
        tenant: TenantId,
        from: Timestamp,
        until: Timestamp,
        length: SignedDuration,
    ) -> impl Answer<Vec<Pulse>>;
    /// What ends from a time on and before another, by day of UTC and kind: what is in force still and is not ended yet.
    fn expiring(&mut self, tenant: TenantId, from: Timestamp, until: Timestamp) -> impl Answer<Vec<Expiry>>;
    /// The versions that most active machines run, as they say themselves (`agent_version`, or else `version`), the most
    /// frequent first, at most so many.
    fn versions(&mut self, tenant: TenantId, limit: u32) -> impl Answer<Vec<VersionUse>>;
    /// Audit entries.
    fn audit(&mut self, tenant: TenantId, filter: &AuditFilter) -> impl Answer<Vec<AuditRecord>>;
}
