//! What is remembered to recognise a repeated request, and nonces.

use muster_lifecycle::{MemoryChange, Remembered};
use muster_model::{KeyFingerprint, TenantId, Timestamp};
use muster_store::StoreError;

use crate::cells::{Cells, Parsed, Table, millis};
use crate::engine::{Engine, Row};
use crate::failure::invariant;
use crate::{sql, values};

static REMEMBERED: Table = Table { name: "remembered", key: "key", show: |_| String::new() };
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

fn parse_nonce(row: &dyn Row) -> Parsed<u64> {
    let mut cells = Cells::of(&NONCES, row);
    let issued: i64 = cells.get("issued")?;
    u64::try_from(issued).ok().ok_or_else(|| cells.broken("issued"))
}

pub(crate) async fn request<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    key: &[u8; 32],
) -> Result<Option<Remembered>, StoreError> {
    const SQL: &str = "SELECT key, request, object, at FROM remembered WHERE tenant_id = ?1 AND key = ?2";
    sql::one(db, "recall a request", SQL, &values![tenant.as_bytes(), key], parse).await
}

pub(crate) async fn last_nonce<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    key: KeyFingerprint,
) -> Result<Option<u64>, StoreError> {
    const SQL: &str = "SELECT issued, key FROM nonces WHERE tenant_id = ?1 AND key = ?2";
    sql::one(db, "recall a nonce", SQL, &values![tenant.as_bytes(), &key.0], parse_nonce).await
}

pub(crate) async fn apply<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    change: &MemoryChange,
) -> Result<(), StoreError> {
    const REMEMBER: &str =
        "INSERT INTO remembered (tenant_id, key, request, object, at) VALUES (?1, ?2, ?3, ?4, ?5)";
    // A nonce that is not newer than the last one touches no row, and the plan fails.
    const NONCE: &str = "INSERT INTO nonces (tenant_id, key, issued) VALUES (?1, ?2, ?3)
        ON CONFLICT (tenant_id, key) DO UPDATE SET issued = excluded.issued WHERE excluded.issued > nonces.issued";
    match change {
        MemoryChange::Request(remembered) => {
            let Remembered { key, request, object, at } = remembered;
            let values = values![tenant.as_bytes(), key, request, object, millis(*at)];
            sql::run_one(db, "remember a request", REMEMBER, &values).await
        }
        MemoryChange::Nonce { key, issued } => {
            let issued = i64::try_from(*issued)
                .ok()
                .ok_or_else(|| invariant("remember a nonce", "its place is beyond 63 bits"))?;
            sql::run_one(db, "remember a nonce", NONCE, &values![tenant.as_bytes(), &key.0, issued]).await
        }
    }
}

/// Forgets requests that were carried out before this, at most so many.
pub(crate) async fn prune<E: Engine>(db: &mut E, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    const SQL: &str = "DELETE FROM remembered WHERE (tenant_id, key) IN
        (SELECT tenant_id, key FROM remembered WHERE at < ?1 ORDER BY at LIMIT ?2)";
    sql::run(db, "forget old requests", SQL, &values![millis(before), limit]).await
}
