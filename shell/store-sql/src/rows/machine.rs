//! Machines.

use muster_lifecycle::MachineChange;
use muster_model::{
    Active, Alarm, Evidence, GrantId, HardwareId, Lineage, Machine, MachineId, MachineKind, MachineState,
    Pending, ReasonText, RetireCause, Retired, SiteId, SuspendCause, Suspended, TenantId, Timestamp,
};
use muster_store::StoreError;

use crate::cells::{Cells, Parsed, Table, json, millis};
use crate::dialect::WriteDialect;
use crate::engine::{Engine, Row};
use crate::failure::invariant;
use crate::words::Words;
use crate::{sql, values};

pub(crate) static MACHINES: Table =
    Table { name: "machines", key: "id", show: |id| MachineId::from_bytes(id).to_string() };

/// The columns of a machine `m`, for [`machine_row`](crate::machine_row).
#[macro_export]
macro_rules! machine_columns {
    () => {
        "m.id, m.tenant_id, m.site_id, m.name, m.hostname, m.kind, m.hardware_id, m.key, m.generation, m.role,
            m.labels, m.attributes, m.grant_id, m.state, m.state_since, m.state_cause, m.state_reason, m.readmit_until,
            m.created_at, m.enrolled_at, m.key_since, m.alarmed_at, m.alarm_cause, m.entered_at, m.entered_from,
            m.approved_by, m.entered_grant"
    };
}

macro_rules! select {
    ($tail:literal) => {
        concat!("SELECT ", $crate::machine_columns!(), " FROM machines m ", $tail)
    };
}

fn parse(row: &dyn Row) -> Parsed<Machine> {
    cells(&mut Cells::of(&MACHINES, row))
}

pub(crate) fn cells(cells: &mut Cells<'_>) -> Parsed<Machine> {
    Ok(Machine {
        id: cells.id("id", MachineId::from_bytes)?,
        tenant: cells.id("tenant_id", TenantId::from_bytes)?,
        site: cells.id("site_id", SiteId::from_bytes)?,
        name: cells.text("name")?,
        hostname: cells.opt_text("hostname")?,
        kind: cells.one_of("kind", &MachineKind::ALL, MachineKind::as_str)?,
        hardware_id: cells.opt_text("hardware_id")?,
        key: cells.opt_fingerprint("key")?,
        generation: cells.get("generation")?,
        role: cells.opt_text("role")?,
        labels: cells.labels("labels")?,
        attributes: cells.attributes("attributes")?,
        grant: cells.opt_id("grant_id", GrantId::from_bytes)?,
        state: state(cells)?,
        created_at: cells.time("created_at")?,
        enrolled_at: cells.opt_time("enrolled_at")?,
        key_since: cells.opt_time("key_since")?,
        alarm: alarm(cells)?,
        lineage: Lineage {
            at: cells.opt_time("entered_at")?,
            source: cells.opt_address("entered_from")?,
            approved_by: cells.opt_actor("approved_by")?,
            grant: cells.opt_id("entered_grant", GrantId::from_bytes)?,
        },
    })
}

fn alarm(cells: &mut Cells<'_>) -> Parsed<Option<Alarm>> {
    let at = cells.opt_time("alarmed_at")?;
    let cause: Option<Box<str>> = cells.get("alarm_cause")?;
    match (at, cause) {
        (None, None) => Ok(None),
        (Some(at), Some(cause)) => {
            let evidence = Evidence::ALL.into_iter().find(|evidence| evidence.as_str() == &*cause);
            Ok(Some(Alarm { at, evidence: evidence.ok_or_else(|| cells.broken("alarm_cause"))? }))
        }
        (Some(_), None) | (None, Some(_)) => Err(cells.broken("alarm_cause")),
    }
}

fn state(cells: &mut Cells<'_>) -> Parsed<MachineState> {
    let state: Box<str> = cells.get("state")?;
    let since = cells.time("state_since")?;
    let cause: Option<Box<str>> = cells.get("state_cause")?;
    let reason: Option<ReasonText> = cells.opt_text("state_reason")?;
    let readmit = cells.opt_time("readmit_until")?;
    if &*state != "retired" {
        cells.absent("readmit_until", &readmit)?;
    }
    let silent = |state| cells.absent("state_reason", &reason).map(|()| state);
    let suspended = |cause| MachineState::Suspended(Suspended { since, cause });
    let retired = |cause| MachineState::Retired(Retired { since, cause, readmit });
    match (&*state, cause.as_deref()) {
        ("pending", None) => silent(MachineState::Pending(Pending { since })),
        ("active", None) => silent(MachineState::Active(Active { since })),
        ("suspended", Some("probation")) => silent(suspended(SuspendCause::Probation)),
        ("suspended", Some("operator")) => Ok(suspended(SuspendCause::Operator(reason))),
        ("suspended", Some("revoked")) => Ok(suspended(SuspendCause::Revoked(reason))),
        ("suspended", Some("silent")) => silent(suspended(SuspendCause::Silent)),
        ("suspended", Some("quarantine")) => silent(suspended(SuspendCause::Quarantine)),
        ("retired", Some("silent")) => silent(retired(RetireCause::Silent)),
        ("retired", Some("left")) => silent(retired(RetireCause::Left)),
        ("retired", Some("operator")) => Ok(retired(RetireCause::Operator(reason))),
        ("pending" | "active" | "suspended" | "retired", _) => Err(cells.broken("state_cause")),
        _ => Err(cells.broken("state")),
    }
}

fn cause(state: &MachineState) -> (Option<&'static str>, Option<&ReasonText>) {
    match state {
        MachineState::Pending(_) | MachineState::Active(_) => (None, None),
        MachineState::Suspended(suspended) => match &suspended.cause {
            SuspendCause::Operator(reason) => (Some("operator"), reason.as_ref()),
            SuspendCause::Probation => (Some("probation"), None),
            SuspendCause::Silent => (Some("silent"), None),
            SuspendCause::Quarantine => (Some("quarantine"), None),
            SuspendCause::Revoked(reason) => (Some("revoked"), reason.as_ref()),
        },
        MachineState::Retired(retired) => match &retired.cause {
            RetireCause::Operator(reason) => (Some("operator"), reason.as_ref()),
            RetireCause::Left => (Some("left"), None),
            RetireCause::Silent => (Some("silent"), None),
        },
    }
}

/// Until when a tombstone's hardware may come back.
fn readmit(state: &MachineState) -> Option<Timestamp> {
    match state {
        MachineState::Retired(retired) => retired.readmit,
        MachineState::Pending(_) | MachineState::Active(_) | MachineState::Suspended(_) => None,
    }
}

pub(crate) async fn by_id<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    id: MachineId,
) -> Result<Option<Machine>, StoreError> {
    const SQL: &str = select!("WHERE m.tenant_id = ?1 AND m.id = ?2");
    sql::one(db, "read a machine", SQL, &values![tenant.as_bytes(), id.as_bytes()], parse).await
}

pub(crate) async fn by_hardware<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    id: &HardwareId,
) -> Result<Option<Machine>, StoreError> {
    // One question for both: most callers are told of neither.
    const SQL: &str = concat!(
        select!(
            "WHERE m.tenant_id = ?1 AND m.hardware_id = ?2 AND m.state <> 'retired' UNION ALL SELECT * FROM ("
        ),
        select!(
            "WHERE m.tenant_id = ?1 AND m.hardware_id = ?2 AND m.state = 'retired'
                ORDER BY m.state_since DESC, m.n DESC LIMIT 1"
        ),
        ") AS retired"
    );
    let values = values![tenant.as_bytes(), id.as_str()];
    let mut found = sql::many(db, "read a machine by its hardware", SQL, &values, parse).await?;
    let live = found.iter().position(|machine| !matches!(machine.state, MachineState::Retired(_)));
    Ok(if found.is_empty() { None } else { Some(found.swap_remove(live.unwrap_or(0))) })
}

pub(crate) async fn counts<E: Engine>(db: &mut E, tenant: TenantId) -> Result<[u64; 4], StoreError> {
    let mut counts = [0; 4];
    for (count, state) in counts.iter_mut().zip(["pending", "active", "suspended", "retired"]) {
        *count = count_of(db, tenant, None, state).await?;
    }
    Ok(counts)
}

/// How many machines of a tenant, or of one of its sites, are in a state.
pub(crate) async fn count_of<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    site: Option<SiteId>,
    state: &str,
) -> Result<u64, StoreError> {
    const ALL: &str = "SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM machine_counts
        WHERE tenant_id = ?1 AND state = ?2";
    const OF_SITE: &str = "SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM machine_counts
        WHERE tenant_id = ?1 AND state = ?2 AND site_id = ?3";
    let tenant = tenant.as_bytes();
    match site {
        None => sql::count(db, "count machines", ALL, &values![tenant, state]).await,
        Some(site) => {
            let values = values![tenant, state, site.as_bytes()];
            sql::count(db, "count machines of a site in a state", OF_SITE, &values).await
        }
    }
}

pub(crate) async fn apply<E: WriteDialect>(db: &mut E, change: &MachineChange) -> Result<(), StoreError> {
    match change {
        MachineChange::Create(machine) => {
            insert(db, machine).await?;
            db.note_words(machine, Words::of(machine), false).await?;
            count(db, machine, 1).await
        }
        MachineChange::Update(machine) => change_to(db, machine).await,
        // An order is no fact: nothing is kept of it here.
        MachineChange::Order { .. } => Ok(()),
    }
}

async fn change_to<E: WriteDialect>(db: &mut E, machine: &Machine) -> Result<(), StoreError> {
    let before = by_id(db, machine.tenant, machine.id)
        .await?
        .ok_or_else(|| invariant("update a machine", "there is no such machine"))?;
    update(db, machine).await?;
    let words = Words::of(machine);
    if Words::of(&before) != words {
        db.note_words(machine, words, true).await?;
    }
    if (before.site, before.state.as_str()) == (machine.site, machine.state.as_str()) {
        return Ok(());
    }
    count(db, &before, -1).await?;
    count(db, machine, 1).await
}

/// Keeps the count of the machines that stand as this one does.
async fn count<E: WriteDialect>(db: &mut E, machine: &Machine, change: i64) -> Result<(), StoreError> {
    db.keep_count(machine.tenant, machine.site, machine.state.as_str(), change).await
}

async fn write<E: Engine>(
    db: &mut E,
    what: &'static str,
    sql: &'static str,
    machine: &Machine,
) -> Result<(), StoreError> {
    let (cause, reason) = cause(&machine.state);
    let (labels, attributes) = (json(machine.labels.iter()), json(machine.attributes.iter()));
    let source = machine.lineage.source.map(|source| source.to_string());
    let approved_by = machine.lineage.approved_by.map(|actor| actor.to_string());
    let values = values![
        machine.tenant.as_bytes(),
        machine.id.as_bytes(),
        machine.site.as_bytes(),
        machine.name.as_str(),
        machine.hostname.as_ref().map(|name| name.as_str()),
        machine.kind.as_str(),
        machine.hardware_id.as_ref().map(|id| id.as_str()),
        machine.key.as_ref().map(|key| &key.0),
        machine.generation,
        machine.role.as_ref().map(|role| role.as_str()),
        &labels,
        &attributes,
        machine.grant.as_ref().map(GrantId::as_bytes),
        machine.state.as_str(),
        millis(machine.state.since()),
        cause,
        reason.map(|reason| reason.as_str()),
        millis(machine.created_at),
        machine.enrolled_at.map(millis),
        machine.lineage.at.map(millis),
        source.as_deref(),
        approved_by.as_deref(),
        readmit(&machine.state).map(millis),
        machine.key_since.map(millis),
        machine.alarm.map(|alarm| millis(alarm.at)),
        machine.alarm.map(|alarm| alarm.evidence.as_str()),
        machine.lineage.grant.as_ref().map(GrantId::as_bytes),
    ];
    sql::run_one(db, what, sql, &values).await
}

async fn insert<E: Engine>(db: &mut E, machine: &Machine) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO machines
        (tenant_id, id, site_id, name, hostname, kind, hardware_id, key, generation, role, labels, attributes,
            grant_id, state, state_since, state_cause, state_reason, created_at, enrolled_at, entered_at,
            entered_from, approved_by, readmit_until, key_since, alarmed_at, alarm_cause,
            entered_grant)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
            ?24, ?25, ?26, ?27)";
    write(db, "create a machine", SQL, machine).await
}

/// A generation never falls: the row stays as it is, and the plan fails.
async fn update<E: Engine>(db: &mut E, machine: &Machine) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE machines SET site_id = ?3, name = ?4, hostname = ?5, kind = ?6, hardware_id = ?7,
        key = ?8, generation = ?9, role = ?10, labels = ?11, attributes = ?12, grant_id = ?13, state = ?14,
        state_since = ?15, state_cause = ?16, state_reason = ?17, created_at = ?18, enrolled_at = ?19,
        entered_at = ?20, entered_from = ?21, approved_by = ?22, readmit_until = ?23, key_since = ?24,
        alarmed_at = ?25, alarm_cause = ?26, entered_grant = ?27
        WHERE tenant_id = ?1 AND id = ?2 AND generation <= ?9";
    write(db, "update a machine", SQL, machine).await
}
