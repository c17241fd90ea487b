//! A plan, change by change. Each says beside it what must hold; what does not hold is our own mistake.

mod agent;

use std::collections::BTreeMap;

use muster_lifecycle::lockout::Failures;
use muster_lifecycle::reap::Stop;
use muster_lifecycle::{
    AccessChange, AccountChange, Change, CredentialChange, DeploymentChange, GrantChange, HoldChange,
    KeyChange, MachineChange, MemoryChange, Plan, SiteChange, TenantChange,
};
use muster_model::second_factor::SecondFactor;
use muster_model::{
    AccessToken, Account, Credential, CredentialId, CredentialKind, CredentialState, Deployment, Grant,
    GrantId, GrantKind, Hold, HoldId, HoldState, KeyStanding, Machine, MachineState, Minted, Operator, Site,
    Tenant, TenantId, Uses, Wanted,
};
use muster_store::StoreError;

use super::cut::Cut;
use super::tables::{Tables, of, wrong};

type Applied = Result<(), StoreError>;

/// Fails the plan where this does not hold.
fn holds(holds: bool, what: &'static str, otherwise: &'static str) -> Applied {
    if holds { Ok(()) } else { Err(wrong(what, otherwise)) }
}

/// A new row under a key of its own.
fn add<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V, what: &'static str) -> Applied {
    holds(map.insert(key, value).is_none(), what, "there is one already")
}

/// A row that must be there.
fn known<'m, K: Ord, V>(
    map: &'m mut BTreeMap<K, V>,
    key: &K,
    what: &'static str,
) -> Result<&'m mut V, StoreError> {
    map.get_mut(key).ok_or_else(|| wrong(what, "there is no such row"))
}

impl Tables {
    /// Applies a plan that changes or tells something. It writes in the tenant that its entries tell of, and in no other.
    pub(super) fn apply<O>(&mut self, plan: &Plan<O>) -> Applied {
        let what = "apply a plan";
        let first = plan.entries().first().ok_or_else(|| wrong(what, "it tells nothing"))?;
        let tenant = first.tenant;
        holds(plan.entries().iter().all(|entry| entry.tenant == tenant), what, "it tells of two tenants")?;
        for change in plan.changes() {
            self.change(tenant, change.clone())?;
        }
        self.tell(plan.entries().iter().cloned());
        Ok(())
    }

    fn change(&mut self, tenant: TenantId, change: Change) -> Applied {
        match change {
            Change::Deployment(change) => self.change_deployment(change),
            Change::Tenant(TenantChange::Create(new)) => self.create_tenant(tenant, new),
            Change::Tenant(TenantChange::Reaper(stop)) => self.stop_reaper(tenant, stop),
            Change::Site(SiteChange::Create(site)) => self.create_site(tenant, site),
            Change::Grant(change) => self.change_grant(tenant, change),
            Change::Machine(change) => self.change_machine(tenant, change),
            Change::Key(change) => self.change_key(tenant, change),
            Change::Hold(change) => self.change_hold(tenant, change),
            Change::Credential(change) => self.change_credential(tenant, change),
            Change::Agent(change) => self.change_agent(tenant, change),
            Change::Access(change) => self.change_access(tenant, change),
            Change::Account(change) => self.change_account(tenant, change),
            Change::Memory(change) => self.change_memory(tenant, change),
        }
    }

    /// There is one deployment, and no two of its incarnations are the same.
    fn change_deployment(&mut self, change: DeploymentChange) -> Applied {
        match change {
            DeploymentChange::Found { id, proof, incarnation, .. } => {
                holds(self.deployment.is_none(), "found the deployment", "it was founded before")?;
                self.deployment = Some(Deployment { id, proof, incarnations: vec![incarnation], gap: None });
            }
            DeploymentChange::Accept { incarnation, .. } => {
                let what = "begin an incarnation";
                let Some(deployment) = &mut self.deployment else {
                    return Err(wrong(what, "there is no deployment"));
                };
                holds(!deployment.incarnations.contains(&incarnation), what, "it began before")?;
                deployment.incarnations.push(incarnation);
                deployment.gap = None;
            }
            DeploymentChange::Authority(ca) => {
                let is_newer = self.ca.as_ref().is_none_or(|known| known.revision < ca.revision);
                holds(is_newer, "change the authority", "it stands further already")?;
                self.ca = Some(ca.cut());
            }
            DeploymentChange::Doubt { gap } => {
                let what = "doubt an incarnation";
                let deployment = self.deployment.as_mut().filter(|deployment| deployment.gap.is_none());
                deployment.ok_or_else(|| wrong(what, "there is none that is not doubted"))?.gap = Some(gap);
            }
        }
        Ok(())
    }

    /// No two tenants share a code.
    fn create_tenant(&mut self, tenant: TenantId, new: Tenant) -> Applied {
        let what = "create a tenant";
        holds(new.id == tenant, what, "it is told in another tenant")?;
        holds(self.tenants.values().all(|other| other.code != new.code), what, "its code is taken")?;
        add(&mut self.tenants, new.id, new.cut(), what)
    }

    /// It stops once, and goes on where it had stopped.
    fn stop_reaper(&mut self, tenant: TenantId, stop: Option<Stop>) -> Applied {
        match stop {
            Some(stop) => {
                let stop = Stop { since: stop.since.cut(), ..stop };
                add(&mut self.stops, tenant, stop, "stop the reaper")
            }
            None => holds(self.stops.remove(&tenant).is_some(), "let the reaper go on", "it did not stop"),
        }
    }

    /// No two sites of a tenant share a code.
    fn create_site(&mut self, tenant: TenantId, site: Site) -> Applied {
        let what = "create a site";
        holds(site.tenant == tenant, what, "it is of another tenant")?;
        holds(self.tenants.contains_key(&tenant), what, "there is no such tenant")?;
        holds(of(&self.sites, tenant).all(|other| other.code != site.code), what, "its code is taken")?;
        add(&mut self.sites, (tenant, site.id), site.cut(), what)
    }

    fn change_grant(&mut self, tenant: TenantId, change: GrantChange) -> Applied {
        match change {
            GrantChange::Create(grant) => self.create_grant(tenant, grant),
            GrantChange::Draw { grant, uses } => self.draw(tenant, grant, uses),
            GrantChange::End { grant, state } => {
                let row = known(&mut self.grants, &(tenant, grant), "end a grant")?;
                (row.state, row.imported) = (state.cut(), None);
                Ok(())
            }
            GrantChange::Prove { grant, secret, hash, fingerprint } => {
                let what = "prove a key";
                let is_free = self.grants.values().all(|other| other.id == grant || other.secret != secret);
                holds(is_free, what, "its secret is taken")?;
                let row = known(&mut self.grants, &(tenant, grant), what)?;
                holds(row.imported.take().is_some(), what, "it was proved before")?;
                (row.secret, row.hash) = (secret, hash);
                if let GrantKind::SiteKey { fingerprint: known, .. } = &mut row.kind {
                    *known = Some(fingerprint);
                }
                Ok(())
            }
        }
    }

    /// No two grants share a secret, and no two keys of a site a version.
    fn create_grant(&mut self, tenant: TenantId, grant: Grant) -> Applied {
        let what = "create a grant";
        holds(grant.tenant == tenant, what, "it is of another tenant")?;
        holds(self.sites.contains_key(&(tenant, grant.site)), what, "there is no such site")?;
        holds(self.grants.values().all(|other| other.secret != grant.secret), what, "its secret is taken")?;
        let version = |grant: &Grant| match grant.kind {
            GrantKind::SiteKey { version, .. } => Some((grant.site, version)),
            GrantKind::Token | GrantKind::Machine(_) => None,
        };
        let mine = version(&grant);
        let taken = mine.is_some() && of(&self.grants, tenant).any(|other| version(other) == mine);
        holds(!taken, what, "its version is taken")?;
        add(&mut self.grants, (tenant, grant.id), grant.cut(), what)
    }

    /// What is spent stays spent: a bound token is not bound again, and a count only rises.
    fn draw(&mut self, tenant: TenantId, grant: GrantId, uses: Uses) -> Applied {
        let what = "draw on a grant";
        let grant = known(&mut self.grants, &(tenant, grant), what)?;
        let fits = match (grant.uses, uses) {
            (Uses::Once(bound), Uses::Once(_)) => bound.is_none(),
            (Uses::Capped { used: before, .. }, Uses::Capped { used, .. }) => before < used,
            (Uses::Unlimited, Uses::Unlimited) => true,
            (Uses::Once(_) | Uses::Capped { .. } | Uses::Unlimited, _) => false,
        };
        holds(fits, what, "it is spent, or of another kind")?;
        grant.uses = uses.cut();
        Ok(())
    }

    fn change_machine(&mut self, tenant: TenantId, change: MachineChange) -> Applied {
        match change {
            MachineChange::Create(machine) => {
                let what = "create a machine";
                self.machine_fits(tenant, &machine, what)?;
                self.came.push((tenant, machine.id));
                add(&mut self.machines, (tenant, machine.id), machine.cut(), what)
            }
            MachineChange::Update(machine) => {
                let what = "update a machine";
                self.machine_fits(tenant, &machine, what)?;
                let row = known(&mut self.machines, &(tenant, machine.id), what)?;
                holds(machine.generation >= row.generation, what, "its generation falls")?;
                *row = machine.cut();
                Ok(())
            }
            // Whoever holds its channel is told; nothing is kept.
            MachineChange::Order { .. } => Ok(()),
        }
    }

    /// No two live machines of a tenant share their hardware.
    fn machine_fits(&self, tenant: TenantId, machine: &Machine, what: &'static str) -> Applied {
        holds(machine.tenant == tenant, what, "it is of another tenant")?;
        holds(self.sites.contains_key(&(tenant, machine.site)), what, "there is no such site")?;
        let is_live = |machine: &Machine| !matches!(machine.state, MachineState::Retired(_));
        let same = |other: &Machine| {
            other.id != machine.id
                && is_live(other)
                && other.hardware_id.is_some()
                && other.hardware_id == machine.hardware_id
        };
        let taken = is_live(machine) && of(&self.machines, tenant).any(same);
        holds(!taken, what, "its hardware is taken")
    }

    fn change_key(&mut self, tenant: TenantId, change: KeyChange) -> Applied {
        match change {
            KeyChange::Register(record) => {
                let what = "register a key";
                holds(
                    self.machines.contains_key(&(tenant, record.machine)),
                    what,
                    "there is no such machine",
                )?;
                let machine = record.machine;
                add(&mut self.keys, (tenant, record.key.fingerprint()), record, what)?;
                self.one_key_each(tenant, machine, what)
            }
            KeyChange::Standing { key, standing } => {
                let what = "change the standing of a key";
                let record = known(&mut self.keys, &(tenant, key), what)?;
                record.standing = standing;
                let machine = record.machine;
                self.one_key_each(tenant, machine, what)
            }
            KeyChange::Order { key, at } => {
                known(&mut self.keys, &(tenant, key), "order a rotation")?.ordered_at = Some(at);
                Ok(())
            }
            KeyChange::SupersedeAll(machine) => {
                let rows = self.keys.iter_mut().filter(|((of, _), _)| *of == tenant);
                let its = rows.filter(|(_, record)| record.machine == machine && record.standing.counts());
                its.for_each(|(_, record)| record.standing = KeyStanding::Superseded);
                Ok(())
            }
        }
    }

    /// A machine has one key at most of each standing that counts.
    fn one_key_each(
        &self,
        tenant: TenantId,
        machine: muster_model::MachineId,
        what: &'static str,
    ) -> Applied {
        let its = || of(&self.keys, tenant).filter(|record| record.machine == machine);
        let counting = KeyStanding::ALL.into_iter().filter(|standing| standing.counts());
        let is_twice = |standing| its().filter(|record| record.standing == standing).count() > 1;
        holds(!counting.into_iter().any(is_twice), what, "its machine has such a key")
    }

    fn change_hold(&mut self, tenant: TenantId, change: HoldChange) -> Applied {
        match change {
            HoldChange::Open(hold) => self.open_hold(tenant, hold),
            HoldChange::Decide { hold, state } => self.decide_hold(tenant, hold, state),
        }
    }

    /// No two holds share an identifier, not even those of two tenants.
    fn open_hold(&mut self, tenant: TenantId, hold: Hold) -> Applied {
        let what = "open a hold";
        holds(hold.tenant == tenant, what, "it is of another tenant")?;
        holds(self.sites.contains_key(&(tenant, hold.site)), what, "there is no such site")?;
        holds(self.holds.values().all(|other| other.id != hold.id), what, "there is one already")?;
        add(&mut self.holds, (tenant, hold.id), hold.cut(), what)
    }

    /// The first decision stands.
    fn decide_hold(&mut self, tenant: TenantId, hold: HoldId, state: HoldState) -> Applied {
        let what = "decide a hold";
        holds(state != HoldState::Open, what, "open is no decision")?;
        let hold = known(&mut self.holds, &(tenant, hold), what)?;
        holds(hold.state == HoldState::Open, what, "it was decided before")?;
        hold.state = state.cut();
        Ok(())
    }

    fn change_credential(&mut self, tenant: TenantId, change: CredentialChange) -> Applied {
        match change {
            CredentialChange::Reserve(credential) => self.reserve(tenant, credential),
            CredentialChange::State { credential, state } => self.change_state(tenant, credential, state),
        }
    }

    /// No two bearer keys share a secret.
    fn reserve(&mut self, tenant: TenantId, credential: Credential) -> Applied {
        let what = "reserve a credential";
        holds(credential.tenant == tenant, what, "it is of another tenant")?;
        let has_machine = self.machines.contains_key(&(tenant, credential.machine));
        holds(has_machine, what, "there is no such machine")?;
        let mine = credential.kind.secret();
        let taken = mine.is_some() && self.credentials.values().any(|other| other.kind.secret() == mine);
        holds(!taken, what, "its secret is taken")?;
        add(&mut self.credentials, (tenant, credential.id), credential.cut(), what)
    }

    /// What has ended stays ended, and a credential is issued as what it is.
    fn change_state(&mut self, tenant: TenantId, id: CredentialId, state: CredentialState) -> Applied {
        let what = "change the state of a credential";
        let credential = known(&mut self.credentials, &(tenant, id), what)?;
        holds(credential.is_open(), what, "it has ended")?;
        let fits = match (&state, &credential.kind) {
            (CredentialState::Issued(Minted::Certificate(_)), CredentialKind::Certificate { .. })
            | (CredentialState::Issued(Minted::Bearer), CredentialKind::Bearer { .. })
            | (CredentialState::Issued(Minted::Refresh { .. }), CredentialKind::Refresh { .. })
            | (CredentialState::Reserved | CredentialState::Ended { .. }, _) => true,
            (CredentialState::Issued(_), _) => false,
        };
        holds(fits, what, "it is of another kind")?;
        credential.state = state.cut();
        Ok(())
    }

    /// No two operators of a tenant have one name, however it is written.
    fn operator_fits(&self, tenant: TenantId, operator: &Operator, what: &'static str) -> Applied {
        let mut others = self.operators.iter().filter(|((of, id), _)| *of == tenant && *id != operator.id);
        let taken = others.any(|(_, other)| other.folded() == operator.folded());
        holds(!taken, what, "its name is taken")?;
        let step = match operator.second {
            Some(SecondFactor::Confirmed { step, .. }) => step,
            Some(SecondFactor::Proposed { .. }) | None => 0,
        };
        holds(i64::try_from(step).is_ok(), what, "its step is beyond 63 bits")
    }

    /// No two tokens share a secret; what has ended stays ended.
    fn change_access(&mut self, tenant: TenantId, change: AccessChange) -> Applied {
        match change {
            AccessChange::CreateOperator(operator) => {
                let what = "create an operator";
                holds(operator.tenant == tenant, what, "it is of another tenant")?;
                holds(self.tenants.contains_key(&tenant), what, "there is no such tenant")?;
                self.operator_fits(tenant, &operator, what)?;
                add(&mut self.operators, (tenant, operator.id), operator.cut(), what)
            }
            AccessChange::UpdateOperator(operator) => {
                let what = "change an operator";
                holds(operator.tenant == tenant, what, "it is of another tenant")?;
                self.operator_fits(tenant, &operator, what)?;
                let row = known(&mut self.operators, &(tenant, operator.id), what)?;
                let created_at = row.created_at;
                *row = Operator { created_at, ..operator.cut() };
                Ok(())
            }
            AccessChange::CreateToken(token) => {
                let what = "create an access token";
                holds(token.tenant == tenant, what, "it is of another tenant")?;
                let has_operator = self.operators.contains_key(&(tenant, token.operator));
                holds(has_operator, what, "there is no such operator")?;
                let taken = self.tokens.values().any(|other| other.secret == token.secret);
                holds(!taken, what, "its secret is taken")?;
                add(&mut self.tokens, (tenant, token.id), token.cut(), what)
            }
            AccessChange::RotateToken { token, secret, hash } => {
                let what = "rotate an access token";
                let taken = self.tokens.values().any(|other| other.id != token && other.secret == secret);
                holds(!taken, what, "its secret is taken")?;
                let token = known(&mut self.tokens, &(tenant, token), what)?;
                holds(token.ended_at.is_none(), what, "it has ended")?;
                (token.secret, token.hash) = (secret, hash);
                Ok(())
            }
            AccessChange::EndToken { token, at } => {
                let what = "end an access token";
                let token = known(&mut self.tokens, &(tenant, token), what)?;
                holds(token.ended_at.is_none(), what, "it has ended")?;
                token.ended_at = Some(at.cut());
                Ok(())
            }
            AccessChange::EndAllOf { operator, kinds, at } => {
                let ends = |token: &&mut AccessToken| {
                    token.operator == operator && kinds.contains(&token.kind) && token.is_live(at)
                };
                let of_tenant = self.tokens.iter_mut().filter(|((of, _), _)| *of == tenant);
                let ending = of_tenant.map(|(_, token)| token).filter(ends);
                ending.for_each(|token| token.ended_at = Some(at.cut()));
                Ok(())
            }
        }
    }

    /// No two accounts of a provisioner share a name, until they are removed; what is wanted is never older.
    fn change_account(&mut self, tenant: TenantId, change: AccountChange) -> Applied {
        match change {
            AccountChange::Create(account) => {
                let what = "make an account";
                holds(account.tenant == tenant, what, "it is of another tenant")?;
                let has_machine = self.machines.contains_key(&(tenant, account.machine));
                holds(has_machine, what, "there is no such machine")?;
                self.account_fits(tenant, &account, what)?;
                add(&mut self.accounts, (tenant, account.id), account.cut(), what)
            }
            AccountChange::Update(account) => {
                let what = "change an account";
                holds(account.tenant == tenant, what, "it is of another tenant")?;
                let has_machine = self.machines.contains_key(&(tenant, account.machine));
                holds(has_machine, what, "there is no such machine")?;
                self.account_fits(tenant, &account, what)?;
                let row = known(&mut self.accounts, &(tenant, account.id), what)?;
                let fits = account.version >= row.version && account.secret >= row.secret;
                holds(fits, what, "it is older")?;
                *row = Account {
                    provisioner: row.provisioner.clone(),
                    name: row.name.clone(),
                    created_at: row.created_at,
                    ..account.cut()
                };
                Ok(())
            }
        }
    }

    fn account_fits(&self, tenant: TenantId, account: &Account, what: &'static str) -> Applied {
        let same = |other: &Account| {
            other.id != account.id
                && other.wanted != Wanted::Removed
                && other.provisioner == account.provisioner
                && other.name.folded() == account.name.folded()
        };
        let taken = account.wanted != Wanted::Removed && of(&self.accounts, tenant).any(same);
        holds(!taken, what, "its name is taken")
    }

    /// A request is remembered once.
    fn change_memory(&mut self, tenant: TenantId, change: MemoryChange) -> Applied {
        match change {
            MemoryChange::Request(request) => {
                add(&mut self.remembered, (tenant, request.key), request.cut(), "remember a request")
            }
            MemoryChange::Nonce { key, used } => {
                holds(i64::try_from(used.last).is_ok(), "remember a nonce", "its place is beyond 63 bits")?;
                self.nonces.insert((tenant, key), used);
                Ok(())
            }
            MemoryChange::Failures { key, failures } => {
                self.failures.insert((tenant, key), Failures { at: failures.at.cut(), ..failures });
                Ok(())
            }
            MemoryChange::Boots { key, boots } => {
                self.boots.insert((tenant, key), boots.cut());
                Ok(())
            }
        }
    }
}
