//! Keys that machines enrolled with.

use muster_lifecycle::KeyChange;
use muster_model::{KeyFingerprint, KeyRecord, KeyStanding, MachineId, TenantId};
use muster_store::StoreError;

use crate::cells::{Cells, Parsed, Table, millis};
use crate::engine::{Engine, Row};
use crate::{sql, values};

static KEYS: Table =
    Table { name: "keys", key: "machine_id", show: |id| MachineId::from_bytes(id).to_string() };

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT tenant_id, algorithm, spki, fingerprint, machine_id, generation, standing, ordered_at
                FROM keys ",
            $tail
        )
    };
}

fn parse(row: &dyn Row) -> Parsed<(TenantId, KeyRecord)> {
    let mut cells = Cells::of(&KEYS, row);
    let tenant = cells.id("tenant_id", TenantId::from_bytes)?;
    let key = cells.opt_key(["algorithm", "spki", "fingerprint"])?;
    let record = KeyRecord {
        key: cells.present("spki", key)?,
        machine: cells.id("machine_id", MachineId::from_bytes)?,
        generation: cells.get("generation")?,
        standing: cells.one_of("standing", &KeyStanding::ALL, KeyStanding::as_str)?,
        ordered_at: cells.opt_time("ordered_at")?,
    };
    Ok((tenant, record))
}

fn parse_record(row: &dyn Row) -> Parsed<KeyRecord> {
    parse(row).map(|(_, record)| record)
}

pub(crate) async fn by_fingerprint<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    key: KeyFingerprint,
) -> Result<Option<KeyRecord>, StoreError> {
    const SQL: &str = select!("WHERE fingerprint = ?1 AND tenant_id = ?2");
    sql::one(db, "read a key", SQL, &values![&key.0, tenant.as_bytes()], parse_record).await
}

pub(crate) async fn anywhere<E: Engine>(
    db: &mut E,
    key: KeyFingerprint,
) -> Result<Vec<(TenantId, KeyRecord)>, StoreError> {
    const SQL: &str = select!("WHERE fingerprint = ?1 ORDER BY tenant_id LIMIT 1000");
    sql::many(db, "read a key in all tenants", SQL, &values![&key.0], parse).await
}

pub(crate) async fn of_machine<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    machine: MachineId,
) -> Result<Vec<KeyRecord>, StoreError> {
    const CURRENT: &str = select!("WHERE tenant_id = ?1 AND machine_id = ?2 AND standing = 'current'");
    const ROTATING: &str =
        select!("WHERE tenant_id = ?1 AND machine_id = ?2 AND standing IN ('proposed', 'previous')");
    const REVOKED: &str = select!(
        "WHERE tenant_id = ?1 AND machine_id = ?2 AND standing = 'revoked' ORDER BY generation DESC LIMIT 1000"
    );
    let values = values![tenant.as_bytes(), machine.as_bytes()];
    let mut keys = sql::many(db, "read the key of a machine", CURRENT, &values, parse_record).await?;
    keys.extend(sql::many(db, "read the keys in rotation", ROTATING, &values, parse_record).await?);
    keys.sort_by_key(|record| std::cmp::Reverse(record.generation));
    keys.extend(sql::many(db, "read the revoked keys of a machine", REVOKED, &values, parse_record).await?);
    Ok(keys)
}

pub(crate) async fn apply<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    change: &KeyChange,
) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO keys
        (fingerprint, tenant_id, algorithm, spki, machine_id, generation, standing, ordered_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    const UPDATE: &str = "UPDATE keys SET standing = ?3 WHERE fingerprint = ?1 AND tenant_id = ?2";
    const ORDER: &str = "UPDATE keys SET ordered_at = ?3 WHERE fingerprint = ?1 AND tenant_id = ?2";
    const SUPERSEDE: &str = "UPDATE keys SET standing = 'superseded'
        WHERE tenant_id = ?1 AND machine_id = ?2 AND standing = 'current'";
    const SUPERSEDE_ROTATING: &str = "UPDATE keys SET standing = 'superseded'
        WHERE tenant_id = ?1 AND machine_id = ?2 AND standing IN ('proposed', 'previous')";
    match change {
        KeyChange::Register(record) => {
            let fingerprint = record.key.fingerprint();
            let values = values![
                &fingerprint.0,
                tenant.as_bytes(),
                record.key.algorithm().as_str(),
                record.key.spki(),
                record.machine.as_bytes(),
                record.generation,
                record.standing.as_str(),
                record.ordered_at.map(millis),
            ];
            sql::run_one(db, "register a key", INSERT, &values).await
        }
        KeyChange::Standing { key, standing } => {
            let values = values![&key.0, tenant.as_bytes(), standing.as_str()];
            sql::run_one(db, "change the standing of a key", UPDATE, &values).await
        }
        KeyChange::Order { key, at } => {
            let values = values![&key.0, tenant.as_bytes(), millis(*at)];
            sql::run_one(db, "order a rotation", ORDER, &values).await
        }
        KeyChange::SupersedeAll(machine) => {
            let values = values![tenant.as_bytes(), machine.as_bytes()];
            sql::run(db, "supersede the key of a machine", SUPERSEDE, &values).await?;
            sql::run(db, "supersede the keys in rotation", SUPERSEDE_ROTATING, &values).await.map(drop)
        }
    }
}
