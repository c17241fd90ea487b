//! Applies a plan: its changes in order, then its entries.

use muster_lifecycle::{Change, Plan};
use muster_model::{Entry, TenantId};
use muster_store::{Prune, StoreError};

use crate::dialect::WriteDialect;
use crate::engine::Engine;
use crate::failure::invariant;
use crate::rows::{
    access, account, agent, audit, credential, deployment, grant, hold, key, machine, memory, pulse, site,
};

/// Applies a plan that changes something. An [`MachineChange::Order`](muster_lifecycle::MachineChange::Order) leaves no row: an adapter with several processes
/// tells the others itself.
///
/// # Errors
/// [`StoreError::Invariant`] where the plan cannot be: nothing of its transaction may be committed then.
pub async fn plan<E: WriteDialect, O>(db: &mut E, plan: &Plan<O>) -> Result<(), StoreError> {
    let Some(first) = plan.entries().first() else {
        return Err(invariant("apply a plan", "it changes something and tells nothing"));
    };
    let tenant = first.tenant;
    if plan.entries().iter().any(|entry| entry.tenant != tenant) {
        return Err(invariant("apply a plan", "it tells of two tenants"));
    }
    for change in plan.changes() {
        of_tenant(change, tenant)?;
        apply(db, tenant, change).await?;
    }
    entries(db, plan.entries()).await
}

/// Appends entries.
pub async fn entries<E: Engine>(db: &mut E, entries: &[Entry]) -> Result<(), StoreError> {
    for entry in entries {
        audit::append(db, entry).await?;
    }
    Ok(())
}

/// Deletes requests, login links, sessions and pulses that are old enough, and tells how many rows went.
pub async fn prune<E: Engine>(db: &mut E, prune: &Prune) -> Result<u64, StoreError> {
    let requests = memory::prune(db, prune.remembered_before, prune.limit).await?;
    let sessions = access::prune(db, prune.access_before, prune.limit).await?;
    let pulses = pulse::prune(db, prune.pulses_before, prune.limit).await?;
    Ok(requests + sessions + pulses)
}

async fn apply<E: WriteDialect>(db: &mut E, tenant: TenantId, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::Deployment(change) => deployment::apply(db, change).await,
        Change::Tenant(change) => site::apply_tenant(db, tenant, change).await,
        Change::Site(change) => site::apply(db, change).await,
        Change::Grant(change) => grant::apply(db, tenant, change).await,
        Change::Machine(change) => machine::apply(db, change).await,
        Change::Key(change) => key::apply(db, tenant, change).await,
        Change::Hold(change) => hold::apply(db, tenant, change).await,
        Change::Credential(change) => credential::apply(db, tenant, change).await,
        Change::Agent(change) => agent::apply(db, tenant, change).await,
        Change::Access(change) => access::apply(db, tenant, change).await,
        Change::Account(change) => account::apply(db, tenant, change).await,
        Change::Memory(change) => memory::apply(db, tenant, change).await,
    }
}

/// A plan writes in the tenant that its entries tell of, and in no other.
fn of_tenant(change: &Change, tenant: TenantId) -> Result<(), StoreError> {
    use muster_lifecycle::{
        AccessChange, AccountChange, AgentChange, CredentialChange, GrantChange, HoldChange, MachineChange,
        SiteChange, TenantChange,
    };
    let named = match change {
        Change::Tenant(TenantChange::Create(tenant)) => tenant.id,
        Change::Site(SiteChange::Create(site)) => site.tenant,
        Change::Grant(GrantChange::Create(grant)) => grant.tenant,
        Change::Machine(MachineChange::Create(machine) | MachineChange::Update(machine)) => machine.tenant,
        Change::Hold(HoldChange::Open(hold)) => hold.tenant,
        Change::Credential(CredentialChange::Reserve(credential)) => credential.tenant,
        Change::Agent(AgentChange::Register(agent) | AgentChange::Update(agent)) => agent.tenant,
        Change::Agent(AgentChange::Engage(version)) => version.tenant,
        Change::Agent(AgentChange::Acknowledge { tenant, .. }) => *tenant,
        Change::Access(AccessChange::CreateOperator(operator) | AccessChange::UpdateOperator(operator)) => {
            operator.tenant
        }
        Change::Access(AccessChange::CreateToken(token)) => token.tenant,
        Change::Account(AccountChange::Create(account) | AccountChange::Update(account)) => account.tenant,
        Change::Deployment(_)
        | Change::Tenant(TenantChange::Reaper(_))
        | Change::Machine(MachineChange::Order { .. })
        | Change::Grant(GrantChange::Draw { .. } | GrantChange::Prove { .. } | GrantChange::End { .. })
        | Change::Key(_)
        | Change::Hold(HoldChange::Decide { .. })
        | Change::Credential(CredentialChange::State { .. })
        | Change::Access(
            AccessChange::EndToken { .. } | AccessChange::EndAllOf { .. } | AccessChange::RotateToken { .. },
        )
        | Change::Memory(_) => tenant,
    };
    if named == tenant { Ok(()) } else { Err(invariant("apply a plan", "it changes another tenant")) }
}
