//! Tenants and sites.

use muster_lifecycle::{SiteChange, TenantChange};
use muster_model::{ReimagePolicy, Site, SiteCode, SiteId, SiteUse, Tenant, TenantId, Timestamp};
use muster_store::{Listed, PageRequest, StoreError};

use super::reaper;
use crate::cells::{Cells, Parsed, Table, millis};
use crate::engine::{Engine, Row};
use crate::failure::invariant;
use crate::{sql, values};

static TENANTS: Table = Table { name: "tenants", key: "id", show: |id| TenantId::from_bytes(id).to_string() };
static SITES: Table = Table { name: "sites", key: "id", show: |id| SiteId::from_bytes(id).to_string() };

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, tenant_id, code, approval, requests, reimage, seats, hold_cap, created_at FROM sites ",
            $tail
        )
    };
}

fn parse(row: &dyn Row) -> Parsed<Site> {
    let mut cells = Cells::of(&SITES, row);
    Ok(Site {
        id: cells.id("id", SiteId::from_bytes)?,
        tenant: cells.id("tenant_id", TenantId::from_bytes)?,
        code: cells.text("code")?,
        approval: cells.flag("approval")?,
        requests: cells.flag("requests")?,
        reimage: cells.one_of("reimage", &ReimagePolicy::ALL, ReimagePolicy::as_str)?,
        seats: cells.get("seats")?,
        hold_cap: cells.get("hold_cap")?,
        created_at: cells.time("created_at")?,
    })
}

fn parse_tenant(row: &dyn Row) -> Parsed<Tenant> {
    let mut cells = Cells::of(&TENANTS, row);
    Ok(Tenant {
        id: cells.id("id", TenantId::from_bytes)?,
        code: cells.text("code")?,
        created_at: cells.time("created_at")?,
    })
}

pub(crate) async fn tenants<E: Engine>(db: &mut E) -> Result<Vec<Tenant>, StoreError> {
    const SQL: &str = "SELECT id, code, created_at FROM tenants ORDER BY id LIMIT 1000";
    sql::many(db, "read the tenants", SQL, &[], parse_tenant).await
}

pub(crate) async fn by_id<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    id: SiteId,
) -> Result<Option<Site>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND id = ?2");
    sql::one(db, "read a site", SQL, &values![tenant.as_bytes(), id.as_bytes()], parse).await
}

pub(crate) async fn by_code<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    code: &SiteCode,
) -> Result<Option<Site>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND code = ?2");
    sql::one(db, "read a site by its code", SQL, &values![tenant.as_bytes(), code.as_str()], parse).await
}

pub(crate) async fn only<E: Engine>(db: &mut E, tenant: TenantId) -> Result<Option<Site>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 LIMIT 2");
    let mut sites = sql::many(db, "read the only site", SQL, &values![tenant.as_bytes()], parse).await?;
    Ok(if sites.len() == 1 { sites.pop() } else { None })
}

pub(crate) async fn page<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    page: PageRequest,
) -> Result<Listed<Site>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
    let values = values![tenant.as_bytes(), sql::above(&page), sql::probe(page)];
    let sites = sql::many(db, "list sites", SQL, &values, parse).await?;
    Ok(sql::listed(sites, page, |site| *site.id.as_bytes()))
}

pub(crate) async fn usage<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    site: SiteId,
    now: Timestamp,
) -> Result<SiteUse, StoreError> {
    const SQL: &str = "SELECT (SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM machine_counts
            WHERE tenant_id = ?1 AND site_id = ?2 AND state <> 'retired') AS machines,
        (SELECT count(*) FROM holds
            WHERE tenant_id = ?1 AND site_id = ?2 AND state = 'open' AND expires_at > ?3) AS open_holds";
    let parse = |row: &dyn Row| {
        let mut cells = Cells::of(&SITES, row);
        Ok(SiteUse {
            machines: cells.get("machines")?,
            open_holds: cells.get("open_holds")?,
            from_network: 0,
        })
    };
    let values = values![tenant.as_bytes(), site.as_bytes(), millis(now)];
    let used = sql::one(db, "count what a site holds", SQL, &values, parse).await?;
    used.ok_or_else(|| invariant("count what a site holds", "a count that is no row"))
}

pub(crate) async fn apply_tenant<E: Engine>(
    db: &mut E,
    told_in: TenantId,
    change: &TenantChange,
) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO tenants (id, code, created_at) VALUES (?1, ?2, ?3)";
    let tenant = match change {
        TenantChange::Create(tenant) => tenant,
        TenantChange::Reaper(stop) => return reaper::apply(db, told_in, *stop).await,
    };
    let values = values![tenant.id.as_bytes(), tenant.code.as_str(), millis(tenant.created_at)];
    sql::run_one(db, "create a tenant", INSERT, &values).await
}

pub(crate) async fn apply<E: Engine>(db: &mut E, change: &SiteChange) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO sites
        (tenant_id, id, code, approval, requests, reimage, seats, hold_cap, created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let SiteChange::Create(site) = change;
    let values = values![
        site.tenant.as_bytes(),
        site.id.as_bytes(),
        site.code.as_str(),
        site.approval,
        site.requests,
        site.reimage.as_str(),
        site.seats,
        site.hold_cap,
        millis(site.created_at),
    ];
    sql::run_one(db, "create a site", INSERT, &values).await
}
