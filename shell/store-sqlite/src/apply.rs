//! Applies a plan: its changes in order, then its entries.

use muster_lifecycle::{Change, Plan};
use muster_model::{Entry, TenantId};
use muster_store::StoreError;
use rusqlite::Connection;

use crate::failure::invariant;
use crate::rows::{access, audit, credential, deployment, grant, hold, key, machine, memory, site};
use crate::search::Pending;

/// Applies a plan that changes something.
pub(crate) fn plan<O>(db: &Connection, words: &mut Pending, plan: &Plan<O>) -> Result<(), StoreError> {
    let Some(first) = plan.entries().first() else {
        return Err(invariant("apply a plan", "it changes something and tells nothing"));
    };
    let tenant = first.tenant;
    if plan.entries().iter().any(|entry| entry.tenant != tenant) {
        return Err(invariant("apply a plan", "it tells of two tenants"));
    }
    for change in plan.changes() {
        of_tenant(change, tenant)?;
        apply(db, words, tenant, change)?;
    }
    entries(db, plan.entries())
}

/// Appends entries.
pub(crate) fn entries(db: &Connection, entries: &[Entry]) -> Result<(), StoreError> {
    entries.iter().try_for_each(|entry| audit::append(db, entry))
}

fn apply(db: &Connection, words: &mut Pending, tenant: TenantId, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::Deployment(change) => deployment::apply(db, change),
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
        Change::Deployment(_)
        | Change::Machine(MachineChange::Order { .. })
        | Change::Grant(GrantChange::Draw { .. } | GrantChange::End { .. })
        | Change::Key(_)
        | Change::Hold(HoldChange::Decide { .. })
        | Change::Credential(CredentialChange::State { .. })
        | Change::Access(AccessChange::EndToken { .. })
        | Change::Memory(_) => tenant,
    };
    if named == tenant { Ok(()) } else { Err(invariant("apply a plan", "it changes another tenant")) }
}
