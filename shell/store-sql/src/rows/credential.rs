//! Credentials.

use muster_lifecycle::CredentialChange;
use muster_model::{
    Credential, CredentialId, CredentialKind, CredentialState, EndReason, MachineId, Minted, SecretHash,
    SecretId, TenantId,
};
use muster_store::StoreError;

use crate::cells::{Cells, Parsed, Table, millis};
use crate::engine::{Engine, Row};
use crate::{sql, values};

static CREDENTIALS: Table =
    Table { name: "credentials", key: "id", show: |id| CredentialId::from_bytes(id).to_string() };

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, tenant_id, machine_id, generation, kind, key, secret, hash, not_before, not_after, state,
                certificate, used_at, ended_at, ended_reason FROM credentials ",
            $tail
        )
    };
}

fn parse(row: &dyn Row) -> Parsed<Credential> {
    let mut cells = Cells::of(&CREDENTIALS, row);
    let id = cells.id("id", CredentialId::from_bytes)?;
    let tenant = cells.id("tenant_id", TenantId::from_bytes)?;
    let machine = cells.id("machine_id", MachineId::from_bytes)?;
    let generation = cells.get("generation")?;
    let kind = kind(&mut cells)?;
    let not_before = cells.time("not_before")?;
    let not_after = cells.time("not_after")?;
    let state = state(&mut cells, &kind)?;
    Ok(Credential { id, tenant, machine, generation, kind, not_before, not_after, state })
}

fn kind(cells: &mut Cells<'_>) -> Parsed<CredentialKind> {
    let kind: Box<str> = cells.get("kind")?;
    let key = cells.opt_fingerprint("key")?;
    let secret: Option<[u8; 10]> = cells.get("secret")?;
    let hash: Option<[u8; 32]> = cells.get("hash")?;
    match &*kind {
        "certificate" => {
            cells.absent("secret", &secret)?;
            cells.absent("hash", &hash)?;
            Ok(CredentialKind::Certificate { key: cells.present("key", key)? })
        }
        "bearer" | "refresh" => {
            cells.absent("key", &key)?;
            let secret = SecretId(cells.present("secret", secret)?);
            let hash = SecretHash(cells.present("hash", hash)?);
            Ok(match &*kind {
                "bearer" => CredentialKind::Bearer { secret, hash },
                _ => CredentialKind::Refresh { secret, hash },
            })
        }
        _ => Err(cells.broken("kind")),
    }
}

fn state(cells: &mut Cells<'_>, kind: &CredentialKind) -> Parsed<CredentialState> {
    let state: Box<str> = cells.get("state")?;
    let certificate: Option<Vec<u8>> = cells.get("certificate")?;
    let used_at = cells.opt_time("used_at")?;
    let at = cells.opt_time("ended_at")?;
    let reason = cells.opt_one_of("ended_reason", &EndReason::ALL, EndReason::as_str)?;
    if matches!(&*state, "reserved" | "issued") {
        cells.absent("ended_at", &at)?;
        cells.absent("ended_reason", &reason)?;
    }
    if !matches!((&*state, kind), ("issued", CredentialKind::Refresh { .. })) {
        cells.absent("used_at", &used_at)?;
    }
    match (&*state, kind) {
        ("issued", CredentialKind::Certificate { .. }) => {
            let der = cells.present("certificate", certificate)?;
            Ok(CredentialState::Issued(Minted::Certificate(der)))
        }
        ("issued", CredentialKind::Bearer { .. }) => {
            cells.absent("certificate", &certificate)?;
            Ok(CredentialState::Issued(Minted::Bearer))
        }
        ("issued", CredentialKind::Refresh { .. }) => {
            cells.absent("certificate", &certificate)?;
            Ok(CredentialState::Issued(Minted::Refresh { used_at }))
        }
        ("reserved", _) => {
            cells.absent("certificate", &certificate)?;
            Ok(CredentialState::Reserved)
        }
        ("ended", _) => {
            cells.absent("certificate", &certificate)?;
            let at = cells.present("ended_at", at)?;
            Ok(CredentialState::Ended { at, reason: cells.present("ended_reason", reason)? })
        }
        _ => Err(cells.broken("state")),
    }
}

pub(crate) async fn by_id<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    id: CredentialId,
) -> Result<Option<Credential>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND id = ?2");
    sql::one(db, "read a credential", SQL, &values![tenant.as_bytes(), id.as_bytes()], parse).await
}

pub(crate) async fn by_secret<E: Engine>(
    db: &mut E,
    secret: SecretId,
) -> Result<Option<Credential>, StoreError> {
    const SQL: &str = select!("WHERE secret = ?1");
    sql::one(db, "read a credential by its secret", SQL, &values![&secret.0], parse).await
}

pub(crate) async fn open_of_machine<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    machine: MachineId,
) -> Result<Vec<Credential>, StoreError> {
    const SQL: &str =
        select!("WHERE tenant_id = ?1 AND machine_id = ?2 AND state <> 'ended' ORDER BY id DESC");
    let values = values![tenant.as_bytes(), machine.as_bytes()];
    sql::many(db, "read the open credentials of a machine", SQL, &values, parse).await
}

pub(crate) async fn of_machine<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    machine: MachineId,
    limit: u32,
) -> Result<Vec<Credential>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND machine_id = ?2 ORDER BY id DESC LIMIT ?3");
    let values = values![tenant.as_bytes(), machine.as_bytes(), limit];
    sql::many(db, "list the credentials of a machine", SQL, &values, parse).await
}

pub(crate) async fn apply<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    change: &CredentialChange,
) -> Result<(), StoreError> {
    match change {
        CredentialChange::Reserve(credential) => insert(db, credential).await,
        CredentialChange::State { credential, state } => change_state(db, tenant, *credential, state).await,
    }
}

/// The columns of [`CredentialState`] after its name, in their order, and the kind that may stand so.
struct StateColumns<'c> {
    certificate: Option<&'c [u8]>,
    used_at: Option<i64>,
    at: Option<i64>,
    reason: Option<&'static str>,
    only: Option<&'static str>,
}

fn state_name(state: &CredentialState) -> &'static str {
    match state {
        CredentialState::Reserved => "reserved",
        CredentialState::Issued(_) => "issued",
        CredentialState::Ended { .. } => "ended",
    }
}

impl<'c> StateColumns<'c> {
    fn of(state: &'c CredentialState) -> Self {
        let none = Self { certificate: None, used_at: None, at: None, reason: None, only: None };
        match state {
            CredentialState::Reserved => none,
            CredentialState::Issued(Minted::Certificate(der)) => {
                Self { certificate: Some(der), only: Some("certificate"), ..none }
            }
            CredentialState::Issued(Minted::Bearer) => Self { only: Some("bearer"), ..none },
            CredentialState::Issued(Minted::Refresh { used_at }) => {
                Self { used_at: used_at.map(millis), only: Some("refresh"), ..none }
            }
            CredentialState::Ended { at, reason } => {
                Self { at: Some(millis(*at)), reason: Some(reason.as_str()), ..none }
            }
        }
    }
}

/// What has ended stays ended. Its certificate is forgotten: the row says enough of it.
async fn change_state<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    credential: CredentialId,
    state: &CredentialState,
) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE credentials SET state = ?3, certificate = ?4, used_at = ?5, ended_at = ?6, ended_reason = ?7
        WHERE tenant_id = ?1 AND id = ?2 AND state <> 'ended' AND kind = coalesce(?8, kind)";
    let columns = StateColumns::of(state);
    let values = values![
        tenant.as_bytes(),
        credential.as_bytes(),
        state_name(state),
        columns.certificate,
        columns.used_at,
        columns.at,
        columns.reason,
        columns.only,
    ];
    sql::run_one(db, "change the state of a credential", SQL, &values).await
}

async fn insert<E: Engine>(db: &mut E, credential: &Credential) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO credentials
        (tenant_id, id, machine_id, generation, kind, key, secret, hash, not_before, not_after, state, certificate,
            used_at, ended_at, ended_reason)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    let (kind, key, secret, hash) = match &credential.kind {
        CredentialKind::Certificate { key } => ("certificate", Some(&key.0), None, None),
        CredentialKind::Bearer { secret, hash } => ("bearer", None, Some(&secret.0), Some(&hash.0)),
        CredentialKind::Refresh { secret, hash } => ("refresh", None, Some(&secret.0), Some(&hash.0)),
    };
    let state = StateColumns::of(&credential.state);
    let values = values![
        credential.tenant.as_bytes(),
        credential.id.as_bytes(),
        credential.machine.as_bytes(),
        credential.generation,
        kind,
        key,
        secret,
        hash,
        millis(credential.not_before),
        millis(credential.not_after),
        state_name(&credential.state),
        state.certificate,
        state.used_at,
        state.at,
        state.reason,
    ];
    sql::run_one(db, "reserve a credential", SQL, &values).await
}
