//! Machines as lists show them: each with the code of its site, its presence, its credential and who contests it.
//!
//! Each filter has a statement that walks an index in the order of the page and stops when the page is full, so that a
//! page costs the same among ten thousand machines as among a million.

use muster_model::{HoldId, MachineId, TenantId};
use muster_store::{Listed, MachineFilter, MachineRow, PageRequest, StoreError};
use rusqlite::{Connection, Row, params};

use super::machine::{self, MACHINES, machine_columns};
use super::presence::{self, presence_columns};
use crate::cells::{Cells, Parsed, Table};
use crate::{search, sql};

/// So many machines are looked at one by one.
const FEW: u64 = 2000;

static EXTRAS: Table =
    Table { name: "machines", key: "id", show: |id| MachineId::from_bytes(id).to_string() };

/// CROSS JOIN keeps the order of the tables as it is written: the page drives, the rest is looked up row by row.
macro_rules! select {
    ($from:literal, $tail:literal) => {
        concat!(
            "SELECT ",
            machine_columns!(),
            ", ",
            presence_columns!(),
            ", s.code AS site,
            (SELECT not_after FROM credentials c WHERE c.tenant_id = m.tenant_id AND c.machine_id = m.id
                AND c.state = 'issued' ORDER BY c.id DESC LIMIT 1) AS credential_expires,
            (SELECT h.id FROM holds h WHERE h.tenant_id = m.tenant_id AND h.existing = m.id AND h.state = 'open'
                AND (h.fingerprint IS NOT m.key OR h.reason = 'key_mismatch')
                ORDER BY h.id DESC LIMIT 1) AS contested_by,
            (SELECT h.expires_at FROM holds h WHERE h.tenant_id = m.tenant_id AND h.existing = m.id
                AND h.state = 'open' AND (h.fingerprint IS NOT m.key OR h.reason = 'key_mismatch')
                ORDER BY h.id DESC LIMIT 1) AS contested_until, m.n
            FROM ",
            $from,
            " CROSS JOIN sites s ON s.tenant_id = m.tenant_id AND s.id = m.site_id
            LEFT JOIN presence p ON p.tenant_id = m.tenant_id AND p.machine_id = m.id ",
            $tail
        )
    };
}

fn parse(row: &Row<'_>) -> Parsed<MachineRow> {
    parse_numbered(row).map(|(_, row)| row)
}

fn parse_numbered(row: &Row<'_>) -> Parsed<(i64, MachineRow)> {
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

pub(crate) fn row(
    db: &Connection,
    tenant: TenantId,
    id: MachineId,
) -> Result<Option<MachineRow>, StoreError> {
    const SQL: &str = select!("machines m", "WHERE m.tenant_id = ?1 AND m.id = ?2");
    sql::one(db, "read a machine's row", SQL, params![tenant.as_bytes(), id.as_bytes()], parse)
}

pub(crate) fn page(
    db: &Connection,
    tenant: TenantId,
    filter: &MachineFilter,
    page: PageRequest,
) -> Result<Listed<MachineRow>, StoreError> {
    let query = filter.search.as_deref().and_then(|text| search::query(tenant, text));
    let rows = match (query, filter.state) {
        (None, _) => walked(db, tenant, filter, page),
        (Some(_), Some(state)) if machine::count_of(db, tenant, filter.site, state)? <= FEW => {
            sifted(db, tenant, filter, page)
        }
        (Some(query), _) => found(db, tenant, filter, page, &query),
    }?;
    Ok(sql::listed(rows, page, |row| *row.machine.id.as_bytes()))
}

/// Pages without a search, in the order of the identifiers.
fn walked(
    db: &Connection,
    tenant: TenantId,
    filter: &MachineFilter,
    page: PageRequest,
) -> Result<Vec<MachineRow>, StoreError> {
    const ALL: &str = select!("machines m", "WHERE m.tenant_id = ?1 AND m.id > ?2 ORDER BY m.id LIMIT ?3");
    const OF_STATE: &str =
        select!("machines m", "WHERE m.tenant_id = ?1 AND m.id > ?2 AND m.state = ?4 ORDER BY m.id LIMIT ?3");
    const OF_SITE_AND_STATE: &str = select!(
        "machines m",
        "WHERE m.tenant_id = ?1 AND m.id > ?2 AND m.state = ?4 AND m.site_id = ?5 ORDER BY m.id LIMIT ?3"
    );
    // The index has the state before the identifier: four walks, the first rows of each, and of these the first.
    const OF_SITE: &str = select!(
        "(SELECT n FROM (
            SELECT * FROM (SELECT n, id FROM machines WHERE tenant_id = ?1 AND site_id = ?4 AND state = 'pending'
                AND id > ?2 ORDER BY id LIMIT ?3)
            UNION ALL
            SELECT * FROM (SELECT n, id FROM machines WHERE tenant_id = ?1 AND site_id = ?4 AND state = 'active'
                AND id > ?2 ORDER BY id LIMIT ?3)
            UNION ALL
            SELECT * FROM (SELECT n, id FROM machines WHERE tenant_id = ?1 AND site_id = ?4 AND state = 'suspended'
                AND id > ?2 ORDER BY id LIMIT ?3)
            UNION ALL
            SELECT * FROM (SELECT n, id FROM machines WHERE tenant_id = ?1 AND site_id = ?4 AND state = 'retired'
                AND id > ?2 ORDER BY id LIMIT ?3)
        ) ORDER BY id LIMIT ?3) AS first CROSS JOIN machines m ON m.n = first.n",
        "ORDER BY m.id LIMIT ?3"
    );
    let (tenant, above, limit) = (tenant.as_bytes(), sql::above(&page), sql::probe(page));
    let what = "list machines";
    match (&filter.site, filter.state) {
        (None, None) => sql::many(db, what, ALL, params![tenant, above, limit], parse),
        (None, Some(state)) => sql::many(db, what, OF_STATE, params![tenant, above, limit, state], parse),
        (Some(site), None) => {
            sql::many(db, what, OF_SITE, params![tenant, above, limit, site.as_bytes()], parse)
        }
        (Some(site), Some(state)) => {
            let values = params![tenant, above, limit, state, site.as_bytes()];
            sql::many(db, what, OF_SITE_AND_STATE, values, parse)
        }
    }
}

/// Pages of a search, in the order in which the machines came: the order of the index of words.
fn found(
    db: &Connection,
    tenant: TenantId,
    filter: &MachineFilter,
    page: PageRequest,
    query: &str,
) -> Result<Vec<MachineRow>, StoreError> {
    const SQL: &str = select!(
        "machine_search w CROSS JOIN machines m ON m.n = w.rowid",
        "WHERE w.machine_search MATCH ?2 AND w.rowid > ?4 AND m.tenant_id = ?1
            AND (?5 IS NULL OR m.state = ?5) AND (?6 IS NULL OR m.site_id = ?6)
            ORDER BY w.rowid LIMIT ?3"
    );
    let start = page.after.map_or(Ok(0), |after| place(db, tenant, after))?;
    let site = filter.site.as_ref().map(|site| site.as_bytes());
    let values = params![tenant.as_bytes(), query, sql::probe(page), start, filter.state, site];
    sql::many(db, "search machines", SQL, values, parse)
}

/// The same page, where the state has so few machines that each can be looked at: a word that a million machines have
/// would otherwise be followed through all of them to find those few.
fn sifted(
    db: &Connection,
    tenant: TenantId,
    filter: &MachineFilter,
    page: PageRequest,
) -> Result<Vec<MachineRow>, StoreError> {
    const OF_STATE: &str = select!("machines m", "WHERE m.tenant_id = ?1 AND m.state = ?2 AND m.n > ?3");
    const OF_SITE_AND_STATE: &str =
        select!("machines m", "WHERE m.tenant_id = ?1 AND m.state = ?2 AND m.n > ?3 AND m.site_id = ?4");
    let start = page.after.map_or(Ok(0), |after| place(db, tenant, after))?;
    let (tenant, what) = (tenant.as_bytes(), "sift machines");
    let mut rows = match &filter.site {
        None => sql::many(db, what, OF_STATE, params![tenant, filter.state, start], parse_numbered),
        Some(site) => {
            let values = params![tenant, filter.state, start, site.as_bytes()];
            sql::many(db, what, OF_SITE_AND_STATE, values, parse_numbered)
        }
    }?;
    let text = filter.search.as_deref().unwrap_or_default();
    rows.retain(|(_, row)| search::finds(text, &row.machine));
    rows.sort_unstable_by_key(|(n, _)| *n);
    rows.truncate(page.limit as usize + 1);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// The row number of the machine that ended the last page.
fn place(db: &Connection, tenant: TenantId, after: [u8; 16]) -> Result<i64, StoreError> {
    const SQL: &str = "SELECT n FROM machines WHERE tenant_id = ?1 AND id <= ?2 ORDER BY id DESC LIMIT 1";
    let values = params![tenant.as_bytes(), after];
    let parse = |row: &Row<'_>| Cells::of(&MACHINES, row).get("n");
    Ok(sql::one(db, "find the place of a page", SQL, values, parse)?.unwrap_or(0))
}
