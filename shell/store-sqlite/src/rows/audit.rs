//! The audit log. Values of clients are data in `detail`, encoded as JSON, and cannot make an entry fail.

use muster_model::{AuditId, Entry, TenantId};
use muster_store::{AuditFilter, AuditRecord, StoreError};
use rusqlite::{Connection, Row, params};

use crate::cells::{Cells, Parsed, Table, json, millis};
use crate::sql;

static AUDIT: Table = Table { name: "audit", key: "seq", show: |id| AuditId::from_bytes(id).to_string() };

macro_rules! select {
    ($tail:literal) => {
        concat!("SELECT seq, id, at, actor, action, object, reason, source, detail FROM audit ", $tail)
    };
}

fn parse(row: &Row<'_>) -> Parsed<AuditRecord> {
    let mut cells = Cells::of(&AUDIT, row);
    let seq: i64 = cells.get("seq")?;
    Ok(AuditRecord {
        seq: u64::try_from(seq).ok().ok_or_else(|| cells.broken("seq"))?,
        id: cells.id("id", AuditId::from_bytes)?.to_string(),
        at: cells.time("at")?,
        actor: cells.get("actor")?,
        action: cells.get("action")?,
        object: cells.get("object")?,
        reason: cells.get("reason")?,
        source: cells.get("source")?,
        detail: cells.pairs("detail")?,
    })
}

/// Appends an entry.
pub(crate) fn append(db: &Connection, entry: &Entry) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO audit (tenant_id, id, at, actor, action, object, reason, source, detail)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values = params![
        entry.tenant.as_bytes(),
        entry.id.as_bytes(),
        millis(entry.at),
        entry.actor.to_string(),
        entry.action,
        entry.object.to_string(),
        entry.reason.0,
        entry.source.map(|source| source.to_string()),
        json(entry.detail.iter().map(|(key, value)| (*key, value.as_str()))),
    ];
    sql::run_one(db, "append to the audit log", SQL, values)
}

pub(crate) fn page(
    db: &Connection,
    tenant: TenantId,
    filter: &AuditFilter,
) -> Result<Vec<AuditRecord>, StoreError> {
    const NEWEST: &str = select!("WHERE tenant_id = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3");
    const NEWEST_OBJECT: &str = select!(
        "WHERE tenant_id = ?1 AND seq < ?2 AND object = ?4 AND (?5 IS NULL OR actor = ?5) ORDER BY seq DESC LIMIT ?3"
    );
    const NEWEST_ACTOR: &str =
        select!("WHERE tenant_id = ?1 AND seq < ?2 AND actor = ?4 ORDER BY seq DESC LIMIT ?3");
    const OLDEST: &str = select!("WHERE tenant_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3");
    const OLDEST_OBJECT: &str = select!(
        "WHERE tenant_id = ?1 AND seq > ?2 AND object = ?4 AND (?5 IS NULL OR actor = ?5) ORDER BY seq LIMIT ?3"
    );
    const OLDEST_ACTOR: &str =
        select!("WHERE tenant_id = ?1 AND seq > ?2 AND actor = ?4 ORDER BY seq LIMIT ?3");
    let (edge, [plain, of_object, of_actor]) = match (filter.after, filter.before) {
        (Some(after), _) => (after, [OLDEST, OLDEST_OBJECT, OLDEST_ACTOR]),
        (None, before) => (before.unwrap_or(i64::MAX as u64), [NEWEST, NEWEST_OBJECT, NEWEST_ACTOR]),
    };
    let edge = i64::try_from(edge).unwrap_or(i64::MAX);
    let (tenant, limit, what) = (tenant.as_bytes(), filter.limit, "read the audit log");
    match (&filter.object, &filter.actor) {
        (None, None) => sql::many(db, what, plain, params![tenant, edge, limit], parse),
        (None, Some(actor)) => sql::many(db, what, of_actor, params![tenant, edge, limit, actor], parse),
        (Some(object), actor) => {
            sql::many(db, what, of_object, params![tenant, edge, limit, object, actor], parse)
        }
    }
}
