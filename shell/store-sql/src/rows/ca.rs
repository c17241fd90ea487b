//! The change of the certificate authority, and which machines hold which bundle of roots.

use muster_model::{Ca, CaPhase, CredentialId, MachineId, TenantId, Timestamp};
use muster_store::{Behind, BehindMachine, StoreError};

use crate::cells::{Cells, Parsed, Table, millis};
use crate::engine::{Engine, Row};
use crate::{sql, values};

static CA: Table = Table { name: "ca", key: "one", show: |id| format!("{id:?}") };
static MACHINES: Table =
    Table { name: "machines", key: "id", show: |id| MachineId::from_bytes(id).to_string() };

pub(crate) async fn ca<E: Engine>(db: &mut E) -> Result<Option<Ca>, StoreError> {
    const SQL: &str = "SELECT one, revision, bundle, phase, since, signs_since, rotate_before, before, sealed
        FROM ca";
    sql::one(db, "read the change of the authority", SQL, &[], parse).await
}

fn parse(row: &dyn Row) -> Parsed<Ca> {
    let mut cells = Cells::of(&CA, row);
    cells.get::<i64>("one")?;
    let revision = number(&mut cells, "revision")?;
    let bundle = number(&mut cells, "bundle")?;
    let name = cells.get::<Box<str>>("phase")?;
    let since = cells.time("since")?;
    let signs_since = cells.opt_time("signs_since")?;
    let rotate_before = cells.opt_time("rotate_before")?;
    let before = cells.opt_time("before")?;
    let phase = CaPhase::from_parts(&name, before).ok_or_else(|| cells.broken("phase"))?;
    Ok(Ca { revision, bundle, phase, since, signs_since, rotate_before, sealed: cells.get("sealed")? })
}

fn number(cells: &mut Cells<'_>, column: &'static str) -> Parsed<u64> {
    let number: i64 = cells.get(column)?;
    u64::try_from(number).ok().ok_or_else(|| cells.broken(column))
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Writes it, over an older one alone.
pub(crate) async fn put<E: Engine>(db: &mut E, ca: &Ca) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO ca (one, revision, bundle, phase, since, signs_since, rotate_before, before, sealed)
        VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (one) DO UPDATE SET revision = excluded.revision, bundle = excluded.bundle,
            phase = excluded.phase, since = excluded.since, signs_since = excluded.signs_since,
            rotate_before = excluded.rotate_before, before = excluded.before, sealed = excluded.sealed
            WHERE ca.revision < excluded.revision";
    let values = values![
        int(ca.revision),
        int(ca.bundle),
        ca.phase.as_str(),
        millis(ca.since),
        ca.signs_since.map(millis),
        ca.rotate_before.map(millis),
        ca.phase.before().map(millis),
        ca.sealed.as_slice()
    ];
    sql::run_one(db, "change the authority", SQL, &values).await
}

/// The machines that have a key that works, with what they said of their roots. One whose key was revoked has none: it says
/// nothing more, and comes back by another one.
macro_rules! keyed {
    ($what:literal, $tail:expr) => {
        concat!(
            "SELECT ",
            $what,
            " FROM machines m LEFT JOIN presence p ON p.tenant_id = m.tenant_id AND p.machine_id = m.id
                WHERE m.key IS NOT NULL AND m.state IN ('active', 'suspended')
                    AND (m.state = 'active' OR m.state_cause <> 'revoked') ",
            $tail
        )
    };
}

/// Those of them that are behind: ?1 the bundle, ?2 whether certificates matter, ?3 the first identifier of a certificate
/// that counts, ?4 the time.
macro_rules! behind {
    () => {
        "AND (coalesce(p.bundle, 0) < CAST(?1 AS bigint) OR (CAST(?2 AS bigint) = 1
            AND EXISTS (SELECT 1 FROM credentials c WHERE c.tenant_id = m.tenant_id AND c.machine_id = m.id
                AND c.kind = 'certificate' AND c.state = 'issued' AND c.not_after > CAST(?4 AS bigint))
            AND NOT EXISTS (SELECT 1 FROM credentials c WHERE c.tenant_id = m.tenant_id AND c.machine_id = m.id
                AND c.kind = 'certificate' AND c.state = 'issued' AND c.id >= ?3)))"
    };
}

fn first_that_counts(since: Option<Timestamp>) -> CredentialId {
    let millis = since.map_or(0, Timestamp::as_millisecond);
    CredentialId::new(u64::try_from(millis).unwrap_or(0), [0; 10])
}

/// How many machines hold each version; 0 for those that never said.
pub(crate) async fn holders<E: Engine>(db: &mut E) -> Result<Vec<(u64, u64)>, StoreError> {
    const SQL: &str = keyed!(
        "coalesce(p.bundle, 0) AS bundle, count(*) AS machines",
        "GROUP BY coalesce(p.bundle, 0) ORDER BY 1"
    );
    let parse = |row: &dyn Row| {
        let mut cells = Cells::of(&CA, row);
        Ok((number(&mut cells, "bundle")?, number(&mut cells, "machines")?))
    };
    sql::many(db, "count who holds which roots", SQL, &[], parse).await
}

pub(crate) async fn behind<E: Engine>(db: &mut E, behind: Behind) -> Result<u64, StoreError> {
    const SQL: &str = keyed!("count(*)", behind!());
    let first = first_that_counts(behind.certified_since);
    let matter = i64::from(behind.certified_since.is_some());
    let values = values![int(behind.bundle), matter, first.as_bytes(), millis(behind.now)];
    sql::count(db, "count who is behind", SQL, &values).await
}

pub(crate) async fn machines_behind<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    behind: Behind,
    limit: u32,
) -> Result<Vec<BehindMachine>, StoreError> {
    const SQL: &str = keyed!(
        "m.id, m.name, coalesce(p.bundle, 0) AS bundle",
        concat!(behind!(), " AND m.tenant_id = ?5 ORDER BY m.id LIMIT ?6")
    );
    let parse = |row: &dyn Row| {
        let mut cells = Cells::of(&MACHINES, row);
        let (machine, name) = (cells.id("id", MachineId::from_bytes)?, cells.text("name")?);
        Ok(BehindMachine { machine, name, bundle: number(&mut cells, "bundle")? })
    };
    let first = first_that_counts(behind.certified_since);
    let matter = i64::from(behind.certified_since.is_some());
    let values = values![
        int(behind.bundle),
        matter,
        first.as_bytes(),
        millis(behind.now),
        tenant.as_bytes(),
        i64::from(limit)
    ];
    sql::many(db, "list who is behind", SQL, &values, parse).await
}

/// How many machines have the key that they had at this time.
pub(crate) async fn not_rotated_since<E: Engine>(db: &mut E, at: Timestamp) -> Result<u64, StoreError> {
    const SQL: &str = keyed!("count(*)", "AND coalesce(m.key_since, m.enrolled_at, 0) < ?1");
    sql::count(db, "count whose key is an older one", SQL, &values![millis(at)]).await
}
