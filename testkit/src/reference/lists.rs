//! Pages and counts for people.

use muster_lifecycle::reap::{Due, Traces, Watched};
use muster_model::{
    AccessKind, AccessToken, Account, Credential, CredentialState, Expiry, Grant, Hold, HoldReason,
    HoldState, Machine, MachineId, MachineState, PublicKey, Pulse, SignedDuration, Site, SiteCode, SiteId,
    SoftwareAgent, TenantId, Timestamp, VersionUse,
};
use muster_store::{
    AccountFilter, AgentRow, AuditFilter, AuditRecord, Behind, BehindMachine, Listed, Lists, MachineFilter,
    MachineRow, PageRequest, QuietRow, StoreError,
};

use super::cut::Cut;
use super::tables::of;
use super::{Moment, words};

type Answered<T> = Result<T, StoreError>;

/// A page of what is left of a list.
fn listed<T>(rest: impl Iterator<Item = T>, page: PageRequest, key: impl Fn(&T) -> [u8; 16]) -> Listed<T> {
    let mut items: Vec<T> = rest.collect();
    let more = items.len() > page.limit as usize;
    items.truncate(page.limit as usize);
    let next = items.last().filter(|_| more).map(key);
    Listed { items, next }
}

/// What comes after a page, in a list that rises or falls by its identifiers.
fn rising(page: &PageRequest, key: &[u8; 16]) -> bool {
    page.after.is_none_or(|after| *key > after)
}

fn falling(page: &PageRequest, key: &[u8; 16]) -> bool {
    page.after.is_none_or(|after| *key < after)
}

impl Moment {
    fn row(&self, machine: &Machine) -> MachineRow {
        let tables = &self.tables;
        let site = tables.sites.get(&(machine.tenant, machine.site)).expect("a machine has a site");
        let credentials = of(&tables.credentials, machine.tenant).rev();
        let mut issued = credentials
            .filter(|credential| credential.machine == machine.id)
            .filter(|credential| matches!(credential.state, CredentialState::Issued(_)));
        let contested = of(&tables.holds, machine.tenant).rev().find(|hold| contests(hold, machine));
        let presence = tables.presence.get(&(machine.tenant, machine.id)).copied().unwrap_or_default();
        MachineRow {
            machine: machine.clone(),
            site: site.code.clone(),
            presence,
            credential_expires: issued.next().map(|credential| credential.not_after),
            contested_by: contested.map(|hold| (hold.id, hold.expires_at)),
        }
    }

    fn traces(&self, machine: &Machine) -> Traces {
        let credentials = of(&self.tables.credentials, machine.tenant);
        let its = credentials.filter(|credential| credential.machine == machine.id);
        let presence = self.tables.presence.get(&(machine.tenant, machine.id)).copied().unwrap_or_default();
        Traces { presence, issued: its.map(|credential| credential.not_before).max() }
    }

    /// In the order of their identifiers.
    fn walked(&self, tenant: TenantId, page: PageRequest) -> Vec<&Machine> {
        let machines = of(&self.tables.machines, tenant);
        machines.filter(|machine| rising(&page, machine.id.as_bytes())).collect()
    }

    /// In the order in which they came.
    fn in_order(&self, tenant: TenantId, page: PageRequest) -> Vec<&Machine> {
        let came: Vec<_> = self.tables.came.iter().filter(|(owner, _)| *owner == tenant).collect();
        let place = |after: [u8; 16]| came.iter().position(|(_, id)| *id.as_bytes() == after);
        let start = page.after.and_then(place).map_or(0, |place| place + 1);
        came[start..].iter().filter_map(|key| self.tables.machines.get(key)).collect()
    }
}

/// Whether somebody else waits to be this machine, or its own caller under another key.
fn contests(hold: &Hold, machine: &Machine) -> bool {
    let key = hold.claimant.key.as_ref().map(PublicKey::fingerprint);
    hold.existing == Some(machine.id)
        && hold.state == HoldState::Open
        && (key != machine.key || hold.reason == HoldReason::KeyMismatch)
}

impl Lists for Moment {
    async fn machines(
        &mut self,
        tenant: TenantId,
        filter: &MachineFilter,
        page: PageRequest,
    ) -> Answered<Listed<MachineRow>> {
        let asked = words::asked(filter.search.as_deref().unwrap_or_default());
        let is_searched = !asked.is_empty() || !filter.terms.is_empty();
        let rest =
            if !is_searched { self.walked(tenant, page) } else { self.in_order(tenant, page) }.into_iter();
        let rest = rest
            .filter(|machine| filter.site.is_none_or(|site| machine.site == site))
            .filter(|machine| filter.takes(&machine.state))
            .filter(|machine| words::finds(&asked, machine))
            .filter(|machine| filter.terms.iter().all(|term| words::is_so(term, machine)));
        Ok(listed(rest.map(|machine| self.row(machine)), page, |row| *row.machine.id.as_bytes()))
    }

    async fn machine_row(&mut self, tenant: TenantId, id: MachineId) -> Answered<Option<MachineRow>> {
        Ok(self.tables.machines.get(&(tenant, id)).map(|machine| self.row(machine)))
    }

    async fn machine_counts(&mut self, tenant: TenantId) -> Answered<[u64; 4]> {
        Ok(["pending", "active", "suspended", "retired"].map(|state| {
            of(&self.tables.machines, tenant).filter(|machine| machine.state.as_str() == state).count() as u64
        }))
    }

    async fn credentials(
        &mut self,
        tenant: TenantId,
        machine: MachineId,
        limit: u32,
    ) -> Answered<Vec<Credential>> {
        let newest = of(&self.tables.credentials, tenant).rev();
        let of_machine = newest.filter(|credential| credential.machine == machine);
        Ok(of_machine.take(limit as usize).cloned().collect())
    }

    async fn sites(&mut self, tenant: TenantId, page: PageRequest) -> Answered<Listed<Site>> {
        let rest = of(&self.tables.sites, tenant).filter(|site| rising(&page, site.id.as_bytes()));
        Ok(listed(rest.cloned(), page, |site| *site.id.as_bytes()))
    }

    async fn grants(
        &mut self,
        tenant: TenantId,
        site: Option<SiteId>,
        page: PageRequest,
    ) -> Answered<Listed<Grant>> {
        let newest = of(&self.tables.grants, tenant).rev();
        let rest = newest
            .filter(|grant| site.is_none_or(|site| grant.site == site))
            .filter(|grant| falling(&page, grant.id.as_bytes()));
        Ok(listed(rest.cloned(), page, |grant| *grant.id.as_bytes()))
    }

    async fn has_imported_keys(&mut self, tenant: TenantId) -> Answered<bool> {
        Ok(of(&self.tables.grants, tenant).any(|grant| grant.imported.is_some()))
    }

    async fn imported_key(&mut self, tenant: TenantId, site: &SiteCode) -> Answered<Option<Grant>> {
        let site = of(&self.tables.sites, tenant).find(|known| known.code == *site).map(|known| known.id);
        let mut imported = of(&self.tables.grants, tenant).filter(|grant| grant.imported.is_some());
        Ok(imported.find(|grant| Some(grant.site) == site).cloned())
    }

    async fn holds(
        &mut self,
        tenant: TenantId,
        open_at: Option<Timestamp>,
        page: PageRequest,
    ) -> Answered<Listed<Hold>> {
        let newest = of(&self.tables.holds, tenant).rev();
        let rest = newest
            .filter(|hold| open_at.is_none_or(|now| hold.is_open(now.cut())))
            .filter(|hold| falling(&page, hold.id.as_bytes()));
        Ok(listed(rest.cloned(), page, |hold| *hold.id.as_bytes()))
    }

    async fn open_holds(&mut self, tenant: TenantId, now: Timestamp) -> Answered<u64> {
        Ok(of(&self.tables.holds, tenant).filter(|hold| hold.is_open(now.cut())).count() as u64)
    }

    async fn software_agents(&mut self, tenant: TenantId, page: PageRequest) -> Answered<Listed<AgentRow>> {
        let tables = &self.tables;
        let row = |agent: &SoftwareAgent| {
            let machine = tables.machines.get(&(tenant, agent.machine)).expect("an agent has a machine");
            let version = tables.engagements.get(&(tenant, (agent.machine, agent.version)));
            AgentRow {
                agent: agent.clone(),
                version: version.expect("a version in force is written").clone(),
                machine: machine.clone(),
                last_seen: tables
                    .presence
                    .get(&(tenant, agent.machine))
                    .and_then(|presence| presence.last_seen),
            }
        };
        let holders = of(&tables.agents, tenant).filter(|agent| agent.freed_at.is_none());
        let rest = holders
            .filter(|agent| rising(&page, agent.machine.as_bytes()))
            .map(row)
            .filter(|row| !matches!(row.machine.state, MachineState::Retired(_)));
        Ok(listed(rest, page, |row| *row.agent.machine.as_bytes()))
    }

    async fn access_tokens(&mut self, tenant: TenantId, page: PageRequest) -> Answered<Listed<AccessToken>> {
        let newest = of(&self.tables.tokens, tenant).rev();
        let rest = newest
            .filter(|token| token.kind != AccessKind::Login)
            .filter(|token| falling(&page, token.id.as_bytes()));
        Ok(listed(rest.cloned(), page, |token| *token.id.as_bytes()))
    }

    async fn accounts(
        &mut self,
        tenant: TenantId,
        filter: &AccountFilter,
        page: PageRequest,
    ) -> Answered<Listed<Account>> {
        let newest = of(&self.tables.accounts, tenant).rev();
        let rest = newest
            .filter(|account| filter.takes(account))
            .filter(|account| falling(&page, account.id.as_bytes()));
        Ok(listed(rest.cloned(), page, |account| *account.id.as_bytes()))
    }

    async fn machines_behind(
        &mut self,
        tenant: TenantId,
        behind: Behind,
        limit: u32,
    ) -> Answered<Vec<BehindMachine>> {
        let keyed = self.keyed().filter(|machine| machine.tenant == tenant);
        let behind = keyed.filter(|machine| self.is_behind(machine, behind));
        let shown = |machine: &Machine| BehindMachine {
            machine: machine.id,
            name: machine.name.clone(),
            bundle: self.bundle_of(machine),
        };
        Ok(behind.take(limit as usize).map(shown).collect())
    }

    async fn watched(&mut self) -> Answered<Vec<Watched>> {
        Ok(self
            .tables
            .watched
            .iter()
            .map(|(began, until)| Watched { began: *began, until: *until })
            .collect())
    }

    async fn quiet(
        &mut self,
        tenant: TenantId,
        due: Due,
        since: Timestamp,
        page: PageRequest,
    ) -> Answered<Listed<QuietRow>> {
        let since = since.cut();
        let rows = self.walked(tenant, page).into_iter().filter(|machine| match due {
            Due::Pause => matches!(machine.state, MachineState::Active(_)),
            Due::Retire => machine.state.is_silenced(),
        });
        let rows = rows.map(|machine| QuietRow { machine: machine.clone(), traces: self.traces(machine) });
        let rows = rows.filter(|QuietRow { machine, traces }| {
            let heard = [machine.enrolled_at, machine.lineage.at, traces.presence.last_seen, traces.issued];
            let is_before = |at: Option<Timestamp>| at.is_none_or(|at| at <= since);
            !traces.presence.online && machine.state.since() <= since && heard.into_iter().all(is_before)
        });
        Ok(listed(rows, page, |row| *row.machine.id.as_bytes()))
    }

    async fn count_silenced(&mut self, tenant: TenantId, since: Timestamp) -> Answered<u64> {
        let machines = of(&self.tables.machines, tenant).filter(|machine| machine.state.is_silenced());
        Ok(machines.filter(|machine| machine.state.since() > since.cut()).count() as u64)
    }

    async fn pulses(
        &mut self,
        tenant: TenantId,
        from: Timestamp,
        until: Timestamp,
        length: SignedDuration,
    ) -> Answered<Vec<Pulse>> {
        Ok(self.tables.pulses(tenant, (from.cut(), until.cut()), length))
    }

    async fn expiring(
        &mut self,
        tenant: TenantId,
        from: Timestamp,
        until: Timestamp,
    ) -> Answered<Vec<Expiry>> {
        Ok(self.tables.expiring(tenant, (from.cut(), until.cut())))
    }

    async fn versions(&mut self, tenant: TenantId, limit: u32) -> Answered<Vec<VersionUse>> {
        Ok(self.tables.versions(tenant, limit))
    }

    async fn audit(&mut self, tenant: TenantId, filter: &AuditFilter) -> Answered<Vec<AuditRecord>> {
        let of_tenant = self.tables.audit.iter().filter(|told| told.tenant == tenant);
        let found = of_tenant.map(|told| &told.record).filter(|record| fits(record, filter));
        let limit = filter.limit as usize;
        Ok(match (filter.after, filter.before) {
            (Some(after), _) => found.filter(|record| record.seq > after).take(limit).cloned().collect(),
            (None, before) => {
                let older = found.rev().filter(|record| before.is_none_or(|before| record.seq < before));
                older.take(limit).cloned().collect()
            }
        })
    }
}

fn fits(record: &AuditRecord, filter: &AuditFilter) -> bool {
    (!filter.alarms || ["alarm", "calm", "acknowledged"].contains(&record.reason.as_str()))
        && filter.action.as_ref().is_none_or(|action| record.action == *action)
        && filter.since.is_none_or(|since| record.at >= since)
        && filter.until.is_none_or(|until| record.at < until)
        && filter.object.as_ref().is_none_or(|object| record.object == *object)
        && filter.actor.as_ref().is_none_or(|actor| record.actor == *actor)
}
