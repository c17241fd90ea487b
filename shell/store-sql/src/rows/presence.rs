//! Presence rows, as they are read. How they are written is with the adapter: what ends the presence that a process left
//! behind depends on whether there are others.

use muster_model::{MachineId, Presence, TenantId};
use muster_store::StoreError;

use crate::cells::{Cells, Parsed, Table};
use crate::dialect::Dialect;
use crate::engine::Row;
use crate::{sql, values};

static PRESENCE: Table =
    Table { name: "presence", key: "id", show: |id| MachineId::from_bytes(id).to_string() };

/// Goes on with the columns of the presence row. NULL and 0 where there is none.
pub(crate) fn cells(cells: Cells<'_>) -> Parsed<(Presence, Cells<'_>)> {
    let mut cells = cells.then(&PRESENCE);
    let presence = Presence { last_seen: cells.opt_time("last_seen")?, online: cells.flag("online")? };
    Ok((presence, cells))
}

pub(crate) async fn of_machine<E: Dialect>(
    db: &mut E,
    tenant: TenantId,
    machine: MachineId,
) -> Result<Presence, StoreError> {
    let parse = |row: &dyn Row| cells(Cells::of(&PRESENCE, row)).map(|(presence, _)| presence);
    let values = values![tenant.as_bytes(), machine.as_bytes()];
    let found = sql::one(db, "read a presence", E::TEXTS.presence, &values, parse).await?;
    Ok(found.unwrap_or_default())
}
