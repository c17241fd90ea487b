//! Applies a plan: its changes in order, then its entries, in one savepoint.

use muster_lifecycle::{Change, Plan};
use muster_model::{Entry, TenantId};
use muster_store::StoreError;
use rusqlite::Connection;

use crate::failure::{failed, invariant};
use crate::rows::{access, audit, credential, grant, hold, key, machine, memory, site};
use crate::search::Pending;

/// Runs `work` in a savepoint: all of it stays, or nothing.
pub(crate) fn in_savepoint(
    db: &Connection,
    words: &mut Pending,
    work: impl FnOnce(&mut Pending) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    step(db, "SAVEPOINT work")?;
    let mut own = Pending::default();
    match work(&mut own) {
        Ok(()) => {
            step(db, "RELEASE work")?;
            words.append(own);
            Ok(())
        }
        Err(error) => {
            // After some errors SQLite has rolled the whole transaction back itself: then there is no savepoint left.
            if !db.is_autocommit() {
                step(db, "ROLLBACK TO work")?;
                step(db, "RELEASE work")?;
            }
            Err(error)
        }
    }
}

pub(crate) fn step(db: &Connection, sql: &'static str) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(failed(sql))?;
    statement.execute([]).map(|_| ()).map_err(failed(sql))
}

/// Applies a plan that changes something.
pub(crate) fn plan<O>(db: &Connection, words: &mut Pending, plan: &Plan<O>) -> Result<(), StoreError> {
    let Some(first) = plan.entries().first() else {
        return Err(invariant("apply a plan", "it changes something and tells nothing"));
    };
    let tenant = first.tenant;
    if plan.entries().iter().any(|entry| entry.tenant != tenant) {
        return Err(invariant("apply a plan", "it tells of two tenants"));
    }
    in_savepoint(db, words, |words| {
        for change in plan.changes() {
            of_tenant(change, tenant)?;
            apply(db, words, tenant, change)?;
        }
        plan.entries().iter().try_for_each(|entry| audit::append(db, entry))
    })
}

/// Entries that tell of no change.
pub(crate) fn entries(db: &Connection, words: &mut Pending, entries: &[Entry]) -> Result<(), StoreError> {
    in_savepoint(db, words, |_| entries.iter().try_for_each(|entry| audit::append(db, entry)))
}

fn apply(db: &Connection, words: &mut Pending, tenant: TenantId, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::Tenant(change) => site::apply_tenant(db, change),
        Change::Site(change) => site::apply(db, change),
        Change::Grant(change) => grant::apply(db, tenant, change),
        Change::Machine(change) => machine::apply(db, words, change),
        Change::Key(change) => key::apply(db, tenant, change),
        Change::Hold(change) => hold::apply(db, tenant, change),
        Change::Credential(change) => credential::apply(db, tenant, change),
        Change::Access(change) => access::apply(db, tenant, change),
        Change::Memory(change) => memory::apply(db, tenant, change),
    }
}

/// A plan writes in the tenant that its entries tell of, and in no other.
fn of_tenant(change: &Change, tenant: TenantId) -> Result<(), StoreError> {
    use muster_lifecycle::{
        AccessChange, CredentialChange, GrantChange, HoldChange, MachineChange, SiteChange, TenantChange,
    };
    let named = match change {
        Change::Tenant(TenantChange::Create(tenant)) => tenant.id,
        Change::Site(SiteChange::Create(site)) => site.tenant,
        Change::Grant(GrantChange::Create(grant)) => grant.tenant,
        Change::Machine(MachineChange::Create(machine) | MachineChange::Update(machine)) => machine.tenant,
        Change::Hold(HoldChange::Open(hold)) => hold.tenant,
        Change::Credential(CredentialChange::Reserve(credential)) => credential.tenant,
        Change::Access(AccessChange::CreateOperator(operator)) => operator.tenant,
        Change::Access(AccessChange::CreateToken(token)) => token.tenant,
        Change::Grant(GrantChange::Draw { .. } | GrantChange::End { .. })
        | Change::Key(_)
        | Change::Hold(HoldChange::Decide { .. })
        | Change::Credential(CredentialChange::State { .. })
        | Change::Access(AccessChange::EndToken { .. })
        | Change::Memory(_) => tenant,
    };
    if named == tenant { Ok(()) } else { Err(invariant("apply a plan", "it changes another tenant")) }
}
