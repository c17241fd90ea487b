//! What the reaper goes by: when the fleet was watched, who is quiet, and whether it stopped.

use muster_lifecycle::reap::{Due, Stop, Traces, Watched};
use muster_model::{MachineId, TenantId, Timestamp};
use muster_store::{Listed, PageRequest, QuietRow, STRETCHES, StoreError};

use super::machine::{self, MACHINES};
use super::presence;
use crate::cells::{Cells, Parsed, Table, millis};
use crate::dialect::Dialect;
use crate::engine::{Engine, Row};
use crate::{sql, values};

static WATCHED: Table = Table { name: "watched", key: "began", show: |_| String::new() };
static REAPER: Table =
    Table { name: "reaper", key: "tenant_id", show: |id| TenantId::from_bytes(id).to_string() };
static CREDENTIALS: Table =
    Table { name: "credentials", key: "id", show: |id| MachineId::from_bytes(id).to_string() };

/// Notes a stretch, and forgets those that are more than may be kept.
///
/// # Errors
/// Those of the engine.
pub async fn note_watched<E: Engine>(db: &mut E, watched: Watched) -> Result<(), StoreError> {
    const NOTE: &str = "INSERT INTO watched (began, until) VALUES (?1, ?2)
        ON CONFLICT (began) DO UPDATE SET until = excluded.until WHERE watched.until < excluded.until";
    const FORGET: &str = "DELETE FROM watched
        WHERE until < (SELECT until FROM watched ORDER BY until DESC LIMIT 1 OFFSET ?1)";
    let values = values![millis(watched.began), millis(watched.until)];
    sql::run(db, "note that the fleet was watched", NOTE, &values).await?;
    sql::run(db, "forget when the fleet was watched", FORGET, &values![STRETCHES - 1]).await.map(drop)
}

pub(crate) async fn watched<E: Engine>(db: &mut E) -> Result<Vec<Watched>, StoreError> {
    const SQL: &str = "SELECT began, until FROM watched ORDER BY began";
    let parse = |row: &dyn Row| {
        let mut cells = Cells::of(&WATCHED, row);
        Ok(Watched { began: cells.time("began")?, until: cells.time("until")? })
    };
    sql::many(db, "read when the fleet was watched", SQL, &[], parse).await
}

pub(crate) async fn stop<E: Engine>(db: &mut E, tenant: TenantId) -> Result<Option<Stop>, StoreError> {
    const SQL: &str = "SELECT stopped_at, due, fleet, tenant_id FROM reaper WHERE tenant_id = ?1";
    let parse = |row: &dyn Row| {
        let mut cells = Cells::of(&REAPER, row);
        let since = cells.time("stopped_at")?;
        Ok(Stop { since, due: count(&mut cells, "due")?, fleet: count(&mut cells, "fleet")? })
    };
    sql::one(db, "read whether the reaper stopped", SQL, &values![tenant.as_bytes()], parse).await
}

fn count(cells: &mut Cells<'_>, column: &'static str) -> Parsed<u64> {
    let count: i64 = cells.get(column)?;
    u64::try_from(count).ok().ok_or_else(|| cells.broken(column))
}

/// Stops the reaper for a tenant, or lets it go on.
pub(crate) async fn apply<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    stop: Option<Stop>,
) -> Result<(), StoreError> {
    const STOP: &str = "INSERT INTO reaper (tenant_id, stopped_at, due, fleet) VALUES (?1, ?2, ?3, ?4)";
    const GO: &str = "DELETE FROM reaper WHERE tenant_id = ?1";
    let Some(Stop { since, due, fleet }) = stop else {
        return sql::run_one(db, "let the reaper go on", GO, &values![tenant.as_bytes()]).await;
    };
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let values = values![tenant.as_bytes(), millis(since), count(due), count(fleet)];
    sql::run_one(db, "stop the reaper", STOP, &values).await
}

pub(crate) async fn quiet<E: Dialect>(
    db: &mut E,
    tenant: TenantId,
    due: Due,
    since: Timestamp,
    page: PageRequest,
) -> Result<Listed<QuietRow>, StoreError> {
    let state = match due {
        Due::Pause => "active",
        Due::Retire => "suspended",
    };
    let values = values![tenant.as_bytes(), sql::above(&page), sql::probe(page), state, millis(since)];
    let rows = sql::many(db, "list who is quiet", E::TEXTS.quiet, &values, parse_quiet).await?;
    Ok(sql::listed(rows, page, |row| *row.machine.id.as_bytes()))
}

fn parse_quiet(row: &dyn Row) -> Parsed<QuietRow> {
    let mut cells = Cells::of(&MACHINES, row);
    let machine = machine::cells(&mut cells)?;
    let (presence, cells) = presence::cells(cells)?;
    let issued = cells.then(&CREDENTIALS).opt_time("issued")?;
    Ok(QuietRow { machine, traces: Traces { presence, issued } })
}

pub(crate) async fn count_silenced<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    since: Timestamp,
) -> Result<u64, StoreError> {
    const SQL: &str = "SELECT count(*) FROM machines WHERE tenant_id = ?1 AND state = 'suspended'
        AND state_cause = 'silent' AND state_since > ?2";
    let values = values![tenant.as_bytes(), millis(since)];
    sql::count(db, "count who was paused for silence", SQL, &values).await
}
