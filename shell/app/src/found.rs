//! Founding a deployment on an empty store: the first tenant, its first site, and an admin.

use muster_lifecycle::{Context, Plan, access, site};
use muster_model::text::DisplayName;
use muster_model::{
    Actor, Operator, OperatorId, OperatorRole, Refusal, ReimagePolicy, Site, Tenant, TenantId,
};
use muster_store::{Decision, Reads, SettleError, Store, StoreError, Unscoped};

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

/// Founds a deployment, or finds what an earlier start founded.
///
/// # Errors
/// What the store says.
pub async fn found<S: Store>(store: &S, ports: &dyn Ports, hold_cap: u32) -> Result<Founded, SettleError> {
    let now = ports.now();
    let tenant = Tenant { id: draw!(ports), code: first(), created_at: now };
    let context = |tenant| Context { tenant, actor: Actor::System, source: None, now, entry: draw!(ports) };
    let decision =
        FoundTenant { site: first_site(&tenant, ports, hold_cap), context: context(tenant.id), tenant };
    let tenant = store.settle(decision).await?.outcome().id;
    let admin =
        Operator { id: draw!(ports), tenant, name: admin_name(), role: OperatorRole::Admin, created_at: now };
    let admin = store.settle(FoundAdmin { admin, context: context(tenant) }).await?.outcome().id;
    Ok(Founded { tenant, admin })
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

impl Decision for FoundTenant {
    const NAME: &'static str = "deployment.found";
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
        Ok(operators.into_iter().find(|operator| operator.role == OperatorRole::Admin))
    }

    fn decide(&self, present: Option<Operator>) -> Result<Plan<Operator>, Refusal> {
        let make = || access::create_operator(self.admin.clone(), &self.context);
        Ok(present.map_or_else(make, Plan::unchanged))
    }
}
