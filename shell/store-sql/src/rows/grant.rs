//! Grants: tokens, generations of site keys, and grants for one pending machine.

use muster_lifecycle::GrantChange;
use muster_model::{
    Binding, Grant, GrantId, GrantKind, GrantState, ImportedHash, MachineId, MachineKind, SecretHash,
    SecretId, SiteCode, SiteId, TenantId, Timestamp, Uses,
};
use muster_store::{Listed, PageRequest, StoreError};

use crate::cells::{Cells, Parsed, Table, json, millis};
use crate::engine::{Engine, Row};
use crate::{sql, values};

static GRANTS: Table = Table { name: "grants", key: "id", show: |id| GrantId::from_bytes(id).to_string() };

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, tenant_id, site_id, kind, version, fingerprint, machine_id, secret, hash, imported, uses,
                uses_limit, uses_count, bound_at, bound_key, expires_at, labels, role, machine_kind, approval, state, ended_at,
                created_at FROM grants ",
            $tail
        )
    };
}

fn parse(row: &dyn Row) -> Parsed<Grant> {
    let mut cells = Cells::of(&GRANTS, row);
    let grant = Grant {
        id: cells.id("id", GrantId::from_bytes)?,
        tenant: cells.id("tenant_id", TenantId::from_bytes)?,
        site: cells.id("site_id", SiteId::from_bytes)?,
        kind: kind(&mut cells)?,
        secret: SecretId(cells.get("secret")?),
        hash: SecretHash(cells.get("hash")?),
        imported: cells.opt_text("imported")?,
        uses: uses(&mut cells)?,
        expires_at: cells.opt_time("expires_at")?,
        labels: cells.labels("labels")?,
        role: cells.opt_text("role")?,
        machine_kind: cells.opt_one_of("machine_kind", &MachineKind::ALL, MachineKind::as_str)?,
        approval: cells.flag("approval")?,
        state: state(&mut cells)?,
        created_at: cells.time("created_at")?,
    };
    let is_site_key = matches!(grant.kind, GrantKind::SiteKey { .. });
    let is_live = grant.state == GrantState::Live;
    if !(is_site_key && is_live) {
        cells.absent("imported", &grant.imported)?;
    }
    // Not known of a key that nobody has shown here.
    if is_live
        && grant.imported.is_none()
        && matches!(grant.kind, GrantKind::SiteKey { fingerprint: None, .. })
    {
        return Err(cells.broken("fingerprint"));
    }
    Ok(grant)
}

fn kind(cells: &mut Cells<'_>) -> Parsed<GrantKind> {
    let kind: Box<str> = cells.get("kind")?;
    let version: Option<u32> = cells.get("version")?;
    let fingerprint: Option<[u8; 2]> = cells.get("fingerprint")?;
    let machine = cells.opt_id("machine_id", MachineId::from_bytes)?;
    if matches!(&*kind, "token" | "machine") {
        cells.absent("version", &version)?;
        cells.absent("fingerprint", &fingerprint)?;
    }
    if matches!(&*kind, "token" | "site_key") {
        cells.absent("machine_id", &machine)?;
    }
    match &*kind {
        "token" => Ok(GrantKind::Token),
        "site_key" => Ok(GrantKind::SiteKey { version: cells.present("version", version)?, fingerprint }),
        "machine" => Ok(GrantKind::Machine(cells.present("machine_id", machine)?)),
        _ => Err(cells.broken("kind")),
    }
}

fn uses(cells: &mut Cells<'_>) -> Parsed<Uses> {
    let uses: Box<str> = cells.get("uses")?;
    let limit: Option<u32> = cells.get("uses_limit")?;
    let used: Option<u32> = cells.get("uses_count")?;
    let at = cells.opt_time("bound_at")?;
    let key = cells.opt_fingerprint("bound_key")?;
    if matches!(&*uses, "once" | "unlimited") {
        cells.absent("uses_limit", &limit)?;
        cells.absent("uses_count", &used)?;
    }
    if matches!(&*uses, "capped" | "unlimited") {
        cells.absent("bound_at", &at)?;
    }
    if at.is_none() {
        cells.absent("bound_key", &key)?;
    }
    match &*uses {
        "once" => Ok(Uses::Once(at.map(|at| Binding { key, at }))),
        "capped" => Ok(Uses::Capped {
            limit: cells.present("uses_limit", limit)?,
            used: cells.present("uses_count", used)?,
        }),
        "unlimited" => Ok(Uses::Unlimited),
        _ => Err(cells.broken("uses")),
    }
}

fn state(cells: &mut Cells<'_>) -> Parsed<GrantState> {
    let state: Box<str> = cells.get("state")?;
    let ended = cells.opt_time("ended_at")?;
    match &*state {
        "live" => cells.absent("ended_at", &ended).map(|()| GrantState::Live),
        "rotated_out" => cells.present("ended_at", ended).map(GrantState::RotatedOut),
        "revoked" => cells.present("ended_at", ended).map(GrantState::Revoked),
        _ => Err(cells.broken("state")),
    }
}

pub(crate) async fn by_id<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    id: GrantId,
) -> Result<Option<Grant>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND id = ?2");
    sql::one(db, "read a grant", SQL, &values![tenant.as_bytes(), id.as_bytes()], parse).await
}

pub(crate) async fn by_secret<E: Engine>(db: &mut E, secret: SecretId) -> Result<Option<Grant>, StoreError> {
    const SQL: &str = select!("WHERE secret = ?1");
    sql::one(db, "read a grant by its secret", SQL, &values![&secret.0], parse).await
}

pub(crate) async fn site_key<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    site: SiteId,
) -> Result<Option<Grant>, StoreError> {
    const SQL: &str =
        select!("WHERE tenant_id = ?1 AND site_id = ?2 AND kind = 'site_key' ORDER BY version DESC LIMIT 1");
    sql::one(db, "read a site's key", SQL, &values![tenant.as_bytes(), site.as_bytes()], parse).await
}

pub(crate) async fn any_imported<E: Engine>(db: &mut E, tenant: TenantId) -> Result<bool, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND imported IS NOT NULL LIMIT 1");
    let one = sql::one(db, "look for imported keys", SQL, &values![tenant.as_bytes()], parse).await?;
    Ok(one.is_some())
}

pub(crate) async fn imported<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    site: &SiteCode,
) -> Result<Option<Grant>, StoreError> {
    const SQL: &str = select!(
        "WHERE tenant_id = ?1 AND imported IS NOT NULL
            AND site_id = (SELECT s.id FROM sites s WHERE s.tenant_id = ?1 AND s.code = ?2)
            ORDER BY version DESC LIMIT 1"
    );
    let values = values![tenant.as_bytes(), site.as_str()];
    sql::one(db, "read a site's imported key", SQL, &values, parse).await
}

pub(crate) async fn of_machine<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    machine: MachineId,
) -> Result<Vec<Grant>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND machine_id = ?2 AND kind = 'machine' ORDER BY id");
    sql::many(db, "read the grants of a machine", SQL, &values![tenant.as_bytes(), machine.as_bytes()], parse)
        .await
}

pub(crate) async fn page<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    site: Option<SiteId>,
    page: PageRequest,
) -> Result<Listed<Grant>, StoreError> {
    const ALL: &str = select!("WHERE tenant_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3");
    const OF_SITE: &str =
        select!("WHERE tenant_id = ?1 AND id < ?2 AND site_id = ?4 ORDER BY id DESC LIMIT ?3");
    let (tenant, below, limit) = (tenant.as_bytes(), sql::below(&page), sql::probe(page));
    let grants = match site {
        None => sql::many(db, "list grants", ALL, &values![tenant, below, limit], parse).await,
        Some(site) => {
            let values = values![tenant, below, limit, site.as_bytes()];
            sql::many(db, "list grants of a site", OF_SITE, &values, parse).await
        }
    }?;
    Ok(sql::listed(grants, page, |grant| *grant.id.as_bytes()))
}

pub(crate) async fn apply<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    change: &GrantChange,
) -> Result<(), StoreError> {
    const END: &str =
        "UPDATE grants SET state = ?3, ended_at = ?4, imported = NULL WHERE tenant_id = ?1 AND id = ?2";
    const PROVE: &str = "UPDATE grants SET secret = ?3, hash = ?4, fingerprint = ?5, imported = NULL
        WHERE tenant_id = ?1 AND id = ?2 AND imported IS NOT NULL";
    match change {
        GrantChange::Create(grant) => create(db, grant).await,
        GrantChange::Draw { grant, uses } => draw(db, tenant, *grant, uses).await,
        GrantChange::Prove { grant, secret, hash, fingerprint } => {
            let (tenant, grant) = (tenant.as_bytes(), grant.as_bytes());
            let values = values![tenant, grant, &secret.0, &hash.0, fingerprint];
            sql::run_one(db, "prove a key", PROVE, &values).await
        }
        GrantChange::End { grant, state } => {
            let values = values![tenant.as_bytes(), grant.as_bytes(), state.as_str(), ended_at(state)];
            sql::run_one(db, "end a grant", END, &values).await
        }
    }
}

fn ended_at(state: &GrantState) -> Option<i64> {
    match state {
        GrantState::Live => None,
        GrantState::RotatedOut(at) | GrantState::Revoked(at) => Some(millis(*at)),
    }
}

/// The columns of [`Uses`], in their order.
struct UsesColumns {
    uses: &'static str,
    limit: Option<u32>,
    count: Option<u32>,
    bound_at: Option<Timestamp>,
    bound_key: Option<[u8; 32]>,
}

impl UsesColumns {
    fn of(uses: &Uses) -> Self {
        let none = Self { uses: "unlimited", limit: None, count: None, bound_at: None, bound_key: None };
        match uses {
            Uses::Once(binding) => Self {
                uses: "once",
                bound_at: binding.map(|binding| binding.at),
                bound_key: binding.and_then(|binding| binding.key).map(|key| key.0),
                ..none
            },
            Uses::Capped { limit, used } => {
                Self { uses: "capped", limit: Some(*limit), count: Some(*used), ..none }
            }
            Uses::Unlimited => none,
        }
    }
}

/// What is spent stays spent: a bound token is not bound again, and a count only rises.
async fn draw<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    grant: GrantId,
    uses: &Uses,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE grants SET uses_limit = ?4, uses_count = ?5, bound_at = ?6, bound_key = ?7
        WHERE tenant_id = ?1 AND id = ?2 AND uses = ?3
            AND bound_at IS NULL AND (uses_count IS NULL OR uses_count < ?5)";
    let columns = UsesColumns::of(uses);
    let values = values![
        tenant.as_bytes(),
        grant.as_bytes(),
        columns.uses,
        columns.limit,
        columns.count,
        columns.bound_at.map(millis),
        columns.bound_key.as_ref(),
    ];
    sql::run_one(db, "draw on a grant", SQL, &values).await
}

async fn create<E: Engine>(db: &mut E, grant: &Grant) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO grants
        (tenant_id, id, site_id, kind, version, fingerprint, machine_id, secret, hash, uses, uses_limit, uses_count,
            bound_at, bound_key, expires_at, labels, role, machine_kind, approval, state, ended_at, created_at,
            imported)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22,
            ?23)";
    let (kind, version, fingerprint, machine) = match grant.kind {
        GrantKind::Token => ("token", None, None, None),
        GrantKind::SiteKey { version, fingerprint } => ("site_key", Some(version), fingerprint, None),
        GrantKind::Machine(machine) => ("machine", None, None, Some(machine)),
    };
    let (uses, labels) = (UsesColumns::of(&grant.uses), json(grant.labels.iter()));
    let values = values![
        grant.tenant.as_bytes(),
        grant.id.as_bytes(),
        grant.site.as_bytes(),
        kind,
        version,
        fingerprint.as_ref(),
        machine.as_ref().map(MachineId::as_bytes),
        &grant.secret.0,
        &grant.hash.0,
        uses.uses,
        uses.limit,
        uses.count,
        uses.bound_at.map(millis),
        uses.bound_key.as_ref(),
        grant.expires_at.map(millis),
        &labels,
        grant.role.as_ref().map(|role| role.as_str()),
        grant.machine_kind.map(MachineKind::as_str),
        grant.approval,
        grant.state.as_str(),
        ended_at(&grant.state),
        millis(grant.created_at),
        grant.imported.as_ref().map(ImportedHash::as_str),
    ];
    sql::run_one(db, "create a grant", SQL, &values).await
}
