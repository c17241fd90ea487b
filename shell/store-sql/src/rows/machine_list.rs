//! Machines as lists show them: each with the code of its site, its presence, its credential and who contests it.
//!
//! Each filter has a statement that walks an index in the order of the page and stops when the page is full, so that a
//! page costs the same among ten thousand machines as among a million.

use muster_model::{HoldId, MachineId, SiteId, TenantId};
use muster_store::{Listed, MachineFilter, MachineRow, PageRequest, StoreError};

use super::machine::{self, MACHINES};
use super::presence;
use crate::cells::{Cells, Parsed, Table};
use crate::dialect::Dialect;
use crate::engine::{Engine, Row};
use crate::words::{self, Words};
use crate::{sql, values};

/// So many machines are looked at one by one.
const FEW: u64 = 2000;

static EXTRAS: Table =
    Table { name: "machines", key: "id", show: |id| MachineId::from_bytes(id).to_string() };

fn parse(row: &dyn Row) -> Parsed<MachineRow> {
    machine_row(row).map(|(_, row)| row)
}

/// A machine as lists show it, and its number: what [`select_machine_rows!`](crate::select_machine_rows) gives.
///
/// # Errors
/// [`StoreError::Broken`] with the column that cannot be.
pub fn machine_row(row: &dyn Row) -> Parsed<(i64, MachineRow)> {
    let mut cells = Cells::of(&MACHINES, row);
    let machine = machine::cells(&mut cells)?;
    let (presence, cells) = presence::cells(cells)?;
    let mut cells = cells.then(&EXTRAS);
    let row = MachineRow {
        machine,
        presence,
        site: cells.text("site")?,
        credential_expires: cells.opt_time("credential_expires")?,
        contested_by: cells
            .opt_id("contested_by", HoldId::from_bytes)?
            .zip(cells.opt_time("contested_until")?),
    };
    Ok((cells.get("n")?, row))
}

pub(crate) async fn row<E: Dialect>(
    db: &mut E,
    tenant: TenantId,
    id: MachineId,
) -> Result<Option<MachineRow>, StoreError> {
    let values = values![tenant.as_bytes(), id.as_bytes()];
    sql::one(db, "read a machine's row", E::TEXTS.row, &values, parse).await
}

pub(crate) async fn page<E: Dialect>(
    db: &mut E,
    tenant: TenantId,
    filter: &MachineFilter,
    page: PageRequest,
) -> Result<Listed<MachineRow>, StoreError> {
    let asked = words::asked(filter);
    let rows = match filter.state {
        _ if asked.is_empty() => walked(db, tenant, filter, page).await,
        Some(state) if machine::count_of(db, tenant, filter.site, state).await? <= FEW => {
            sifted(db, tenant, filter.site, state, page, &asked).await
        }
        _ => db.found(tenant, filter, page, &asked).await,
    }?;
    Ok(sql::listed(rows, page, |row| *row.machine.id.as_bytes()))
}

/// Pages without a search, in the order of the identifiers.
async fn walked<E: Dialect>(
    db: &mut E,
    tenant: TenantId,
    filter: &MachineFilter,
    page: PageRequest,
) -> Result<Vec<MachineRow>, StoreError> {
    let (tenant, above, limit) = (tenant.as_bytes(), sql::above(&page), sql::probe(page));
    let (what, texts) = ("list machines", E::TEXTS);
    match (&filter.site, filter.state) {
        (None, None) => sql::many(db, what, texts.all, &values![tenant, above, limit], parse).await,
        (None, Some(state)) => {
            sql::many(db, what, texts.of_state, &values![tenant, above, limit, state], parse).await
        }
        (Some(site), None) => {
            sql::many(db, what, texts.of_site, &values![tenant, above, limit, site.as_bytes()], parse).await
        }
        (Some(site), Some(state)) => {
            let values = values![tenant, above, limit, state, site.as_bytes()];
            sql::many(db, what, texts.of_site_and_state, &values, parse).await
        }
    }
}

/// The page of a search, where the state has so few machines that each can be looked at: a word that a million machines
/// have would otherwise be followed through all of them to find those few.
async fn sifted<E: Dialect>(
    db: &mut E,
    tenant: TenantId,
    site: Option<SiteId>,
    state: &str,
    page: PageRequest,
    asked: &[String],
) -> Result<Vec<MachineRow>, StoreError> {
    let start = place(db, tenant, page).await?;
    let (tenant, what, texts) = (tenant.as_bytes(), "sift machines", E::TEXTS);
    let mut rows = match site {
        None => sql::many(db, what, texts.sift_state, &values![tenant, state, start], machine_row).await,
        Some(site) => {
            let values = values![tenant, state, start, site.as_bytes()];
            sql::many(db, what, texts.sift_site_and_state, &values, machine_row).await
        }
    }?;
    rows.retain(|(_, row)| Words::of(&row.machine).answer(asked));
    rows.sort_unstable_by_key(|(n, _)| *n);
    rows.truncate(page.limit as usize + 1);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// The number of the machine that ended the last page; 0 where this is the first.
///
/// # Errors
/// Those of the engine.
pub async fn place<E: Engine>(db: &mut E, tenant: TenantId, page: PageRequest) -> Result<i64, StoreError> {
    const SQL: &str = "SELECT n FROM machines WHERE tenant_id = ?1 AND id <= ?2 ORDER BY id DESC LIMIT 1";
    let Some(after) = page.after else { return Ok(0) };
    let parse = |row: &dyn Row| Cells::of(&MACHINES, row).get("n");
    let values = values![tenant.as_bytes(), &after];
    Ok(sql::one(db, "find the place of a page", SQL, &values, parse).await?.unwrap_or(0))
}
