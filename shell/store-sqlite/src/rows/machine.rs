//! Machines.

use muster_lifecycle::MachineChange;
use muster_model::{
    Active, GrantId, HardwareId, Machine, MachineId, MachineKind, MachineState, Pending, ReasonText,
    RetireCause, Retired, SiteId, SuspendCause, Suspended, TenantId,
};
use muster_store::StoreError;
use rusqlite::{Connection, Row, params};

use crate::cells::{Cells, Parsed, Table, json, millis};
use crate::failure::invariant;
use crate::search::{self, words_of};
use crate::sql;

pub(crate) static MACHINES: Table =
    Table { name: "machines", key: "id", show: |id| MachineId::from_bytes(id).to_string() };

/// The columns of a machine, in the order of [`cells`].
macro_rules! machine_columns {
    () => {
        "m.id, m.tenant_id, m.site_id, m.name, m.hostname, m.kind, m.hardware_id, m.key, m.generation, m.role,
            m.labels, m.attributes, m.grant_id, m.state, m.state_since, m.state_cause, m.state_reason, m.created_at,
            m.enrolled_at"
    };
}
pub(crate) use machine_columns;

macro_rules! select {
    ($tail:literal) => {
        concat!("SELECT ", machine_columns!(), " FROM machines m ", $tail)
    };
}

fn parse(row: &Row<'_>) -> Parsed<Machine> {
    cells(&mut Cells::of(&MACHINES, row))
}

pub(crate) fn cells(cells: &mut Cells<'_, '_>) -> Parsed<Machine> {
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
    })
}

fn state(cells: &mut Cells<'_, '_>) -> Parsed<MachineState> {
    let state: Box<str> = cells.get("state")?;
    let since = cells.time("state_since")?;
    let cause: Option<Box<str>> = cells.get("state_cause")?;
    let reason: Option<ReasonText> = cells.opt_text("state_reason")?;
    let silent = |state| cells.absent("state_reason", &reason).map(|()| state);
    let suspended = |cause| MachineState::Suspended(Suspended { since, cause });
    let retired = |cause| MachineState::Retired(Retired { since, cause });
    match (&*state, cause.as_deref()) {
        ("pending", None) => silent(MachineState::Pending(Pending { since })),
        ("active", None) => silent(MachineState::Active(Active { since })),
        ("suspended", Some("probation")) => silent(suspended(SuspendCause::Probation)),
        ("suspended", Some("operator")) => Ok(suspended(SuspendCause::Operator(reason))),
        ("suspended", Some("revoked")) => Ok(suspended(SuspendCause::Revoked(reason))),
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
            SuspendCause::Revoked(reason) => (Some("revoked"), reason.as_ref()),
        },
        MachineState::Retired(retired) => match &retired.cause {
            RetireCause::Operator(reason) => (Some("operator"), reason.as_ref()),
            RetireCause::Left => (Some("left"), None),
        },
    }
}

pub(crate) fn by_id(db: &Connection, tenant: TenantId, id: MachineId) -> Result<Option<Machine>, StoreError> {
    const SQL: &str = select!("WHERE m.tenant_id = ?1 AND m.id = ?2");
    sql::one(db, "read a machine", SQL, params![tenant.as_bytes(), id.as_bytes()], parse)
}

pub(crate) fn by_hardware(
    db: &Connection,
    tenant: TenantId,
    id: &HardwareId,
) -> Result<Option<Machine>, StoreError> {
    const LIVE: &str = select!("WHERE m.tenant_id = ?1 AND m.hardware_id = ?2 AND m.state <> 'retired'");
    const RETIRED: &str = select!(
        "WHERE m.tenant_id = ?1 AND m.hardware_id = ?2 AND m.state = 'retired' ORDER BY m.state_since DESC LIMIT 1"
    );
    let values = params![tenant.as_bytes(), id.as_str()];
    match sql::one(db, "read a machine by its hardware", LIVE, values, parse)? {
        Some(machine) => Ok(Some(machine)),
        None => sql::one(db, "read a retired machine by its hardware", RETIRED, values, parse),
    }
}

pub(crate) fn counts(db: &Connection, tenant: TenantId) -> Result<[u64; 4], StoreError> {
    let mut counts = [0; 4];
    for (count, state) in counts.iter_mut().zip(["pending", "active", "suspended", "retired"]) {
        *count = count_of(db, tenant, None, state)?;
    }
    Ok(counts)
}

/// How many machines of a tenant, or of one of its sites, are in a state.
pub(crate) fn count_of(
    db: &Connection,
    tenant: TenantId,
    site: Option<SiteId>,
    state: &str,
) -> Result<u64, StoreError> {
    const SQL: &str = "SELECT coalesce(sum(n), 0) FROM machine_counts
        WHERE tenant_id = ?1 AND state = ?2 AND (?3 IS NULL OR site_id = ?3)";
    let site = site.as_ref().map(SiteId::as_bytes);
    sql::count(db, "count machines", SQL, params![tenant.as_bytes(), state, site])
}

pub(crate) fn apply(
    db: &Connection,
    words: &mut search::Pending,
    change: &MachineChange,
) -> Result<(), StoreError> {
    match change {
        MachineChange::Create(machine) => {
            insert(db, machine)?;
            words.note(db.last_insert_rowid(), words_of(machine), false);
            count(db, machine, 1)
        }
        MachineChange::Update(machine) => {
            let before = by_id(db, machine.tenant, machine.id)?
                .ok_or_else(|| invariant("update a machine", "there is no such machine"))?;
            update(db, machine)?;
            let after = words_of(machine);
            if words_of(&before) != after {
                words.note(number(db, machine)?, after, true);
            }
            if (before.site, before.state.as_str()) == (machine.site, machine.state.as_str()) {
                return Ok(());
            }
            count(db, &before, -1)?;
            count(db, machine, 1)
        }
        // The one process that has this file holds every channel: the order reaches it without a row.
        MachineChange::Order { .. } => Ok(()),
    }
}

/// Keeps the count of the machines that stand as this one does.
fn count(db: &Connection, machine: &Machine, change: i64) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO machine_counts (tenant_id, site_id, state, n) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO UPDATE SET n = n + excluded.n";
    let state = machine.state.as_str();
    let values = params![machine.tenant.as_bytes(), machine.site.as_bytes(), state, change];
    sql::run_one(db, "keep the count of machines", SQL, values)
}

fn number(db: &Connection, machine: &Machine) -> Result<i64, StoreError> {
    const SQL: &str = "SELECT n FROM machines WHERE tenant_id = ?1 AND id = ?2";
    let values = params![machine.tenant.as_bytes(), machine.id.as_bytes()];
    let found = sql::one(db, "find a machine", SQL, values, |row| Cells::of(&MACHINES, row).get("n"))?;
    found.ok_or_else(|| invariant("find a machine", "there is no such machine"))
}

fn write(
    db: &Connection,
    what: &'static str,
    sql: &'static str,
    machine: &Machine,
) -> Result<(), StoreError> {
    let (cause, reason) = cause(&machine.state);
    let values = params![
        machine.tenant.as_bytes(),
        machine.id.as_bytes(),
        machine.site.as_bytes(),
        machine.name.as_str(),
        machine.hostname.as_ref().map(|name| name.as_str()),
        machine.kind.as_str(),
        machine.hardware_id.as_ref().map(|id| id.as_str()),
        machine.key.map(|key| key.0),
        machine.generation,
        machine.role.as_ref().map(|role| role.as_str()),
        json(machine.labels.iter()),
        json(machine.attributes.iter()),
        machine.grant.as_ref().map(GrantId::as_bytes),
        machine.state.as_str(),
        millis(machine.state.since()),
        cause,
        reason.map(|reason| reason.as_str()),
        millis(machine.created_at),
        machine.enrolled_at.map(millis),
    ];
    sql::run_one(db, what, sql, values)
}

fn insert(db: &Connection, machine: &Machine) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO machines
        (tenant_id, id, site_id, name, hostname, kind, hardware_id, key, generation, role, labels, attributes,
            grant_id, state, state_since, state_cause, state_reason, created_at, enrolled_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";
    write(db, "create a machine", SQL, machine)
}

/// A generation never falls: the row stays as it is, and the plan fails.
fn update(db: &Connection, machine: &Machine) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE machines SET site_id = ?3, name = ?4, hostname = ?5, kind = ?6, hardware_id = ?7,
        key = ?8, generation = ?9, role = ?10, labels = ?11, attributes = ?12, grant_id = ?13, state = ?14,
        state_since = ?15, state_cause = ?16, state_reason = ?17, created_at = ?18, enrolled_at = ?19
        WHERE tenant_id = ?1 AND id = ?2 AND generation <= ?9";
    write(db, "update a machine", SQL, machine)
}
