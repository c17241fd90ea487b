//! The deployment itself, and the newest place of its log.

use muster_lifecycle::DeploymentChange;
use muster_model::{AuditId, Deployment, DeploymentId, EntryPlace, IncarnationId};
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
    const INCARNATIONS: &str = "SELECT id FROM incarnations ORDER BY n";
    let what = "read the deployment";
    let Some((id, proof)) = sql::one(db, what, SQL, &[], parse).await? else { return Ok(None) };
    let incarnations = sql::many(db, "read the incarnations", INCARNATIONS, &[], parse_incarnation).await?;
    Ok(Some(Deployment { id, proof, incarnations }))
}

fn parse(row: &dyn Row) -> Parsed<(DeploymentId, [u8; 32])> {
    let mut cells = Cells::of(&DEPLOYMENT, row);
    Ok((cells.id("id", DeploymentId::from_bytes)?, cells.get("proof")?))
}

fn parse_incarnation(row: &dyn Row) -> Parsed<IncarnationId> {
    Cells::of(&INCARNATIONS, row).id("id", IncarnationId::from_bytes)
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

fn parse_place(row: &dyn Row) -> Parsed<EntryPlace> {
    let mut cells = Cells::of(&AUDIT, row);
    let seq: i64 = cells.get("seq")?;
    let seq = u64::try_from(seq).ok().ok_or_else(|| cells.broken("seq"))?;
    Ok(EntryPlace { seq, id: cells.id("id", AuditId::from_bytes)? })
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
    };
    sql::run_one(db, "begin an incarnation", BEGIN, &values![incarnation.as_bytes(), millis(*at)]).await
}
