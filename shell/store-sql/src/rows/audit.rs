//! The audit log. Values of clients are data in `detail`, encoded as JSON, and cannot make an entry fail.

use muster_model::{AuditId, Entry, TenantId};
use muster_store::{AuditFilter, AuditRecord, StoreError};

use crate::cells::{Cells, Parsed, Table, json, millis};
use crate::engine::{Engine, Row};
use crate::{sql, values};

static AUDIT: Table = Table { name: "audit", key: "seq", show: |id| AuditId::from_bytes(id).to_string() };

macro_rules! select {
    ($tail:literal) => {
        concat!("SELECT seq, id, at, actor, action, object, reason, source, detail FROM audit ", $tail)
    };
}

fn parse(row: &dyn Row) -> Parsed<AuditRecord> {
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
pub(crate) async fn append<E: Engine>(db: &mut E, entry: &Entry) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO audit (tenant_id, id, at, actor, action, object, reason, source, detail)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let (actor, object) = (entry.actor.to_string(), entry.object.to_string());
    let source = entry.source.map(|source| source.to_string());
    let detail = json(entry.detail.iter().map(|(key, value)| (*key, value.as_str())));
    let values = values![
        entry.tenant.as_bytes(),
        entry.id.as_bytes(),
        millis(entry.at),
        &actor,
        entry.action,
        &object,
        entry.reason.0,
        source.as_ref(),
        &detail,
    ];
    sql::run_one(db, "append to the audit log", SQL, &values).await
}

pub(crate) async fn page<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    filter: &AuditFilter,
) -> Result<Vec<AuditRecord>, StoreError> {
    const NEWEST: &str = select!("WHERE tenant_id = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3");
    const NEWEST_OBJECT: &str =
        select!("WHERE tenant_id = ?1 AND seq < ?2 AND object = ?4 ORDER BY seq DESC LIMIT ?3");
    // By way of the object, of which there are fewer entries than of an actor.
    const NEWEST_BOTH: &str = select!(
        "WHERE tenant_id = ?1 AND seq < ?2 AND object = ?4 AND coalesce(actor, actor) = ?5 ORDER BY seq DESC LIMIT ?3"
    );
    const NEWEST_ACTOR: &str =
        select!("WHERE tenant_id = ?1 AND seq < ?2 AND actor = ?4 ORDER BY seq DESC LIMIT ?3");
    const OLDEST: &str = select!("WHERE tenant_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3");
    const OLDEST_OBJECT: &str =
        select!("WHERE tenant_id = ?1 AND seq > ?2 AND object = ?4 ORDER BY seq LIMIT ?3");
    const OLDEST_BOTH: &str = select!(
        "WHERE tenant_id = ?1 AND seq > ?2 AND object = ?4 AND coalesce(actor, actor) = ?5 ORDER BY seq LIMIT ?3"
    );
    const OLDEST_ACTOR: &str =
        select!("WHERE tenant_id = ?1 AND seq > ?2 AND actor = ?4 ORDER BY seq LIMIT ?3");
    const NEWEST_ALARMS: &str = select!(
        "WHERE tenant_id = ?1 AND seq < ?2 AND reason IN ('alarm', 'calm', 'acknowledged') ORDER BY seq DESC LIMIT ?3"
    );
    const OLDEST_ALARMS: &str = select!(
        "WHERE tenant_id = ?1 AND seq > ?2 AND reason IN ('alarm', 'calm', 'acknowledged') ORDER BY seq LIMIT ?3"
    );
    let (edge, [plain, of_object, of_actor, of_both, alarms]) = match (filter.after, filter.before) {
        (Some(after), _) => (after, [OLDEST, OLDEST_OBJECT, OLDEST_ACTOR, OLDEST_BOTH, OLDEST_ALARMS]),
        (None, before) => {
            let edge = before.unwrap_or(i64::MAX as u64);
            (edge, [NEWEST, NEWEST_OBJECT, NEWEST_ACTOR, NEWEST_BOTH, NEWEST_ALARMS])
        }
    };
    let edge = i64::try_from(edge).unwrap_or(i64::MAX);
    let (tenant, limit, what) = (tenant.as_bytes(), filter.limit, "read the audit log");
    match (&filter.object, &filter.actor) {
        _ if filter.alarms => sql::many(db, what, alarms, &values![tenant, edge, limit], parse).await,
        (None, None) => sql::many(db, what, plain, &values![tenant, edge, limit], parse).await,
        (None, Some(actor)) => {
            sql::many(db, what, of_actor, &values![tenant, edge, limit, actor], parse).await
        }
        (Some(object), None) => {
            sql::many(db, what, of_object, &values![tenant, edge, limit, object], parse).await
        }
        (Some(object), Some(actor)) => {
            sql::many(db, what, of_both, &values![tenant, edge, limit, object, actor], parse).await
        }
    }
}
