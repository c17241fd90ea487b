//! What a fleet did, slot by slot, and what of it ends when.

use muster_model::pulse::day_of;
use muster_model::{
    Counted, Expiring, Expiry, Present, Pulse, SignedDuration, TenantId, Timestamp, VersionUse,
};
use muster_store::{PULSES, PulseNote, StoreError};

use crate::cells::{Cells, Parsed, Table, millis};
use crate::dialect::Dialect;
use crate::engine::{Engine, Row};
use crate::{sql, values};

const DAY: i64 = 86_400_000;

static PULSE: Table = Table { name: "pulse", key: "slot", show: |_| String::new() };
static ENDING: Table = Table { name: "credentials", key: "day", show: |_| String::new() };
static VERSIONS: Table = Table { name: "machines", key: "version", show: |_| String::new() };

/// Notes what a server counted, in place of what it noted of the same slots before.
///
/// # Errors
/// Those of the engine.
pub async fn note_pulse<E: Engine>(db: &mut E, notes: &[PulseNote]) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO pulse (at, tenant_id, replica, online, machines, enrolled, refused, ended)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (at, tenant_id, replica) DO UPDATE
            SET online = coalesce(excluded.online, pulse.online),
                machines = coalesce(excluded.machines, pulse.machines),
                enrolled = excluded.enrolled, refused = excluded.refused, ended = excluded.ended";
    for PulseNote { tenant, at, replica, present, counted } in notes {
        let (online, machines) =
            present.map(|Present { online, machines }| (number(online), number(machines))).unzip();
        let Counted { enrolled, refused, ended } = *counted;
        let values = values![
            millis(*at),
            tenant.as_bytes(),
            replica.as_bytes(),
            online,
            machines,
            number(enrolled),
            number(refused),
            number(ended)
        ];
        sql::run_one(db, "note a pulse", SQL, &values).await?;
    }
    Ok(())
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(crate) async fn pulses<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    (from, until): (Timestamp, Timestamp),
    length: SignedDuration,
) -> Result<Vec<Pulse>, StoreError> {
    const SQL: &str = "SELECT at - at % ?4 AS slot, min(online) AS least, max(online) AS most,
            max(machines) AS machines, CAST(sum(enrolled) AS bigint) AS enrolled,
            CAST(sum(refused) AS bigint) AS refused, CAST(sum(ended) AS bigint) AS ended
        FROM pulse WHERE at >= ?2 AND at < ?3 AND tenant_id = ?1 GROUP BY slot ORDER BY slot LIMIT ?5";
    let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX).max(1);
    let values = values![tenant.as_bytes(), millis(from), millis(until), length, PULSES];
    sql::many(db, "read what the fleet did", SQL, &values, parse).await
}

fn parse(row: &dyn Row) -> Parsed<Pulse> {
    let mut cells = Cells::of(&PULSE, row);
    let at = cells.time("slot")?;
    let (least, most): (Option<u64>, Option<u64>) = (cells.get("least")?, cells.get("most")?);
    Ok(Pulse {
        at,
        online: least.zip(most),
        machines: cells.get("machines")?,
        counted: Counted {
            enrolled: cells.get("enrolled")?,
            refused: cells.get("refused")?,
            ended: cells.get("ended")?,
        },
    })
}

pub(crate) async fn expiring<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<Expiry>, StoreError> {
    const SQL: &str = "SELECT day, what, count(*) AS n FROM (
            SELECT not_after / ?4 AS day,
                    CASE WHEN kind = 'certificate' THEN 'certificate' ELSE 'bearer_key' END AS what FROM credentials
                WHERE tenant_id = ?1 AND state = 'issued' AND not_after >= ?2 AND not_after < ?3
            UNION ALL SELECT expires_at / ?4, 'grant' FROM grants
                WHERE tenant_id = ?1 AND expires_at >= ?2 AND expires_at < ?3 AND state = 'live'
                    AND (uses <> 'once' OR bound_at IS NULL) AND (uses <> 'capped' OR uses_count < uses_limit)
            UNION ALL SELECT expires_at / ?4, 'api_token' FROM access_tokens
                WHERE tenant_id = ?1 AND expires_at >= ?2 AND expires_at < ?3 AND kind = 'api' AND ended_at IS NULL
        ) AS ending GROUP BY day, what";
    let values = values![tenant.as_bytes(), millis(from), millis(until), DAY];
    let mut found = sql::many(db, "read what ends", SQL, &values, parse_expiry).await?;
    found.sort_by_key(|expiry| (expiry.day, expiry.what));
    Ok(found)
}

fn parse_expiry(row: &dyn Row) -> Parsed<Expiry> {
    let mut cells = Cells::of(&ENDING, row);
    let day: i64 = cells.get("day")?;
    let day = day.checked_mul(DAY).and_then(|day| Timestamp::from_millisecond(day).ok());
    let day = day.map(day_of).ok_or_else(|| cells.broken("not_after"))?;
    let what = cells.one_of("what", &Expiring::ALL, Expiring::as_str)?;
    Ok(Expiry { day, what, count: cells.get("n")? })
}

pub(crate) async fn versions<E: Dialect>(
    db: &mut E,
    tenant: TenantId,
    limit: u32,
) -> Result<Vec<VersionUse>, StoreError> {
    let parse = |row: &dyn Row| {
        let mut cells = Cells::of(&VERSIONS, row);
        Ok(VersionUse { version: cells.get("version")?, machines: cells.get("n")? })
    };
    let asked = values![tenant.as_bytes(), limit];
    let mut found = sql::many(db, "count versions", E::TEXTS.versions, &asked, parse).await?;
    // Of as many machines each, in the order of their bytes: databases differ in how they order texts.
    found.sort_by(|one, other| (other.machines, &one.version).cmp(&(one.machines, &other.version)));
    Ok(found)
}

/// Slots that began long ago.
pub(crate) async fn prune<E: Engine>(db: &mut E, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    const SQL: &str = "DELETE FROM pulse WHERE (at, tenant_id, replica) IN
        (SELECT at, tenant_id, replica FROM pulse WHERE at < ?1 ORDER BY at LIMIT ?2)";
    sql::run(db, "forget what the fleet did long ago", SQL, &values![millis(before), limit]).await
}
