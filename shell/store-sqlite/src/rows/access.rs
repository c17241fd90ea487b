//! Operators, and their tokens, sessions and login links.

use muster_lifecycle::AccessChange;
use muster_model::{
    AccessKind, AccessToken, AccessTokenId, Operator, OperatorId, OperatorRole, SecretHash, SecretId,
    TenantId, Timestamp,
};
use muster_store::{Listed, PageRequest, StoreError};
use rusqlite::{Connection, Row, params};

use crate::cells::{Cells, Parsed, Table, millis};
use crate::sql;

static OPERATORS: Table =
    Table { name: "operators", key: "id", show: |id| OperatorId::from_bytes(id).to_string() };
static TOKENS: Table =
    Table { name: "access_tokens", key: "id", show: |id| AccessTokenId::from_bytes(id).to_string() };

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, tenant_id, operator_id, kind, name, role, secret, hash, created_at, expires_at, ended_at
                FROM access_tokens ",
            $tail
        )
    };
}

fn parse(row: &Row<'_>) -> Parsed<AccessToken> {
    let mut cells = Cells::of(&TOKENS, row);
    Ok(AccessToken {
        id: cells.id("id", AccessTokenId::from_bytes)?,
        tenant: cells.id("tenant_id", TenantId::from_bytes)?,
        operator: cells.id("operator_id", OperatorId::from_bytes)?,
        kind: cells.one_of("kind", &AccessKind::ALL, AccessKind::as_str)?,
        name: cells.text("name")?,
        role: cells.one_of("role", &OperatorRole::ALL, OperatorRole::as_str)?,
        secret: SecretId(cells.get("secret")?),
        hash: SecretHash(cells.get("hash")?),
        created_at: cells.time("created_at")?,
        expires_at: cells.time("expires_at")?,
        ended_at: cells.opt_time("ended_at")?,
    })
}

fn parse_operator(row: &Row<'_>) -> Parsed<Operator> {
    let mut cells = Cells::of(&OPERATORS, row);
    Ok(Operator {
        id: cells.id("id", OperatorId::from_bytes)?,
        tenant: cells.id("tenant_id", TenantId::from_bytes)?,
        name: cells.text("name")?,
        role: cells.one_of("role", &OperatorRole::ALL, OperatorRole::as_str)?,
        created_at: cells.time("created_at")?,
    })
}

pub(crate) fn operator(
    db: &Connection,
    tenant: TenantId,
    id: OperatorId,
) -> Result<Option<Operator>, StoreError> {
    const SQL: &str =
        "SELECT id, tenant_id, name, role, created_at FROM operators WHERE tenant_id = ?1 AND id = ?2";
    sql::one(db, "read an operator", SQL, params![tenant.as_bytes(), id.as_bytes()], parse_operator)
}

pub(crate) fn operators(db: &Connection, tenant: TenantId) -> Result<Vec<Operator>, StoreError> {
    const SQL: &str = "SELECT id, tenant_id, name, role, created_at FROM operators
        WHERE tenant_id = ?1 ORDER BY id LIMIT 1000";
    sql::many(db, "read the operators", SQL, params![tenant.as_bytes()], parse_operator)
}

pub(crate) fn token(
    db: &Connection,
    tenant: TenantId,
    id: AccessTokenId,
) -> Result<Option<AccessToken>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND id = ?2");
    sql::one(db, "read an access token", SQL, params![tenant.as_bytes(), id.as_bytes()], parse)
}

pub(crate) fn by_secret(db: &Connection, secret: SecretId) -> Result<Option<AccessToken>, StoreError> {
    const SQL: &str = select!("WHERE secret = ?1");
    sql::one(db, "read an access token by its secret", SQL, params![secret.0], parse)
}

pub(crate) fn page(
    db: &Connection,
    tenant: TenantId,
    page: PageRequest,
) -> Result<Listed<AccessToken>, StoreError> {
    const SQL: &str =
        select!("WHERE tenant_id = ?1 AND id < ?2 AND kind <> 'login' ORDER BY id DESC LIMIT ?3");
    let values = params![tenant.as_bytes(), sql::below(&page), sql::probe(page)];
    let tokens = sql::many(db, "list access tokens", SQL, values, parse)?;
    Ok(sql::listed(tokens, page, |token| *token.id.as_bytes()))
}

pub(crate) fn apply(db: &Connection, tenant: TenantId, change: &AccessChange) -> Result<(), StoreError> {
    // What has ended stays ended, so that a login link opens one session.
    const END: &str = "UPDATE access_tokens SET ended_at = ?3
        WHERE tenant_id = ?1 AND id = ?2 AND ended_at IS NULL";
    match change {
        AccessChange::CreateOperator(operator) => create_operator(db, operator),
        AccessChange::CreateToken(token) => create_token(db, token),
        AccessChange::EndToken { token, at } => {
            let values = params![tenant.as_bytes(), token.as_bytes(), millis(*at)];
            sql::run_one(db, "end an access token", END, values)
        }
    }
}

fn create_operator(db: &Connection, operator: &Operator) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO operators (tenant_id, id, name, role, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    let values = params![
        operator.tenant.as_bytes(),
        operator.id.as_bytes(),
        operator.name.as_str(),
        operator.role.as_str(),
        millis(operator.created_at),
    ];
    sql::run_one(db, "create an operator", SQL, values)
}

fn create_token(db: &Connection, token: &AccessToken) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO access_tokens
        (tenant_id, id, operator_id, kind, name, role, secret, hash, created_at, expires_at, ended_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let values = params![
        token.tenant.as_bytes(),
        token.id.as_bytes(),
        token.operator.as_bytes(),
        token.kind.as_str(),
        token.name.as_str(),
        token.role.as_str(),
        token.secret.0,
        token.hash.0,
        millis(token.created_at),
        millis(token.expires_at),
        token.ended_at.map(millis),
    ];
    sql::run_one(db, "create an access token", SQL, values)
}

/// Forgets login links and sessions that ended, or whose life was over, before this, at most so many.
pub(crate) fn prune(db: &Connection, before: Timestamp, limit: u32) -> Result<usize, StoreError> {
    const SQL: &str = "DELETE FROM access_tokens WHERE (tenant_id, id) IN
        (SELECT tenant_id, id FROM access_tokens WHERE kind <> 'api' AND coalesce(ended_at, expires_at) < ?1
            ORDER BY coalesce(ended_at, expires_at) LIMIT ?2)";
    sql::run(db, "forget old sessions", SQL, params![millis(before), limit])
}
