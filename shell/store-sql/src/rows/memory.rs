//! What is remembered to recognise a repeated request, nonces, and the lives that keys were shown in.

use muster_lifecycle::fork::{Boot, Boots};
use muster_lifecycle::lockout::{self, Failures};
use muster_lifecycle::nonce::UsedNonces;
use muster_lifecycle::{MemoryChange, Remembered};
use muster_model::{KeyFingerprint, TenantId, Timestamp};
use muster_store::StoreError;

use crate::cells::{Cells, Parsed, Table, millis};
use crate::engine::{Engine, Row};
use crate::failure::invariant;
use crate::{sql, values};

static REMEMBERED: Table = Table { name: "remembered", key: "key", show: |_| String::new() };
static BOOTS: Table = Table { name: "boots", key: "key", show: |_| String::new() };
static FAILURES: Table = Table { name: "failures", key: "key", show: |_| String::new() };
static NONCES: Table = Table { name: "nonces", key: "key", show: |_| String::new() };

fn parse(row: &dyn Row) -> Parsed<Remembered> {
    let mut cells = Cells::of(&REMEMBERED, row);
    Ok(Remembered {
        key: cells.get("key")?,
        request: cells.get("request")?,
        object: cells.get("object")?,
        at: cells.time("at")?,
    })
}

fn parse_nonces(row: &dyn Row) -> Parsed<UsedNonces> {
    let mut cells = Cells::of(&NONCES, row);
    let last = opt_place(&mut cells, "issued")?.ok_or_else(|| cells.broken("issued"))?;
    // Rows of before leaps were kept have none.
    let before = opt_place(&mut cells, "before_leap")?.unwrap_or(0);
    let since = opt_place(&mut cells, "after_leap")?.unwrap_or(last);
    let apart = stretches(cells.get::<Option<Vec<u8>>>("apart")?.as_deref().unwrap_or_default());
    Ok(UsedNonces { last, before, since, apart: apart.ok_or_else(|| cells.broken("apart"))? })
}

/// Each stretch is its first and its last place, eight bytes each.
fn stretches(bytes: &[u8]) -> Option<Vec<(u64, u64)>> {
    let (stretches, []) = bytes.as_chunks::<16>() else { return None };
    let place = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
    stretches.iter().map(|stretch| place(&stretch[..8]).zip(place(&stretch[8..]))).collect()
}

fn in_bytes(stretches: &[(u64, u64)]) -> Option<Vec<u8>> {
    let bytes = |&(first, last): &(u64, u64)| [first.to_be_bytes(), last.to_be_bytes()].concat();
    (!stretches.is_empty()).then(|| stretches.iter().flat_map(bytes).collect())
}

fn parse_boots(row: &dyn Row) -> Parsed<Boots> {
    let mut cells = Cells::of(&BOOTS, row);
    let present = cells.get("boot")?;
    let earlier = followed(cells.get::<Option<Vec<u8>>>("earlier")?.as_deref().unwrap_or_default());
    Ok(Boots { present, earlier: earlier.ok_or_else(|| cells.broken("earlier"))? })
}

fn parse_failures(row: &dyn Row) -> Parsed<Failures> {
    let mut cells = Cells::of(&FAILURES, row);
    let count: i64 = cells.get("count")?;
    Ok(Failures { count: u32::try_from(count).or(Err(cells.broken("count")))?, at: cells.time("at")? })
}

/// Each is the boot, and the time at which another one followed it, in milliseconds.
fn followed(bytes: &[u8]) -> Option<Vec<(Boot, Timestamp)>> {
    let (lives, []) = bytes.as_chunks::<24>() else { return None };
    let time = |bytes: &[u8]| {
        let millis = i64::from_be_bytes(bytes.try_into().ok()?);
        Timestamp::from_millisecond(millis).ok()
    };
    lives.iter().map(|life| life[..16].try_into().ok().zip(time(&life[16..]))).collect()
}

fn lives_in_bytes(earlier: &[(Boot, Timestamp)]) -> Option<Vec<u8>> {
    let life = |(boot, at): &(Boot, Timestamp)| [&boot[..], &millis(*at).to_be_bytes()].concat();
    (!earlier.is_empty()).then(|| earlier.iter().flat_map(life).collect())
}

fn opt_place(cells: &mut Cells<'_>, column: &'static str) -> Parsed<Option<u64>> {
    let Some(place) = cells.get::<Option<i64>>(column)? else { return Ok(None) };
    u64::try_from(place).ok().map(Some).ok_or_else(|| cells.broken(column))
}

fn place(place: u64) -> Result<i64, StoreError> {
    i64::try_from(place).ok().ok_or_else(|| invariant("remember a nonce", "its place is beyond 63 bits"))
}

pub(crate) async fn request<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    key: &[u8; 32],
) -> Result<Option<Remembered>, StoreError> {
    const SQL: &str = "SELECT key, request, object, at FROM remembered WHERE tenant_id = ?1 AND key = ?2";
    sql::one(db, "recall a request", SQL, &values![tenant.as_bytes(), key], parse).await
}

pub(crate) async fn used_nonces<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    key: KeyFingerprint,
) -> Result<Option<UsedNonces>, StoreError> {
    const SQL: &str = "SELECT issued, before_leap, after_leap, apart, key FROM nonces
        WHERE tenant_id = ?1 AND key = ?2";
    sql::one(db, "recall a nonce", SQL, &values![tenant.as_bytes(), &key.0], parse_nonces).await
}

pub(crate) async fn boots<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    key: KeyFingerprint,
) -> Result<Option<Boots>, StoreError> {
    const SQL: &str = "SELECT boot, earlier, key FROM boots WHERE tenant_id = ?1 AND key = ?2";
    sql::one(db, "recall the lives of a key", SQL, &values![tenant.as_bytes(), &key.0], parse_boots).await
}

pub(crate) async fn failures<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    key: &[u8; 32],
) -> Result<Option<Failures>, StoreError> {
    const SQL: &str = "SELECT count, at, key FROM failures WHERE tenant_id = ?1 AND key = ?2";
    sql::one(db, "recall failures", SQL, &values![tenant.as_bytes(), key], parse_failures).await
}

pub(crate) async fn apply<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    change: &MemoryChange,
) -> Result<(), StoreError> {
    const REMEMBER: &str =
        "INSERT INTO remembered (tenant_id, key, request, object, at) VALUES (?1, ?2, ?3, ?4, ?5)";
    const NONCE: &str = "INSERT INTO nonces (tenant_id, key, issued, before_leap, after_leap, apart)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (tenant_id, key) DO UPDATE SET issued = excluded.issued, before_leap = excluded.before_leap,
            after_leap = excluded.after_leap, apart = excluded.apart";
    const BOOTS: &str = "INSERT INTO boots (tenant_id, key, boot, earlier) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (tenant_id, key) DO UPDATE SET boot = excluded.boot, earlier = excluded.earlier";
    const FAILED: &str = "INSERT INTO failures (tenant_id, key, count, at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (tenant_id, key) DO UPDATE SET count = excluded.count, at = excluded.at";
    match change {
        MemoryChange::Request(remembered) => {
            let Remembered { key, request, object, at } = remembered;
            let values = values![tenant.as_bytes(), key, request, object, millis(*at)];
            sql::run_one(db, "remember a request", REMEMBER, &values).await
        }
        MemoryChange::Nonce { key, used } => {
            let [last, before, since] = [used.last, used.before, used.since].map(place);
            let apart = in_bytes(&used.apart);
            let values = values![tenant.as_bytes(), &key.0, last?, before?, since?, apart.as_deref()];
            sql::run_one(db, "remember a nonce", NONCE, &values).await
        }
        MemoryChange::Failures { key, failures } => {
            let values = values![tenant.as_bytes(), key, i64::from(failures.count), millis(failures.at)];
            sql::run_one(db, "remember failures", FAILED, &values).await
        }
        MemoryChange::Boots { key, boots } => {
            let earlier = lives_in_bytes(&boots.earlier);
            let values = values![tenant.as_bytes(), &key.0, &boots.present, earlier.as_deref()];
            sql::run_one(db, "remember a boot", BOOTS, &values).await
        }
    }
}

/// Forgets requests that were carried out before this, and failures of before this, at most so many of each; and what is
/// beyond the newest that are kept at all.
pub(crate) async fn prune<E: Engine>(db: &mut E, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    const SQL: &str = "DELETE FROM remembered WHERE (tenant_id, key) IN
        (SELECT tenant_id, key FROM remembered WHERE at < ?1 ORDER BY at LIMIT ?2)";
    const FAILURES: &str = "DELETE FROM failures WHERE (tenant_id, key) IN
        (SELECT tenant_id, key FROM failures WHERE at < ?1 ORDER BY at LIMIT ?2)";
    const BEYOND: &str = "DELETE FROM failures WHERE (tenant_id, key) IN
        (SELECT tenant_id, key FROM failures ORDER BY at DESC LIMIT ?1 OFFSET ?2)";
    let requests = sql::run(db, "forget old requests", SQL, &values![millis(before), limit]).await?;
    let failures = sql::run(db, "forget old failures", FAILURES, &values![millis(before), limit]).await?;
    let beyond = sql::run(db, "bound failures", BEYOND, &values![limit, lockout::MOST]).await?;
    Ok(requests + failures + beyond)
}
