//! What every player stands on: one authority, and for each of them a tenant with two sites and an admin of its own.
//!
//! A tenant of its own is how a store is as good as new for each sequence: what others left behind must not show.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use muster_app::{Founded, Ports};
use muster_issuer::{Authority, NewAuthority, SealKey};
use muster_lifecycle::{AccessChange, Change, Context, Plan, SiteChange, TenantChange};
use muster_model::id::Draw;
use muster_model::{Actor, Object, Operator, OperatorRole, Refusal, ReimagePolicy, Site, Tenant, TenantId};
use muster_store::{Decision, Reads, SettleError, Store, StoreError, Unscoped};
use muster_testkit::FixedClock;
use tempfile::TempDir;

/// The authority's directory.
pub(crate) struct Ground {
    home: TempDir,
}

impl Ground {
    /// Makes an authority.
    pub(crate) fn new() -> Self {
        let private = std::fs::Permissions::from_mode(0o700);
        let home = tempfile::Builder::new().permissions(private).tempdir().expect("a temporary directory");
        let now = FixedClock::default().now();
        let new = NewAuthority { trust_domain: "fleet.test".parse().expect("a trust domain"), now };
        let ground = Self { home };
        Authority::create(&ground.ca_dir(), &SealKey::Beside, &new).expect("an authority");
        ground
    }

    /// The authority, once more.
    pub(crate) fn authority(&self) -> Authority {
        Authority::open(&self.ca_dir(), &SealKey::Beside).expect("the authority")
    }

    fn ca_dir(&self) -> PathBuf {
        self.home.path().join("ca")
    }
}

impl Default for Ground {
    fn default() -> Self {
        Self::new()
    }
}

struct Settle {
    tenant: Tenant,
    sites: [Site; 2],
    admin: Operator,
    context: Context,
}

fn draw<T: Draw>(ports: &dyn Ports) -> T {
    T::draw(ports.millis(), ports.random())
}

fn text<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("well-formed text")
}

/// Makes a tenant of that code: a site that lets everybody in, and a small one that asks.
///
/// # Errors
/// What the store says.
pub(crate) async fn settle<S: Store>(
    store: &S,
    ports: &dyn Ports,
    code: &str,
) -> Result<Founded, SettleError> {
    let now = ports.now();
    let tenant = Tenant { id: draw(ports), code: text(code), created_at: now };
    let open = Site {
        id: draw(ports),
        tenant: tenant.id,
        code: text("default"),
        approval: false,
        requests: true,
        reimage: ReimagePolicy::OfflineOnly,
        seats: None,
        hold_cap: 1_000_000,
        created_at: now,
    };
    let small = Site {
        id: draw(ports),
        code: text("small"),
        requests: false,
        reimage: ReimagePolicy::KeylessOnly,
        seats: Some(2),
        hold_cap: 3,
        ..open.clone()
    };
    let admin = Operator {
        id: draw(ports),
        tenant: tenant.id,
        name: text("admin"),
        role: OperatorRole::Admin,
        created_at: now,
        disabled_at: None,
        password: None,
        second: None,
    };
    let entry = draw(ports);
    let context = Context { tenant: tenant.id, actor: Actor::System, source: None, now, entry };
    let founded = Founded { tenant: tenant.id, admin: admin.id, deployment: draw(ports) };
    store.settle(Settle { tenant, sites: [open, small], admin, context }).await?;
    Ok(founded)
}

impl Decision for Settle {
    const NAME: &'static str = "proof.settle";
    type Facts = ();
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        let tenant: TenantId = self.tenant.id;
        let mut changes: Vec<Change> = vec![TenantChange::Create(self.tenant.clone()).into()];
        changes.extend(self.sites.iter().map(|site| SiteChange::Create(site.clone()).into()));
        changes.push(AccessChange::CreateOperator(self.admin.clone()).into());
        let entry = self.context.entry(Self::NAME, Object::Tenant(tenant), "proof");
        Ok(Plan::new((), changes, entry))
    }
}
