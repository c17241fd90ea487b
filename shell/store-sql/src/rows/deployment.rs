//! The deployment itself, and the newest place of its log.

use muster_lifecycle::DeploymentChange;
use muster_model::{AuditId, Deployment, DeploymentId, EntryPlace, Gap, IncarnationId, Object, TenantId};
use muster_store::StoreError;

use crate::cells::{Cells, Parsed, Table, millis};
use crate::engine::{Engine, Row};
use crate::{sql, values};

static DEPLOYMENT: Table =
    Table { name: "deployment", key: "id", show: |id| DeploymentId::from_bytes(id).to_string() };
static INCARNATIONS: Table =
    Table { name: "incarnations", key: "id", show: |id| IncarnationId::from_bytes(id).to_string() };
static AUDIT: Table = Table { name: "audit", key: "id", show: |id| AuditId::from_bytes(id).to_string() };

pub(crate) async fn deployment<E: Engine>(db: &mut E) -> Result<Option<Deployment>, StoreError> {
    const SQL: &str = "SELECT id, proof FROM deployment";
    const INCARNATIONS: &str = "SELECT id, gap_incarnation, gap_seen, gap_found FROM incarnations ORDER BY n";
    let what = "read the deployment";
    let Some((id, proof)) = sql::one(db, what, SQL, &[], parse).await? else { return Ok(None) };
    let began = sql::many(db, "read the incarnations", INCARNATIONS, &[], parse_incarnation).await?;
    let gap = began.last().and_then(|(_, gap)| *gap);
    let incarnations = began.into_iter().map(|(incarnation, _)| incarnation).collect();
    Ok(Some(Deployment { id, proof, incarnations, gap }))
}

fn parse(row: &dyn Row) -> Parsed<(DeploymentId, [u8; 32])> {
    let mut cells = Cells::of(&DEPLOYMENT, row);
    Ok((cells.id("id", DeploymentId::from_bytes)?, cells.get("proof")?))
}

fn parse_incarnation(row: &dyn Row) -> Parsed<(IncarnationId, Option<Gap>)> {
    let mut cells = Cells::of(&INCARNATIONS, row);
    let id = cells.id("id", IncarnationId::from_bytes)?;
    let gap = match cells.opt_id("gap_incarnation", IncarnationId::from_bytes)? {
        Some(incarnation) => Some(Gap {
            incarnation,
            seen: place(&mut cells, "gap_seen")?,
            found: place(&mut cells, "gap_found")?,
        }),
        None => None,
    };
    Ok((id, gap))
}

pub(crate) async fn newest_entry<E: Engine>(db: &mut E) -> Result<Option<EntryPlace>, StoreError> {
    const SQL: &str = "SELECT seq, id FROM audit ORDER BY seq DESC LIMIT 1";
    sql::one(db, "read the newest audit entry", SQL, &[], parse_place).await
}

pub(crate) async fn has_entry<E: Engine>(db: &mut E, place: EntryPlace) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT seq, id FROM audit WHERE seq = ?1";
    let seq = i64::try_from(place.seq).unwrap_or(i64::MAX);
    let found = sql::one(db, "look for an audit entry", SQL, &values![seq], parse_place).await?;
    Ok(found == Some(place))
}

pub(crate) async fn has_entry_about<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    object: Object,
    id: AuditId,
) -> Result<bool, StoreError> {
    // By way of the object, which has few: entries have no index of their names.
    const SQL: &str = "SELECT count(*) FROM audit WHERE tenant_id = ?1 AND object = ?2 AND id = ?3";
    let (object, what) = (object.to_string(), "look for an audit entry");
    Ok(sql::count(db, what, SQL, &values![tenant.as_bytes(), &object, id.as_bytes()]).await? > 0)
}

fn parse_place(row: &dyn Row) -> Parsed<EntryPlace> {
    let mut cells = Cells::of(&AUDIT, row);
    let seq = place(&mut cells, "seq")?;
    Ok(EntryPlace { seq, id: cells.id("id", AuditId::from_bytes)? })
}

fn place(cells: &mut Cells<'_>, column: &'static str) -> Parsed<u64> {
    let place: i64 = cells.get(column)?;
    u64::try_from(place).ok().ok_or_else(|| cells.broken(column))
}

pub(crate) async fn apply<E: Engine>(db: &mut E, change: &DeploymentChange) -> Result<(), StoreError> {
    const FOUND: &str = "INSERT INTO deployment (one, id, proof) VALUES (1, ?1, ?2)";
    const BEGIN: &str = "INSERT INTO incarnations (n, id, at)
        VALUES ((SELECT coalesce(max(n), 0) + 1 FROM incarnations), ?1, ?2)";
    let (incarnation, at) = match change {
        DeploymentChange::Found { id, proof, incarnation, at } => {
            sql::run_one(db, "found the deployment", FOUND, &values![id.as_bytes(), proof]).await?;
            (incarnation, at)
        }
        DeploymentChange::Accept { incarnation, at } => (incarnation, at),
        DeploymentChange::Doubt { gap } => return doubt(db, gap).await,
        DeploymentChange::Authority(ca) => return super::ca::put(db, ca).await,
    };
    sql::run_one(db, "begin an incarnation", BEGIN, &values![incarnation.as_bytes(), millis(*at)]).await
}

async fn doubt<E: Engine>(db: &mut E, gap: &Gap) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE incarnations SET gap_incarnation = ?1, gap_seen = ?2, gap_found = ?3
        WHERE gap_incarnation IS NULL AND n = (SELECT max(n) FROM incarnations)";
    let place = |place: u64| i64::try_from(place).unwrap_or(i64::MAX);
    let values = values![gap.incarnation.as_bytes(), place(gap.seen), place(gap.found)];
    sql::run_one(db, "doubt an incarnation", SQL, &values).await
}
