//! Everything that the port can read of a tenant, as lines: every list, and every row that a change named.

use std::collections::BTreeSet;
use std::fmt::Debug;

use muster_lifecycle::{
    AccessChange, AgentChange, Change, CredentialChange, GrantChange, HoldChange, KeyChange, MachineChange,
    MemoryChange,
};
use muster_model::{
    AccessTokenId, HardwareId, KeyFingerprint, MachineId, PublicKey, SecretId, SiteId, TenantId, Timestamp,
};
use muster_store::{
    AccountFilter, AuditFilter, Listed, Lists, MachineFilter, PageRequest, Reads, Store, StoreError, Unscoped,
};

use crate::plain;
use crate::player::Player;

const PAGE: u32 = 7;
const WORDS: [&str; 8] = ["host", "host0", "hw", "000", "prod", "made 1", "other", "rack b"];

/// Every page of a list.
macro_rules! pages {
    ($fold:expr, $list:ident $(, $filter:expr)?) => {{
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = PageRequest { after, limit: PAGE };
            let listed = $fold.reads.$list($fold.tenant, $($filter,)? page).await?;
            all.extend(listed.items);
            after = listed.next;
            if after.is_none() {
                break all;
            }
        }
    }};
}

/// What was read, a line each.
struct Fold<R> {
    reads: R,
    tenant: TenantId,
    now: Timestamp,
    lines: Vec<String>,
}

/// What the changes named, each once and in order.
#[derive(Default)]
struct Named {
    machines: BTreeSet<MachineId>,
    hardware: BTreeSet<HardwareId>,
    keys: BTreeSet<KeyFingerprint>,
    tokens: BTreeSet<AccessTokenId>,
    remembered: BTreeSet<[u8; 32]>,
    failures: BTreeSet<[u8; 32]>,
    access_secrets: BTreeSet<SecretId>,
    bearer_secrets: BTreeSet<SecretId>,
    agents: BTreeSet<(MachineId, String)>,
    engagements: BTreeSet<(MachineId, u32)>,
}

impl Named {
    fn by(changes: Vec<Change>) -> Self {
        let mut named = Self::default();
        changes.into_iter().for_each(|change| named.note(change));
        named
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Machine(MachineChange::Create(machine) | MachineChange::Update(machine)) => {
                self.machines.insert(machine.id);
                self.hardware.extend(machine.hardware_id);
            }
            Change::Key(KeyChange::Register(record)) => drop(self.keys.insert(record.key.fingerprint())),
            Change::Hold(HoldChange::Open(hold)) => {
                self.keys.extend(hold.claimant.key.as_ref().map(PublicKey::fingerprint));
                self.hardware.extend(hold.claimant.hardware_id);
            }
            Change::Credential(CredentialChange::Reserve(credential)) => {
                self.bearer_secrets.extend(credential.kind.secret());
            }
            Change::Access(AccessChange::CreateToken(token)) => {
                self.tokens.insert(token.id);
                self.access_secrets.insert(token.secret);
            }
            Change::Memory(MemoryChange::Failures { key, .. }) => drop(self.failures.insert(key)),
            Change::Memory(MemoryChange::Request(request)) => drop(self.remembered.insert(request.key)),
            Change::Memory(MemoryChange::Nonce { key, .. } | MemoryChange::Boots { key, .. }) => {
                self.keys.insert(key);
            }
            Change::Agent(AgentChange::Register(agent) | AgentChange::Update(agent)) => {
                self.agents.insert((agent.machine, agent.nick.to_string()));
            }
            Change::Agent(AgentChange::Engage(version)) => {
                self.engagements.insert((version.machine, version.version));
            }
            Change::Access(AccessChange::RotateToken { secret, .. }) => {
                self.access_secrets.insert(secret);
            }
            // These are in lists, or named by the change that made them.
            Change::Agent(AgentChange::Acknowledge { .. })
            | Change::Machine(MachineChange::Order { .. })
            | Change::Key(
                KeyChange::Standing { .. } | KeyChange::Order { .. } | KeyChange::SupersedeAll(_),
            )
            | Change::Hold(HoldChange::Decide { .. })
            | Change::Credential(CredentialChange::State { .. })
            | Change::Access(
                AccessChange::CreateOperator(_)
                | AccessChange::UpdateOperator(_)
                | AccessChange::EndToken { .. }
                | AccessChange::EndAllOf { .. },
            )
            | Change::Grant(
                GrantChange::Create(_)
                | GrantChange::Draw { .. }
                | GrantChange::Prove { .. }
                | GrantChange::End { .. },
            )
            | Change::Account(_)
            | Change::Deployment(_)
            | Change::Tenant(_)
            | Change::Site(_) => {}
        }
    }
}

/// Reads everything of a player's tenant.
///
/// # Errors
/// What the store says.
pub(crate) async fn fold<S: Store>(player: &Player<S>) -> Result<Vec<String>, StoreError> {
    let store = player.store();
    let named = Named::by(store.written());
    let (tenant, now) = (player.founded().tenant, player.now());
    let mut fold = Fold { reads: store.reader().await?, tenant, now, lines: Vec::new() };
    fold.sites().await?;
    fold.grants().await?;
    fold.holds().await?;
    fold.machines(&named).await?;
    fold.identities(&named).await?;
    fold.agents(&named).await?;
    fold.access(&named).await?;
    fold.accounts().await?;
    fold.log().await?;
    Ok(fold.lines)
}

impl<R: Reads + Unscoped + Lists> Fold<R> {
    fn say(&mut self, what: &str, value: &impl Debug) {
        self.lines.push(format!("{what}: {value:?}"));
    }

    async fn sites(&mut self) -> Result<(), StoreError> {
        let sites = pages!(self, sites);
        let (tenant, now) = (self.tenant, self.now);
        let known = self.reads.tenants().await?.into_iter().filter(|known| known.id == tenant);
        let known: Vec<_> = known.collect();
        self.say("tenant", &known);
        for site in &sites {
            self.say("site", site);
            let read =
                (self.reads.site(tenant, site.id).await?, self.reads.site_by_code(tenant, &site.code).await?);
            self.say("by id and code", &read);
            let used = self.reads.site_use(tenant, site.id, now).await?;
            self.say("used", &used);
            let key = self.reads.site_key(tenant, site.id).await?;
            self.say("key", &key);
        }
        let only = self.reads.only_site(tenant).await?;
        self.say("only site", &only);
        self.by_site(&sites.iter().map(|site| site.id).collect::<Vec<_>>()).await
    }

    async fn accounts(&mut self) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.now);
        let accounts = pages!(self, accounts, &AccountFilter::default());
        for account in accounts {
            self.say("account", &account);
            let named = self.reads.account_named(tenant, &account.provisioner, &account.name).await?;
            let read = (self.reads.account(tenant, account.id).await?, named);
            self.say("by id and name", &read);
            let of_machine = self.reads.accounts_of_machine(tenant, account.machine).await?;
            self.say("accounts of machine", &of_machine);
        }
        let due = self.reads.due_accounts(now, 1000).await?;
        let due: Vec<_> = due.into_iter().filter(|account| account.tenant == tenant).collect();
        self.say("due", &due);
        Ok(())
    }

    async fn by_site(&mut self, sites: &[SiteId]) -> Result<(), StoreError> {
        let page = PageRequest { after: None, limit: 1000 };
        for site in sites {
            let grants = self.reads.grants(self.tenant, Some(*site), page).await?;
            self.say("grants of site", &grants.items.iter().map(|grant| grant.id).collect::<Vec<_>>());
            for state in [None, Some("pending"), Some("active"), Some("suspended"), Some("retired")] {
                let filter = MachineFilter { site: Some(*site), state, ..MachineFilter::default() };
                let machines = self.reads.machines(self.tenant, &filter, page).await?;
                self.say("machines of site", &ids(&machines));
            }
        }
        Ok(())
    }

    async fn grants(&mut self) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let grants = pages!(self, grants, None);
        for grant in grants {
            self.say("grant", &grant);
            let read =
                (self.reads.grant(tenant, grant.id).await?, self.reads.grant_by_secret(grant.secret).await?);
            self.say("by id and secret", &read);
        }
        Ok(())
    }

    async fn holds(&mut self) -> Result<(), StoreError> {
        let (tenant, now) = (self.tenant, self.now);
        let holds = pages!(self, holds, None);
        for hold in holds {
            self.say("hold", &hold);
            let read = (self.reads.hold(tenant, hold.id).await?, self.reads.hold_anywhere(hold.id).await?);
            self.say("by id", &read);
        }
        let open = pages!(self, holds, Some(now));
        self.say("open holds", &open.iter().map(|hold| hold.id).collect::<Vec<_>>());
        let count = self.reads.open_holds(tenant, now).await?;
        self.say("count of open holds", &count);
        Ok(())
    }

    async fn machines(&mut self, named: &Named) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let counts = self.reads.machine_counts(tenant).await?;
        self.say("counts", &counts);
        let mut filters = vec![MachineFilter::default()];
        let states = ["pending", "active", "suspended", "retired"];
        filters.extend(states.map(|state| MachineFilter { state: Some(state), ..MachineFilter::default() }));
        for words in WORDS {
            let search = Some(words.to_owned());
            filters.push(MachineFilter { search: search.clone(), ..MachineFilter::default() });
            filters.push(MachineFilter { search, state: Some("active"), ..MachineFilter::default() });
        }
        for filter in filters {
            let found = pages!(self, machines, &filter);
            self.say("found", &(&filter, found.iter().map(|row| row.machine.id).collect::<Vec<_>>()));
        }
        for id in &named.machines {
            self.machine(*id).await?;
        }
        Ok(())
    }

    async fn machine(&mut self, id: MachineId) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let row = self.reads.machine_row(tenant, id).await?;
        self.say("machine", &row);
        let machine = self.reads.machine(tenant, id).await?;
        self.say("record", &machine);
        let presence = self.reads.presence(tenant, id).await?;
        self.say("presence", &presence);
        let keys = self.reads.keys_of_machine(tenant, id).await?;
        self.say("keys", &keys);
        let grants = self.reads.grants_of_machine(tenant, id).await?;
        self.say("grants", &grants.iter().map(|grant| grant.id).collect::<Vec<_>>());
        let about = self.reads.holds_about(tenant, id).await?;
        self.say("holds about it", &about.iter().map(|hold| hold.id).collect::<Vec<_>>());
        let open = self.reads.open_credentials(tenant, id).await?;
        self.say("open credentials", &open.iter().map(|credential| credential.id).collect::<Vec<_>>());
        for credential in self.reads.credentials(tenant, id, 1000).await? {
            self.say("credential", &plain::credential(&credential));
            let read = self.reads.credential(tenant, credential.id).await?;
            self.say("by id", &read.as_ref().map(plain::credential));
        }
        Ok(())
    }

    async fn identities(&mut self, named: &Named) -> Result<(), StoreError> {
        let tenant = self.tenant;
        for id in &named.hardware {
            let machine = self.reads.machine_by_hardware(tenant, id).await?;
            self.say("of hardware", &(id, machine.map(|machine| machine.id)));
            let holds = self.reads.holds_by_hardware(tenant, id).await?;
            self.say("holds", &holds.iter().map(|hold| hold.id).collect::<Vec<_>>());
            let newest = self.reads.hold_in_name(tenant, id).await?;
            self.say("in its name", &newest.map(|hold| hold.id));
        }
        for key in &named.keys {
            let read = (self.reads.key(tenant, *key).await?, self.reads.keys(*key).await?);
            self.say("key", &read);
            let nonces = self.reads.used_nonces(tenant, *key).await?;
            self.say("nonces", &nonces);
            let boots = self.reads.boots(tenant, *key).await?;
            self.say("boots", &boots);
            let holds = self.reads.holds_by_key(tenant, *key).await?;
            self.say("holds", &holds.iter().map(|hold| hold.id).collect::<Vec<_>>());
        }
        for secret in &named.bearer_secrets {
            let credential = self.reads.credential_by_secret(*secret).await?;
            self.say("of bearer", &credential.as_ref().map(plain::credential));
        }
        Ok(())
    }

    async fn agents(&mut self, named: &Named) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let listed = pages!(self, software_agents);
        self.say("software agents", &listed);
        for (machine, nick) in &named.agents {
            let nick = nick.parse().expect("a nick that was written");
            let read = (
                self.reads.software_agent(tenant, *machine).await?,
                self.reads.agent_by_nick(tenant, &nick).await?,
            );
            self.say("by machine and nick", &read);
        }
        for (machine, version) in &named.engagements {
            let version = self.reads.engagement(tenant, *machine, *version).await?;
            self.say("engagement", &version);
        }
        Ok(())
    }

    async fn access(&mut self, named: &Named) -> Result<(), StoreError> {
        let tenant = self.tenant;
        for operator in self.reads.operators(tenant).await? {
            self.say("operator", &operator);
            let read = self.reads.operator(tenant, operator.id).await?;
            self.say("by id", &read);
        }
        let listed = pages!(self, access_tokens);
        self.say("tokens", &listed.iter().map(|token| token.id).collect::<Vec<_>>());
        for id in &named.tokens {
            let token = self.reads.access_token(tenant, *id).await?;
            self.say("token", &token);
        }
        for secret in &named.access_secrets {
            let token = self.reads.access_by_secret(*secret).await?;
            self.say("of secret", &token.map(|token| token.id));
        }
        for key in &named.failures {
            let failures = self.reads.failures(tenant, key).await?;
            self.say("failures", &failures);
        }
        for key in &named.remembered {
            let request = self.reads.remembered(tenant, key).await?;
            self.say("request", &request);
        }
        Ok(())
    }

    /// The log in both directions, and by everything that it names. Places are compared by their order alone.
    async fn log(&mut self) -> Result<(), StoreError> {
        let plain = AuditFilter { limit: 100_000, ..AuditFilter::default() };
        let forth = AuditFilter { after: Some(0), ..plain.clone() };
        let all = self.reads.audit(self.tenant, &forth).await?;
        let mut back = self.reads.audit(self.tenant, &plain).await?;
        back.reverse();
        self.say("the log reads the same both ways", &(all == back));
        for filter in [all.len() / 2, all.len()].map(|place| all.get(place).map(|record| record.seq)) {
            let older = AuditFilter { before: filter, limit: 5, ..AuditFilter::default() };
            let older = self.reads.audit(self.tenant, &older).await?;
            self.say("older", &older.iter().map(|record| &record.id).collect::<Vec<_>>());
        }
        let objects: BTreeSet<&String> = all.iter().map(|record| &record.object).collect();
        let actors: BTreeSet<&String> = all.iter().map(|record| &record.actor).collect();
        let of_object =
            objects.iter().map(|object| AuditFilter { object: Some((*object).clone()), ..forth.clone() });
        let of_actor =
            actors.iter().map(|actor| AuditFilter { actor: Some((*actor).clone()), ..plain.clone() });
        for filter in of_object.chain(of_actor) {
            let told = self.reads.audit(self.tenant, &filter).await?;
            self.say("told of", &told.iter().map(|record| &record.id).collect::<Vec<_>>());
        }
        for record in &all {
            let mut record = record.clone();
            record.seq = 0;
            self.say("entry", &record);
        }
        Ok(())
    }
}

fn ids(listed: &Listed<muster_store::MachineRow>) -> Vec<MachineId> {
    listed.items.iter().map(|row| row.machine.id).collect()
}
