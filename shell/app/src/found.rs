//! Founding a deployment on an empty store: the first tenant, its first site, an admin, and what binds the store to the
//! data directory that it was founded from.
//!
//! Invariant: nothing is written to a store that another directory founded.

use muster_lifecycle::{Context, Plan, access, deployment, site};
use muster_model::text::DisplayName;
use muster_model::{
    Actor, Deployment, DeploymentId, IncarnationId, Operator, OperatorId, OperatorRole, Pepper, Refusal,
    ReimagePolicy, Site, Tenant, TenantId,
};
use muster_store::{Decision, Reads, SettleError, Store, StoreError, Unscoped};
use thiserror::Error;

use crate::ports::{Ports, draw};

/// Code of the first tenant and its first site.
const FIRST: &str = "default";

/// What every deployment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Founded {
    /// The first tenant.
    pub tenant: TenantId,
    /// Its admin: who sits on the server's own host.
    pub admin: OperatorId,
    /// Which deployment it is.
    pub deployment: DeploymentId,
}

/// Why a deployment was neither founded nor found.
#[derive(Debug, Error)]
pub enum FoundError {
    /// The store holds a deployment that another directory founded. Nothing was written.
    #[error("wrong directory for this database: its deployment {there} was founded with another pepper")]
    WrongDirectory {
        /// The deployment in the store.
        there: DeploymentId,
    },
    /// It was not decided, or not written.
    #[error(transparent)]
    Settle(#[from] SettleError),
}

struct FoundDeployment {
    id: DeploymentId,
    proof: [u8; 32],
    incarnation: IncarnationId,
    context: Context,
}

struct FoundTenant {
    tenant: Tenant,
    site: Site,
    context: Context,
}

struct FoundAdmin {
    admin: Operator,
    context: Context,
}

/// Founds a deployment, or finds what an earlier start founded. A store of a version that knew no deployments gets one.
///
/// # Errors
/// [`FoundError::WrongDirectory`] where the pepper is not the one that the deployment was founded with; else what the
/// store says.
pub async fn found<S: Store>(
    store: &S,
    ports: &dyn Ports,
    pepper: &Pepper,
    hold_cap: u32,
) -> Result<Founded, FoundError> {
    let there = store.reader().await.map_err(SettleError::from)?.deployment().await;
    if let Some(there) = there.map_err(SettleError::from)? {
        ours(pepper, &there)?;
    }
    let now = ports.now();
    let tenant = Tenant { id: draw!(ports), code: first(), created_at: now };
    let context = |tenant| Context { tenant, actor: Actor::System, source: None, now, entry: draw!(ports) };
    let decision =
        FoundTenant { site: first_site(&tenant, ports, hold_cap), context: context(tenant.id), tenant };
    let tenant = store.settle(decision).await?.outcome().id;
    let id = draw!(ports);
    let (proof, incarnation) = (pepper.proof_of(id), draw!(ports));
    let decision = FoundDeployment { id, proof, incarnation, context: context(tenant) };
    let deployment = store.settle(decision).await?.into_parts().0;
    // Another server may have been faster.
    ours(pepper, &deployment)?;
    let admin = Operator {
        id: draw!(ports),
        tenant,
        name: admin_name(),
        role: OperatorRole::Admin,
        created_at: now,
        disabled_at: None,
        password: None,
        second: None,
    };
    let admin = store.settle(FoundAdmin { admin, context: context(tenant) }).await?.outcome().id;
    Ok(Founded { tenant, admin, deployment: deployment.id })
}

fn ours(pepper: &Pepper, deployment: &Deployment) -> Result<(), FoundError> {
    match pepper.founded(deployment) {
        true => Ok(()),
        false => Err(FoundError::WrongDirectory { there: deployment.id }),
    }
}

fn first<T: std::str::FromStr<Err: std::fmt::Debug>>() -> T {
    FIRST.parse().expect("a word is a valid code")
}

fn admin_name() -> DisplayName {
    "admin".parse().expect("a word is a valid name")
}

fn first_site(tenant: &Tenant, ports: &dyn Ports, hold_cap: u32) -> Site {
    Site {
        id: draw!(ports),
        tenant: tenant.id,
        code: first(),
        approval: false,
        requests: true,
        reimage: ReimagePolicy::KeylessOnly,
        seats: None,
        hold_cap,
        created_at: tenant.created_at,
    }
}

impl Decision for FoundDeployment {
    const NAME: &'static str = "deployment.found";
    type Facts = Option<Deployment>;
    type Outcome = Deployment;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Deployment>, StoreError> {
        reads.deployment().await
    }

    fn decide(&self, present: Option<Deployment>) -> Result<Plan<Deployment>, Refusal> {
        Ok(deployment::found(self.id, self.proof, self.incarnation, present, &self.context))
    }
}

impl Decision for FoundTenant {
    const NAME: &'static str = "tenant.found";
    type Facts = Option<Tenant>;
    type Outcome = Tenant;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Tenant>, StoreError> {
        Ok(reads.tenants().await?.into_iter().next())
    }

    fn decide(&self, present: Option<Tenant>) -> Result<Plan<Tenant>, Refusal> {
        Ok(site::found(self.tenant.clone(), self.site.clone(), present, &self.context))
    }
}

impl Decision for FoundAdmin {
    const NAME: &'static str = "operator.found";
    type Facts = Option<Operator>;
    type Outcome = Operator;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Operator>, StoreError> {
        let operators = reads.operators(self.context.tenant).await?;
        Ok(operators
            .into_iter()
            .find(|operator| operator.role == OperatorRole::Admin && operator.is_enabled()))
    }

    fn decide(&self, present: Option<Operator>) -> Result<Plan<Operator>, Refusal> {
        let make = || access::create_operator(self.admin.clone(), &self.context);
        Ok(present.map_or_else(make, Plan::unchanged))
    }
}
