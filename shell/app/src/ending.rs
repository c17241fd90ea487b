//! Ending many machines at once, by what they have in common.
//!
//! A request takes a part of those that are meant, in the order of their identifiers, and tells where to go on. Each machine is
//! one decision with its own audit entry, so that a run that is broken off has done what it has done, and repeating it does
//! the rest. A dry run is the same decisions over the same facts, with nothing written.

use muster_lifecycle::ending::{self, Counts, Meant, Selector, Verb};
use muster_lifecycle::machine::Facts;
use muster_lifecycle::{Context, Plan};
use muster_model::{
    Grant, GrantId, Hold, HoldId, KeyFingerprint, Machine, MachineId, Object, OperatorId, ReasonText,
    Refusal, TenantId,
};
use muster_store::{
    Decision, Lists, MachineFilter, MachineRow, PageRequest, Reads, Store, StoreError, Unscoped,
};
use muster_wire::ending as wire;

use crate::App;
use crate::caller::Origin;
use crate::error::Error;
use crate::machine::MachineAct;

/// Machines that are read at a time, and looked at in one request.
const PAGE: u32 = 500;
const PAGES: u32 = 40;

/// What is to be done to whom.
#[derive(Debug, Clone)]
struct Task {
    verb: Verb,
    selector: Selector,
    reason: Option<ReasonText>,
    dry_run: bool,
}

/// A part of the machines that are meant.
#[derive(Debug, Default)]
struct Part {
    meant: Vec<MachineRow>,
    unknown: u64,
    /// The last machine that was looked at, where there are more.
    next: Option<MachineId>,
}

impl<S: Store> App<S> {
    /// Ends machines by what they have in common, or tells what would end.
    ///
    /// # Errors
    /// [`Error::Malformed`]; [`Refusal::NotFound`] for a site, a grant or an operator; [`Refusal::CountDiffers`] where
    /// another number of machines is meant than was expected: nothing was done.
    pub async fn end_machines(
        &self,
        request: wire::EndMachines,
        origin: &Origin,
    ) -> Result<wire::EndedMachines, Error> {
        let verb = request.verb.parse().map_err(|error| Error::field("verb", error))?;
        let fields = wire::EndMachinesFields::try_from(request)?;
        let (after, limit, expect) = (fields.after, fields.limit, fields.expect);
        let task = self.task(verb, fields, origin).await?;
        if let Some(expected) = expect.filter(|_| after.is_none()) {
            let found = self.count_meant(&task, origin).await?;
            if found != expected {
                let refusal = Refusal::CountDiffers { expected, found };
                return Err(self.refuse(origin, "machine.end", refusal).await);
            }
        }
        let mut counts = wire::EndedCounts::default();
        if after.is_none() && task.verb.ends_lineage() {
            count(&mut counts, self.end_lineage(&task, origin).await?);
        }
        let part = self.part(&task, after, limit, origin).await?;
        let mut machines = Vec::with_capacity(part.meant.len());
        for row in part.meant {
            let was_open = row.presence.online;
            let (id, name) = (row.machine.id, row.machine.name.to_string());
            let ended = self.end_one(&task, row.machine, origin).await?;
            if ended.machines > 0 {
                counts.channels += u64::from(was_open && task.verb.ends_lineage());
                machines.push(wire::EndedMachine { id: id.to_string(), name });
            }
            count(&mut counts, ended);
        }
        Ok(wire::EndedMachines {
            verb: task.verb.as_str().to_owned(),
            dry_run: task.dry_run,
            machines,
            counts,
            unknown_network: part.unknown,
            next: part.next.map(|id| id.to_string()),
        })
    }

    async fn task(
        &self,
        verb: Verb,
        fields: wire::EndMachinesFields,
        origin: &Origin,
    ) -> Result<Task, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let site = match &fields.site {
            Some(code) => Some(self.site_named(tenant, Some(code)).await?.id),
            None => None,
        };
        let approved_by = match &fields.approved_by {
            Some(operator) => Some(self.operator_named(tenant, operator).await?),
            None => None,
        };
        let selector = Selector {
            machines: fields.machines,
            site,
            grant: fields.grant,
            approved_by,
            since: fields.since,
            until: fields.until,
            network: fields.network,
            labels: fields.labels,
        };
        if selector.is_empty() {
            return Err(Error::field("machines", "are not named, nor what they have in common"));
        }
        self.are_there(tenant, &selector).await?;
        Ok(Task { verb, selector, reason: fields.reason, dry_run: fields.dry_run })
    }

    /// A slip in an identifier must not read as: there is nobody.
    async fn are_there(&self, tenant: TenantId, selector: &Selector) -> Result<(), Error> {
        let mut reads = self.reader().await?;
        if let Some(grant) = selector.grant
            && reads.grant(tenant, grant).await?.is_none()
        {
            return Err(Refusal::NotFound { what: "grant" }.into());
        }
        for machine in &selector.machines {
            if reads.machine(tenant, *machine).await?.is_none() {
                return Err(Refusal::NotFound { what: "machine" }.into());
            }
        }
        Ok(())
    }

    async fn operator_named(&self, tenant: TenantId, text: &str) -> Result<OperatorId, Error> {
        let operators = self.reader().await?.operators(tenant).await?;
        let named = |name: &str| name == text;
        let is_it = |id: OperatorId, name: &str| text.parse() == Ok(id) || named(name);
        let found = operators.into_iter().find(|one| is_it(one.id, one.name.as_str()));
        Ok(found.ok_or(Refusal::NotFound { what: "operator" })?.id)
    }

    /// How many machines are meant.
    async fn count_meant(&self, task: &Task, origin: &Origin) -> Result<u64, Error> {
        let (mut found, mut after) = (0, None);
        loop {
            let part = self.part(task, after, u32::MAX, origin).await?;
            found += part.meant.len() as u64;
            after = part.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// The next machines that are meant: at most so many, out of as many as one request looks at.
    async fn part(
        &self,
        task: &Task,
        after: Option<MachineId>,
        limit: u32,
        origin: &Origin,
    ) -> Result<Part, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let mut reads = self.reader().await?;
        if !task.selector.machines.is_empty() {
            return Ok(named(&mut reads, tenant, task, after, limit).await?);
        }
        // In whatever state: who is paused, or has ended, for its silence alone comes back by itself or by a word.
        let filter = MachineFilter { site: task.selector.site, ..MachineFilter::default() };
        let (mut part, mut last) = (Part::default(), after);
        for _ in 0..PAGES {
            let page = PageRequest { after: last.map(|id| *id.as_bytes()), limit: PAGE };
            let listed = reads.machines(tenant, &filter, page).await?;
            let more = listed.next.is_some();
            for row in listed.items {
                if part.meant.len() as u64 >= u64::from(limit) {
                    part.next = last;
                    return Ok(part);
                }
                last = Some(row.machine.id);
                part.sift(row, task);
            }
            if !more {
                return Ok(part);
            }
        }
        part.next = last;
        Ok(part)
    }

    /// One machine, by a decision of its own.
    async fn end_one(&self, task: &Task, machine: Machine, origin: &Origin) -> Result<Counts, Error> {
        let Task { verb, selector, reason, dry_run } = task.clone();
        let keys = self.keys_of(machine.id, origin).await?;
        let action = match verb {
            Verb::Suspend => "machine.suspend",
            Verb::Revoke => "machine.revoke",
            Verb::Retire => "machine.retire",
        };
        let act =
            MachineAct::new(self, machine.id, origin, action, move |facts: Facts, context: &Context| {
                ending::end(verb, &selector, facts, reason.clone(), context)
            });
        let act = act.with_keys(keys);
        if dry_run { self.rehearse(&act).await } else { self.settle(origin, act).await }
    }

    /// The grant that is named, so that nobody comes in by it any more, and who waits for a person.
    async fn end_lineage(&self, task: &Task, origin: &Origin) -> Result<Counts, Error> {
        let mut counts = Counts::default();
        if let Some(grant) = task.selector.grant {
            let act = EndGrant { grant, task: task.clone(), context: self.context(origin) };
            let ended = if task.dry_run { self.rehearse(&act).await } else { self.settle(origin, act).await };
            counts = counts.and(ended?);
        }
        for hold in self.waiting(task, origin).await? {
            let act = RefuseHold { hold, task: task.clone(), context: self.context(origin) };
            let ended = if task.dry_run { self.rehearse(&act).await } else { self.settle(origin, act).await };
            counts = counts.and(ended?);
        }
        Ok(counts)
    }

    /// Who waits for a person and is of the lineage.
    async fn waiting(&self, task: &Task, origin: &Origin) -> Result<Vec<HoldId>, Error> {
        let (tenant, now) = (self.tenant_of(&origin.caller), self.now());
        if task.selector.grant.is_none() && task.selector.network.is_none() {
            return Ok(Vec::new());
        }
        let mut reads = self.reader().await?;
        let (mut waiting, mut after) = (Vec::new(), None);
        loop {
            let listed = reads.holds(tenant, Some(now), PageRequest { after, limit: PAGE }).await?;
            let is_meant = |hold: &&Hold| task.selector.takes_hold(hold, now);
            waiting.extend(listed.items.iter().filter(is_meant).map(|hold| hold.id));
            after = listed.next;
            if after.is_none() {
                return Ok(waiting);
            }
        }
    }

    /// The keys of a machine as they are now: what they asked for is read before the machine itself, so that where a store
    /// locks what is read nobody waits in a circle.
    pub(crate) async fn keys_of(&self, id: MachineId, origin: &Origin) -> Result<Vec<KeyFingerprint>, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let keys = self.reader().await?.keys_of_machine(tenant, id).await?;
        Ok(keys.into_iter().map(|record| record.key.fingerprint()).collect())
    }
}

/// Those that are named one by one, in the order of their identifiers.
async fn named<R: Lists>(
    reads: &mut R,
    tenant: TenantId,
    task: &Task,
    after: Option<MachineId>,
    limit: u32,
) -> Result<Part, StoreError> {
    let mut ids = task.selector.machines.clone();
    ids.sort_unstable();
    ids.dedup();
    let mut part = Part::default();
    let mut last = after;
    for id in ids.into_iter().filter(|id| after.is_none_or(|after| after < *id)) {
        if part.meant.len() as u64 >= u64::from(limit) {
            part.next = last;
            break;
        }
        last = Some(id);
        if let Some(row) = reads.machine_row(tenant, id).await? {
            part.sift(row, task);
        }
    }
    Ok(part)
}

impl Part {
    fn sift(&mut self, row: MachineRow, task: &Task) {
        if !task.verb.applies(&row.machine.state) {
            return;
        }
        match task.selector.takes(&row.machine) {
            Meant::Yes => self.meant.push(row),
            Meant::Unknown => self.unknown += 1,
            Meant::No => {}
        }
    }
}

fn count(told: &mut wire::EndedCounts, ended: Counts) {
    told.add(&wire::EndedCounts {
        machines: ended.machines,
        certificates: ended.certificates,
        bearer_keys: ended.bearer_keys,
        sessions: ended.sessions,
        accounts: ended.accounts,
        grants: ended.grants,
        holds: ended.holds,
        channels: 0,
    });
}

struct EndGrant {
    grant: GrantId,
    task: Task,
    context: Context,
}

impl Decision for EndGrant {
    const NAME: &'static str = "grant.revoke";
    type Facts = Option<Grant>;
    type Outcome = Counts;

    fn object(&self) -> Object {
        Object::Grant(self.grant)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Grant>, StoreError> {
        reads.grant(self.context.tenant, self.grant).await
    }

    fn decide(&self, grant: Option<Grant>) -> Result<Plan<Counts>, Refusal> {
        ending::end_grant(&self.task.selector, grant, self.task.reason.clone(), &self.context)
    }
}

struct RefuseHold {
    hold: HoldId,
    task: Task,
    context: Context,
}

impl Decision for RefuseHold {
    const NAME: &'static str = "hold.reject";
    type Facts = Option<Hold>;
    type Outcome = Counts;

    fn object(&self) -> Object {
        Object::Hold(self.hold)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Hold>, StoreError> {
        reads.hold(self.context.tenant, self.hold).await
    }

    fn decide(&self, hold: Option<Hold>) -> Result<Plan<Counts>, Refusal> {
        ending::refuse_hold(&self.task.selector, hold, self.task.reason.clone(), &self.context)
    }
}
