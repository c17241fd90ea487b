//! Operators, and their tokens, sessions and login links.

use muster_lifecycle::AccessChange;
use muster_lifecycle::operator::Live;
use muster_model::second_factor::{FactorSalt, SecondFactor};
use muster_model::{
    AccessKind, AccessToken, AccessTokenId, Entrance, Operator, OperatorId, OperatorRole, PasswordHash,
    Scopes, SecretHash, SecretId, Team, TenantId, Timestamp, TokenScope,
};
use muster_store::{Listed, PageRequest, StoreError};

use crate::cells::{Cells, Parsed, Table, millis};
use crate::engine::{Engine, Row};
use crate::failure::invariant;
use crate::{sql, values};

static OPERATORS: Table =
    Table { name: "operators", key: "id", show: |id| OperatorId::from_bytes(id).to_string() };
static TOKENS: Table =
    Table { name: "access_tokens", key: "id", show: |id| AccessTokenId::from_bytes(id).to_string() };

static HELD: Table = Table { name: "access_tokens", key: "kind", show: |_| String::new() };

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, tenant_id, operator_id, kind, name, role, secret, hash, created_at, expires_at, ended_at, scopes,
                team, entrance
                FROM access_tokens ",
            $tail
        )
    };
}

fn parse(row: &dyn Row) -> Parsed<AccessToken> {
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
        scope: scope(&mut cells)?,
        entrance: cells.opt_one_of("entrance", &Entrance::ALL, Entrance::as_str)?,
    })
}

/// Without scopes there is no confinement, and no team either.
fn scope(cells: &mut Cells<'_>) -> Parsed<Option<TokenScope>> {
    let scopes: Option<Scopes> = cells.opt_text("scopes")?;
    let team: Option<Team> = cells.opt_text("team")?;
    match scopes {
        Some(scopes) => Ok(Some(TokenScope { scopes, team })),
        None => cells.absent("team", &team).map(|()| None),
    }
}

fn parse_operator(row: &dyn Row) -> Parsed<Operator> {
    let mut cells = Cells::of(&OPERATORS, row);
    // The folded name is read by the database alone: what folds to what changes with Unicode, and no name that was given
    // shuts anybody out by that.
    Ok(Operator {
        id: cells.id("id", OperatorId::from_bytes)?,
        tenant: cells.id("tenant_id", TenantId::from_bytes)?,
        name: cells.text("name")?,
        role: cells.one_of("role", &OperatorRole::ALL, OperatorRole::as_str)?,
        created_at: cells.time("created_at")?,
        disabled_at: cells.opt_time("disabled_at")?,
        password: cells.opt_text("password")?,
        second: second(&mut cells)?,
    })
}

/// Without a salt there is no second factor. One that was never confirmed has no step, and no recovery codes.
fn second(cells: &mut Cells<'_>) -> Parsed<Option<SecondFactor>> {
    let salt: Option<[u8; 16]> = cells.get("factor_salt")?;
    let at = cells.opt_time("factor_at")?;
    let step: Option<i64> = cells.get("factor_step")?;
    let recovery: Option<Vec<u8>> = cells.get("factor_recovery")?;
    let Some(salt) = salt.map(FactorSalt) else {
        let is_none = at.is_none() && step.is_none() && recovery.is_none();
        return if is_none { Ok(None) } else { Err(cells.broken("factor_salt")) };
    };
    let at = cells.present("factor_at", at)?;
    let Some(step) = step else {
        return cells
            .absent("factor_recovery", &recovery)
            .map(|()| Some(SecondFactor::Proposed { salt, at }));
    };
    let step = u64::try_from(step).or(Err(cells.broken("factor_step")))?;
    let recovery = cells.present("factor_recovery", recovery)?;
    let (hashes, []) = recovery.as_chunks::<32>() else { return Err(cells.broken("factor_recovery")) };
    let recovery = hashes.iter().copied().map(SecretHash).collect();
    Ok(Some(SecondFactor::Confirmed { salt, since: at, step, recovery }))
}

/// The columns of a second factor.
struct Factor {
    salt: Option<[u8; 16]>,
    at: Option<i64>,
    step: Option<i64>,
    recovery: Option<Vec<u8>>,
}

impl Factor {
    fn of(operator: &Operator) -> Result<Self, StoreError> {
        let none = Self { salt: None, at: None, step: None, recovery: None };
        Ok(match &operator.second {
            None => none,
            Some(SecondFactor::Proposed { salt, at }) => {
                Self { salt: Some(salt.0), at: Some(millis(*at)), ..none }
            }
            Some(SecondFactor::Confirmed { salt, since, step, recovery }) => Self {
                salt: Some(salt.0),
                at: Some(millis(*since)),
                step: Some(
                    i64::try_from(*step)
                        .or(Err(invariant("write a second factor", "its step is beyond 63 bits")))?,
                ),
                recovery: Some(recovery.iter().flat_map(|hash| hash.0).collect()),
            },
        })
    }
}

pub(crate) async fn operator<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    id: OperatorId,
) -> Result<Option<Operator>, StoreError> {
    const SQL: &str = "SELECT id, tenant_id, name, role, created_at, disabled_at, password, factor_salt,
            factor_at, factor_step, factor_recovery FROM operators
        WHERE tenant_id = ?1 AND id = ?2";
    sql::one(db, "read an operator", SQL, &values![tenant.as_bytes(), id.as_bytes()], parse_operator).await
}

pub(crate) async fn operators<E: Engine>(db: &mut E, tenant: TenantId) -> Result<Vec<Operator>, StoreError> {
    const SQL: &str = "SELECT id, tenant_id, name, role, created_at, disabled_at, password, factor_salt,
            factor_at, factor_step, factor_recovery FROM operators
        WHERE tenant_id = ?1 ORDER BY id LIMIT 1000";
    sql::many(db, "read the operators", SQL, &values![tenant.as_bytes()], parse_operator).await
}

pub(crate) async fn token<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    id: AccessTokenId,
) -> Result<Option<AccessToken>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND id = ?2");
    sql::one(db, "read an access token", SQL, &values![tenant.as_bytes(), id.as_bytes()], parse).await
}

pub(crate) async fn by_secret<E: Engine>(
    db: &mut E,
    secret: SecretId,
) -> Result<Option<AccessToken>, StoreError> {
    const SQL: &str = select!("WHERE secret = ?1");
    sql::one(db, "read an access token by its secret", SQL, &values![&secret.0], parse).await
}

pub(crate) async fn live_of<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    operator: OperatorId,
    now: Timestamp,
) -> Result<Live, StoreError> {
    const SQL: &str = "SELECT kind, count(*) AS held FROM access_tokens
        WHERE tenant_id = ?1 AND operator_id = ?2 AND ended_at IS NULL AND expires_at > ?3 GROUP BY kind";
    let values = values![tenant.as_bytes(), operator.as_bytes(), millis(now)];
    let held = sql::many(db, "count what an operator has", SQL, &values, parse_held).await?;
    let mut live = Live::default();
    held.into_iter().for_each(|(kind, count)| *live.of(kind) = count);
    Ok(live)
}

fn parse_held(row: &dyn Row) -> Parsed<(AccessKind, u64)> {
    let mut cells = Cells::of(&HELD, row);
    let kind = cells.one_of("kind", &AccessKind::ALL, AccessKind::as_str)?;
    let held = u64::try_from(cells.get::<i64>("held")?).or(Err(cells.broken("held")))?;
    Ok((kind, held))
}

pub(crate) async fn page<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    page: PageRequest,
) -> Result<Listed<AccessToken>, StoreError> {
    const SQL: &str =
        select!("WHERE tenant_id = ?1 AND id < ?2 AND kind <> 'login' ORDER BY id DESC LIMIT ?3");
    let values = values![tenant.as_bytes(), sql::below(&page), sql::probe(page)];
    let tokens = sql::many(db, "list access tokens", SQL, &values, parse).await?;
    Ok(sql::listed(tokens, page, |token| *token.id.as_bytes()))
}

pub(crate) async fn apply<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    change: &AccessChange,
) -> Result<(), StoreError> {
    // What has ended stays ended, so that a login link opens one session.
    const END: &str = "UPDATE access_tokens SET ended_at = ?3
        WHERE tenant_id = ?1 AND id = ?2 AND ended_at IS NULL";
    const END_ALL: &str = "UPDATE access_tokens SET ended_at = ?3
        WHERE tenant_id = ?1 AND operator_id = ?2 AND kind = ?4 AND ended_at IS NULL AND expires_at > ?3";
    const ROTATE: &str = "UPDATE access_tokens SET secret = ?3, hash = ?4
        WHERE tenant_id = ?1 AND id = ?2 AND ended_at IS NULL";
    match change {
        AccessChange::CreateOperator(operator) => create_operator(db, operator).await,
        AccessChange::UpdateOperator(operator) => update_operator(db, operator).await,
        AccessChange::CreateToken(token) => create_token(db, token).await,
        AccessChange::RotateToken { token, secret, hash } => {
            let values = values![tenant.as_bytes(), token.as_bytes(), &secret.0, &hash.0];
            sql::run_one(db, "rotate an access token", ROTATE, &values).await
        }
        AccessChange::EndToken { token, at } => {
            let values = values![tenant.as_bytes(), token.as_bytes(), millis(*at)];
            sql::run_one(db, "end an access token", END, &values).await
        }
        AccessChange::EndAllOf { operator, kinds, at } => {
            for kind in *kinds {
                let values = values![tenant.as_bytes(), operator.as_bytes(), millis(*at), kind.as_str()];
                sql::run(db, "end what an operator has", END_ALL, &values).await?;
            }
            Ok(())
        }
    }
}

async fn create_operator<E: Engine>(db: &mut E, operator: &Operator) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO operators (tenant_id, id, name, folded, role, created_at, disabled_at, password, factor_salt,
            factor_at, factor_step, factor_recovery)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let (folded, factor) = (operator.folded(), Factor::of(operator)?);
    let values = values![
        operator.tenant.as_bytes(),
        operator.id.as_bytes(),
        operator.name.as_str(),
        &folded,
        operator.role.as_str(),
        millis(operator.created_at),
        operator.disabled_at.map(millis),
        operator.password.as_ref().map(PasswordHash::as_str),
        factor.salt.as_ref(),
        factor.at,
        factor.step,
        factor.recovery.as_deref(),
    ];
    sql::run_one(db, "create an operator", SQL, &values).await
}

async fn update_operator<E: Engine>(db: &mut E, operator: &Operator) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE operators SET name = ?3, folded = ?4, role = ?5, disabled_at = ?6, password = ?7, factor_salt = ?8,
            factor_at = ?9, factor_step = ?10, factor_recovery = ?11
        WHERE tenant_id = ?1 AND id = ?2";
    let (folded, factor) = (operator.folded(), Factor::of(operator)?);
    let values = values![
        operator.tenant.as_bytes(),
        operator.id.as_bytes(),
        operator.name.as_str(),
        &folded,
        operator.role.as_str(),
        operator.disabled_at.map(millis),
        operator.password.as_ref().map(PasswordHash::as_str),
        factor.salt.as_ref(),
        factor.at,
        factor.step,
        factor.recovery.as_deref(),
    ];
    sql::run_one(db, "change an operator", SQL, &values).await
}

async fn create_token<E: Engine>(db: &mut E, token: &AccessToken) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO access_tokens
        (tenant_id, id, operator_id, kind, name, role, secret, hash, created_at, expires_at, ended_at, scopes, team,
        entrance)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let scopes = token.scope.as_ref().map(|scope| scope.scopes.to_string());
    let team = token.scope.as_ref().and_then(|scope| scope.team.as_ref());
    let values = values![
        token.tenant.as_bytes(),
        token.id.as_bytes(),
        token.operator.as_bytes(),
        token.kind.as_str(),
        token.name.as_str(),
        token.role.as_str(),
        &token.secret.0,
        &token.hash.0,
        millis(token.created_at),
        millis(token.expires_at),
        token.ended_at.map(millis),
        scopes.as_deref(),
        team.map(|team| team.as_str()),
        token.entrance.map(Entrance::as_str),
    ];
    sql::run_one(db, "create an access token", SQL, &values).await
}

/// Forgets login links and sessions that ended, or whose life was over, before this, at most so many.
pub(crate) async fn prune<E: Engine>(db: &mut E, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    const SQL: &str = "DELETE FROM access_tokens WHERE (tenant_id, id) IN
        (SELECT tenant_id, id FROM access_tokens WHERE kind <> 'api' AND coalesce(ended_at, expires_at) < ?1
            ORDER BY coalesce(ended_at, expires_at) LIMIT ?2)";
    sql::run(db, "forget old sessions", SQL, &values![millis(before), limit]).await
}
