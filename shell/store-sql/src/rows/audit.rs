//! The audit log. Values of clients are data in `detail`, encoded as JSON, and cannot make an entry fail.

use muster_model::{AuditId, Entry, TenantId};
use muster_store::{AuditFilter, AuditRecord, StoreError};

use crate::cells::{Cells, Parsed, Table, json, millis};
use crate::engine::{Engine, Row};
use crate::{sql, values};

static AUDIT: Table = Table { name: "audit", key: "seq", show: |id| AuditId::from_bytes(id).to_string() };

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

/// How a statement gets to the entries that it then looks through.
macro_rules! pages {
    ($way:literal) => {
        [
            pages!(@of "seq < ?2 ", $way, " ORDER BY seq DESC LIMIT ?3"),
            pages!(@of "seq > ?2 ", $way, " ORDER BY seq LIMIT ?3"),
        ]
    };
    // What is only looked at is written so that no index can be walked by it.
    (@of $edge:literal, $way:literal, $order:literal) => {
        concat!(
            "SELECT seq, id, at, actor, action, object, reason, source, detail FROM audit WHERE tenant_id = ?1 AND ",
            $edge, $way,
            " AND coalesce(object, object) = coalesce(?4, object) AND coalesce(actor, actor) = coalesce(?5, actor)
            AND coalesce(action, action) = coalesce(?6, action) AND coalesce(at >= ?7, TRUE) AND coalesce(at < ?8, TRUE)",
            $order
        )
    };
}

pub(crate) async fn page<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    filter: &AuditFilter,
) -> Result<Vec<AuditRecord>, StoreError> {
    const ALL: [&str; 2] = pages!("");
    const OF_ALARMS: [&str; 2] = pages!("AND reason IN ('alarm', 'calm', 'acknowledged')");
    const OF_OBJECT: [&str; 2] = pages!("AND object = ?4");
    const OF_ACTOR: [&str; 2] = pages!("AND actor = ?5");
    let AuditFilter { object, actor, action, .. } = filter;
    // An object has fewer entries than an actor has.
    let [newest, oldest] = match (filter.alarms, object, actor) {
        (true, _, _) => OF_ALARMS,
        (false, Some(_), _) => OF_OBJECT,
        (false, None, Some(_)) => OF_ACTOR,
        (false, None, None) => ALL,
    };
    let (text, edge) = match filter.after {
        Some(after) => (oldest, after),
        None => (newest, filter.before.unwrap_or(i64::MAX as u64)),
    };
    let edge = i64::try_from(edge).unwrap_or(i64::MAX);
    let since = filter.since.map(millis);
    let until = filter.until.map(millis);
    let (object, actor, action) = (object.as_ref(), actor.as_ref(), action.as_ref());
    let values = values![tenant.as_bytes(), edge, filter.limit, object, actor, action, since, until];
    sql::many(db, "read the audit log", text, &values, parse).await
}
