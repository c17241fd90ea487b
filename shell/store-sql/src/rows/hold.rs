//! Holds.

use std::net::IpAddr;

use muster_lifecycle::HoldChange;
use muster_model::{
    Actor, Claimant, GrantId, HardwareId, Hold, HoldId, HoldReason, HoldState, KeyFingerprint, MachineId,
    MachineKind, PublicKey, ReasonText, SiteId, TenantId, Timestamp, Verifier,
};
use muster_store::{Listed, PageRequest, StoreError};

use crate::cells::{Cells, Parsed, Table, json, millis};
use crate::engine::{Engine, Row};
use crate::failure::invariant;
use crate::{sql, values};

static HOLDS: Table = Table { name: "holds", key: "id", show: |id| HoldId::from_bytes(id).to_string() };

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, tenant_id, site_id, reason, algorithm, spki, fingerprint, verifier, hardware_id, hostname,
                kind, attributes, source, method, existing, grant_id, state, decided_at, decided_by,
                decided_machine, decided_reason, asked, created_at, expires_at FROM holds ",
            $tail
        )
    };
}

fn parse(row: &dyn Row) -> Parsed<Hold> {
    let mut cells = Cells::of(&HOLDS, row);
    Ok(Hold {
        id: cells.id("id", HoldId::from_bytes)?,
        tenant: cells.id("tenant_id", TenantId::from_bytes)?,
        site: cells.id("site_id", SiteId::from_bytes)?,
        reason: cells.one_of("reason", &HoldReason::ALL, HoldReason::as_str)?,
        claimant: claimant(&mut cells)?,
        existing: cells.opt_id("existing", MachineId::from_bytes)?,
        grant: cells.opt_id("grant_id", GrantId::from_bytes)?,
        state: state(&mut cells)?,
        asked: cells.get("asked")?,
        created_at: cells.time("created_at")?,
        expires_at: cells.time("expires_at")?,
    })
}

fn claimant(cells: &mut Cells<'_>) -> Parsed<Claimant> {
    Ok(Claimant {
        key: cells.opt_key(["algorithm", "spki", "fingerprint"])?,
        verifier: cells.get::<Option<[u8; 32]>>("verifier")?.map(Verifier::from_bytes),
        hardware_id: cells.opt_text("hardware_id")?,
        hostname: cells.opt_text("hostname")?,
        kind: cells.one_of("kind", &MachineKind::ALL, MachineKind::as_str)?,
        attributes: cells.attributes("attributes")?,
        source: cells.opt_address("source")?,
        method: cells.text("method")?,
    })
}

fn state(cells: &mut Cells<'_>) -> Parsed<HoldState> {
    let state: Box<str> = cells.get("state")?;
    let at = cells.opt_time("decided_at")?;
    let by: Option<Actor> = cells.opt_actor("decided_by")?;
    let machine = cells.opt_id("decided_machine", MachineId::from_bytes)?;
    let reason: Option<ReasonText> = cells.opt_text("decided_reason")?;
    if matches!(&*state, "open" | "rejected") {
        cells.absent("decided_machine", &machine)?;
    }
    if matches!(&*state, "open" | "approved") {
        cells.absent("decided_reason", &reason)?;
    }
    match &*state {
        "open" => {
            cells.absent("decided_at", &at)?;
            cells.absent("decided_by", &by)?;
            Ok(HoldState::Open)
        }
        "approved" => Ok(HoldState::Approved {
            machine: cells.present("decided_machine", machine)?,
            at: cells.present("decided_at", at)?,
            by: cells.present("decided_by", by)?,
        }),
        "rejected" => Ok(HoldState::Rejected {
            at: cells.present("decided_at", at)?,
            by: cells.present("decided_by", by)?,
            reason,
        }),
        _ => Err(cells.broken("state")),
    }
}

pub(crate) async fn by_id<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    id: HoldId,
) -> Result<Option<Hold>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND id = ?2");
    sql::one(db, "read a hold", SQL, &values![tenant.as_bytes(), id.as_bytes()], parse).await
}

pub(crate) async fn anywhere<E: Engine>(db: &mut E, id: HoldId) -> Result<Option<Hold>, StoreError> {
    const SQL: &str = select!("WHERE id = ?1");
    sql::one(db, "read a hold in any tenant", SQL, &values![id.as_bytes()], parse).await
}

pub(crate) async fn by_key<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    key: KeyFingerprint,
) -> Result<Vec<Hold>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND fingerprint = ?2 ORDER BY id DESC LIMIT 16");
    sql::many(db, "read the holds of a key", SQL, &values![tenant.as_bytes(), &key.0], parse).await
}

pub(crate) async fn by_hardware<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    id: &HardwareId,
) -> Result<Vec<Hold>, StoreError> {
    const SQL: &str = select!(
        "WHERE tenant_id = ?1 AND id IN (
            SELECT id FROM holds
                WHERE tenant_id = ?1 AND hardware_id = ?2 AND fingerprint IS NULL AND verifier IS NULL
                ORDER BY CASE state WHEN 'open' THEN 1 ELSE 0 END, id DESC LIMIT 16)
            ORDER BY id DESC"
    );
    sql::many(db, "read the holds of hardware", SQL, &values![tenant.as_bytes(), id.as_str()], parse).await
}

pub(crate) async fn by_verifier<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    verifier: &Verifier,
) -> Result<Vec<Hold>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND verifier = ?2 ORDER BY id DESC LIMIT 16");
    let values = values![tenant.as_bytes(), verifier.as_bytes()];
    sql::many(db, "read the holds of a secret", SQL, &values, parse).await
}

pub(crate) async fn in_name<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    id: &HardwareId,
) -> Result<Option<Hold>, StoreError> {
    const SQL: &str = select!(
        "WHERE tenant_id = ?1 AND hardware_id = ?2 AND fingerprint IS NULL AND verifier IS NOT NULL
            ORDER BY id DESC LIMIT 1"
    );
    let values = values![tenant.as_bytes(), id.as_str()];
    sql::one(db, "read the newest hold in a name", SQL, &values, parse).await
}

pub(crate) async fn about<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    machine: MachineId,
) -> Result<Vec<Hold>, StoreError> {
    const SQL: &str = select!(
        "WHERE tenant_id = ?1 AND id IN (
            SELECT id FROM holds WHERE tenant_id = ?1 AND existing = ?2
                ORDER BY CASE state WHEN 'open' THEN 1 ELSE 0 END, id DESC LIMIT 16)
            ORDER BY id DESC"
    );
    sql::many(
        db,
        "read the holds about a machine",
        SQL,
        &values![tenant.as_bytes(), machine.as_bytes()],
        parse,
    )
    .await
}

/// Addresses are kept as text, so networks are told apart here; a site has few open holds.
pub(crate) async fn count_from<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    site: SiteId,
    network: IpAddr,
    now: Timestamp,
) -> Result<u64, StoreError> {
    const SQL: &str = "SELECT id, source FROM holds
        WHERE tenant_id = ?1 AND site_id = ?2 AND state = 'open' AND expires_at > ?3 AND grant_id IS NULL";
    let values = values![tenant.as_bytes(), site.as_bytes(), millis(now)];
    let parse = |row: &dyn Row| {
        let mut cells = Cells::of(&HOLDS, row);
        cells.id("id", HoldId::from_bytes)?;
        cells.opt_address("source")
    };
    let sources = sql::many(db, "count the holds of a network", SQL, &values, parse).await?;
    let here = sources.into_iter().flatten().filter(|source| muster_model::network(*source) == network);
    Ok(here.count() as u64)
}

pub(crate) async fn page<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    open_at: Option<Timestamp>,
    page: PageRequest,
) -> Result<Listed<Hold>, StoreError> {
    const ALL: &str = select!("WHERE tenant_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3");
    // No index has `coalesce(id, id)`: by way of the few that are open, not of all there ever were in the order of the page.
    const OPEN: &str = select!(
        "WHERE tenant_id = ?1 AND coalesce(id, id) < ?2 AND state = 'open' AND expires_at > ?4
            ORDER BY coalesce(id, id) DESC LIMIT ?3"
    );
    let (tenant, below, limit) = (tenant.as_bytes(), sql::below(&page), sql::probe(page));
    let holds = match open_at {
        None => sql::many(db, "list holds", ALL, &values![tenant, below, limit], parse).await,
        Some(now) => {
            sql::many(db, "list open holds", OPEN, &values![tenant, below, limit, millis(now)], parse).await
        }
    }?;
    Ok(sql::listed(holds, page, |hold| *hold.id.as_bytes()))
}

pub(crate) async fn count_open<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    const SQL: &str =
        "SELECT count(*) FROM holds WHERE tenant_id = ?1 AND state = 'open' AND expires_at > ?2";
    sql::count(db, "count open holds", SQL, &values![tenant.as_bytes(), millis(now)]).await
}

pub(crate) async fn apply<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    change: &HoldChange,
) -> Result<(), StoreError> {
    match change {
        HoldChange::Open(hold) => open(db, hold).await,
        HoldChange::Decide { hold, state } => decide(db, tenant, *hold, state).await,
    }
}

/// The columns of [`HoldState`], in their order.
struct StateColumns<'h> {
    at: Option<i64>,
    by: Option<String>,
    machine: Option<&'h [u8; 16]>,
    reason: Option<&'h str>,
}

impl<'h> StateColumns<'h> {
    fn of(state: &'h HoldState) -> Self {
        match state {
            HoldState::Open => Self { at: None, by: None, machine: None, reason: None },
            HoldState::Approved { machine, at, by } => Self {
                at: Some(millis(*at)),
                by: Some(by.to_string()),
                machine: Some(machine.as_bytes()),
                reason: None,
            },
            HoldState::Rejected { at, by, reason } => Self {
                at: Some(millis(*at)),
                by: Some(by.to_string()),
                machine: None,
                reason: reason.as_ref().map(ReasonText::as_str),
            },
        }
    }
}

/// The first decision stands: a decided hold is not decided again.
async fn decide<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    hold: HoldId,
    state: &HoldState,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE holds
        SET state = ?3, decided_at = ?4, decided_by = ?5, decided_machine = ?6, decided_reason = ?7
        WHERE tenant_id = ?1 AND id = ?2 AND state = 'open'";
    if matches!(state, HoldState::Open) {
        return Err(invariant("decide a hold", "open is no decision"));
    }
    let columns = StateColumns::of(state);
    let values = values![
        tenant.as_bytes(),
        hold.as_bytes(),
        state.as_str(),
        columns.at,
        columns.by.as_ref(),
        columns.machine,
        columns.reason
    ];
    sql::run_one(db, "decide a hold", SQL, &values).await
}

async fn open<E: Engine>(db: &mut E, hold: &Hold) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO holds
        (tenant_id, id, site_id, reason, algorithm, spki, fingerprint, hardware_id, hostname, kind, attributes,
            source, method, existing, grant_id, state, decided_at, decided_by, decided_machine, decided_reason,
            created_at, expires_at, verifier, asked)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22,
            ?23, ?24)";
    let claimant = &hold.claimant;
    let key = claimant.key.as_ref();
    let fingerprint = key.map(|key| key.fingerprint().0);
    let attributes = json(claimant.attributes.iter());
    let source = claimant.source.map(|source| source.to_string());
    let state = StateColumns::of(&hold.state);
    let values = values![
        hold.tenant.as_bytes(),
        hold.id.as_bytes(),
        hold.site.as_bytes(),
        hold.reason.as_str(),
        key.map(|key| key.algorithm().as_str()),
        key.map(PublicKey::spki),
        fingerprint.as_ref(),
        claimant.hardware_id.as_ref().map(HardwareId::as_str),
        claimant.hostname.as_ref().map(|name| name.as_str()),
        claimant.kind.as_str(),
        &attributes,
        source.as_ref(),
        claimant.method.as_str(),
        hold.existing.as_ref().map(MachineId::as_bytes),
        hold.grant.as_ref().map(GrantId::as_bytes),
        hold.state.as_str(),
        state.at,
        state.by.as_ref(),
        state.machine,
        state.reason,
        millis(hold.created_at),
        millis(hold.expires_at),
        claimant.verifier.as_ref().map(Verifier::as_bytes),
        hold.asked,
    ];
    sql::run_one(db, "open a hold", SQL, &values).await
}
