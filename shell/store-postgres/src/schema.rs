//! The schema: which one is there, and how it is brought up to date.
//!
//! Forward only. A migration *expands*: code of the version before works on with what it makes, so that replicas can be
//! replaced one by one. One that *contracts*, and takes away what older code needs, says so in `compatible_from`. Each
//! runs in a transaction of its own behind a lock that all replicas share: it runs once.

use muster_model::DeploymentId;
use tokio_postgres::{Client, Error, Transaction};

/// The key of the lock that whoever changes the schema holds: `MSTRSCHM`.
const LOCK: i64 = 0x4d53_5452_5343_484d;

/// A step of the schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    pub(crate) sql: &'static str,
    /// The oldest version of the schema whose code works with this one.
    pub(crate) compatible_from: i64,
}

const MIGRATIONS: &[Migration] = &[
    Migration { sql: include_str!("../migrations/0001_start.sql"), compatible_from: 1 },
    Migration { sql: include_str!("../migrations/0002_compat.sql"), compatible_from: 1 },
    Migration { sql: include_str!("../migrations/0003_rotation.sql"), compatible_from: 1 },
    Migration { sql: include_str!("../migrations/0004_people.sql"), compatible_from: 1 },
];

/// The newest version of the schema that this code knows.
pub(crate) const KNOWN: i64 = MIGRATIONS.len() as i64;

/// What is in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    None,
    Foreign,
    Ours(Version),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) version: i64,
    pub(crate) compatible_from: i64,
}

/// What must be there for anything to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Nothing,
    Ours,
}

/// Brings the schema up to date, and tells what was there before. Where that is not what must be there, nothing changes.
pub(crate) async fn migrate(client: &mut Client, from: From) -> Result<Schema, Error> {
    migrate_by(client, from, MIGRATIONS).await
}

pub(crate) async fn migrate_by(
    client: &mut Client,
    from: From,
    migrations: &[Migration],
) -> Result<Schema, Error> {
    let mut before = None;
    for (number, migration) in (1..).zip(migrations) {
        let transaction = client.transaction().await?;
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        let present = look(&transaction).await?;
        let version = match (present, from, before) {
            // What this call began is seen through; what another one made meanwhile is not taken for it.
            (Schema::None, From::Nothing, None) => 0,
            (Schema::Ours(at), From::Nothing, Some(Schema::None)) | (Schema::Ours(at), From::Ours, _) => {
                at.version
            }
            (other, ..) => return Ok(before.unwrap_or(other)),
        };
        before = before.or(Some(present));
        if version < number {
            step(&transaction, number, *migration).await?;
            tracing::info!(version = number, "the schema was brought up to date");
        }
        transaction.commit().await?;
    }
    Ok(before.unwrap_or(Schema::None))
}

async fn step(transaction: &Transaction<'_>, number: i64, migration: Migration) -> Result<(), Error> {
    const NOTE: &str = "INSERT INTO muster_schema (one, version, compatible_from) VALUES (1, $1, $2)
        ON CONFLICT (one) DO UPDATE SET version = excluded.version, compatible_from = excluded.compatible_from";
    transaction.batch_execute(migration.sql).await?;
    transaction.execute(NOTE, &[&number, &migration.compatible_from]).await.map(drop)
}

/// Which schema is there. What belongs to extensions is nobody's.
pub(crate) async fn look(client: &impl tokio_postgres::GenericClient) -> Result<Schema, Error> {
    const LOOK: &str = "SELECT to_regclass('muster_schema') IS NOT NULL, EXISTS (
        SELECT FROM pg_class c WHERE c.relnamespace = to_regnamespace(current_schema()::text)
            AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'))";
    const READ: &str = "SELECT version, compatible_from FROM muster_schema";
    let row = client.query_one(LOOK, &[]).await?;
    match (row.get(0), row.get(1)) {
        (true, _) => {
            let row = client.query_one(READ, &[]).await?;
            Ok(Schema::Ours(Version { version: row.get(0), compatible_from: row.get(1) }))
        }
        (false, true) => Ok(Schema::Foreign),
        (false, false) => Ok(Schema::None),
    }
}

/// Which deployment is founded here, if one is.
pub(crate) async fn deployment(client: &Client) -> Result<Option<DeploymentId>, Error> {
    let row = client.query_opt("SELECT id FROM deployment", &[]).await?;
    let bytes = row.and_then(|row| row.get::<_, Vec<u8>>(0).try_into().ok());
    Ok(bytes.map(DeploymentId::from_bytes))
}
