//! Presence rows. A row says online until somebody writes that the machine left; what a crash leaves behind ends when the
//! next process joins.

use muster_model::{MachineId, Presence, TenantId, Timestamp};
use muster_store::{PresenceNote, StoreError};
use rusqlite::{Connection, params};

use crate::cells::{Cells, Parsed, Table, millis};
use crate::sql;

static PRESENCE: Table =
    Table { name: "presence", key: "id", show: |id| MachineId::from_bytes(id).to_string() };

/// The columns of a presence row `p`, in the order of [`cells`]. NULL and 0 where there is none.
macro_rules! presence_columns {
    () => {
        "p.last_seen, coalesce(p.online, 0) AS online"
    };
}
pub(crate) use presence_columns;

/// Goes on with the columns of the presence row.
pub(crate) fn cells<'r, 's>(cells: Cells<'r, 's>) -> Parsed<(Presence, Cells<'r, 's>)> {
    let mut cells = cells.then(&PRESENCE);
    let presence = Presence { last_seen: cells.opt_time("last_seen")?, online: cells.flag("online")? };
    Ok((presence, cells))
}

pub(crate) fn of_machine(
    db: &Connection,
    tenant: TenantId,
    machine: MachineId,
) -> Result<Presence, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        presence_columns!(),
        ", p.machine_id AS id FROM presence p WHERE p.tenant_id = ?1 AND p.machine_id = ?2"
    );
    let parse = |row: &rusqlite::Row<'_>| cells(Cells::of(&PRESENCE, row)).map(|(presence, _)| presence);
    let values = params![tenant.as_bytes(), machine.as_bytes()];
    Ok(sql::one(db, "read a presence", SQL, values, parse)?.unwrap_or_default())
}

/// Writes transitions. What was heard never goes back; a machine that is not there has no presence.
pub(crate) fn note(db: &Connection, notes: &[PresenceNote]) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO presence (tenant_id, machine_id, last_seen, online)
        SELECT tenant_id, id, ?3, ?4 FROM machines
            WHERE tenant_id = ?1 AND id = ?2
        ON CONFLICT DO UPDATE
            SET last_seen = max(last_seen, excluded.last_seen), online = excluded.online";
    for note in notes {
        let PresenceNote { tenant, machine, last_seen, online } = note;
        let values = params![tenant.as_bytes(), machine.as_bytes(), millis(*last_seen), online];
        sql::run(db, "note a presence", SQL, values)?;
    }
    Ok(())
}

/// Ends the presence that a former process left behind: whoever it held a channel of counts as seen until now.
pub(crate) fn end_all(db: &Connection, now: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE presence SET online = 0, last_seen = max(last_seen, ?1) WHERE online = 1";
    sql::run(db, "end what a former process left", SQL, params![millis(now)]).map(drop)
}
