//! The few ways a statement is run. Statements are constants and stay prepared; values are bound, never written into
//! the text.

use muster_store::{Listed, PageRequest, StoreError};
use rusqlite::{Connection, Params, Row};

use crate::cells::Parsed;
use crate::failure::{failed, invariant};

/// One row, if there is one.
pub(crate) fn one<T>(
    connection: &Connection,
    what: &'static str,
    sql: &'static str,
    values: impl Params,
    parse: impl FnOnce(&Row<'_>) -> Parsed<T>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed(what))?;
    let mut rows = statement.query(values).map_err(failed(what))?;
    match rows.next().map_err(failed(what))? {
        Some(row) => parse(row).map(Some),
        None => Ok(None),
    }
}

/// Every row.
pub(crate) fn many<T>(
    connection: &Connection,
    what: &'static str,
    sql: &'static str,
    values: impl Params,
    parse: impl Fn(&Row<'_>) -> Parsed<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed(what))?;
    let mut rows = statement.query(values).map_err(failed(what))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed(what))? {
        found.push(parse(row)?);
    }
    Ok(found)
}

/// The single number that a counting statement gives.
pub(crate) fn count(
    connection: &Connection,
    what: &'static str,
    sql: &'static str,
    values: impl Params,
) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed(what))?;
    let counted: i64 = statement.query_row(values, |row| row.get(0)).map_err(failed(what))?;
    u64::try_from(counted).ok().ok_or_else(|| invariant(what, "a count below zero"))
}

/// A write. Gives how many rows it touched.
pub(crate) fn run(
    connection: &Connection,
    what: &'static str,
    sql: &'static str,
    values: impl Params,
) -> Result<usize, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed(what))?;
    statement.execute(values).map_err(failed(what))
}

/// A write of exactly one row that must be there.
pub(crate) fn run_one(
    connection: &Connection,
    what: &'static str,
    sql: &'static str,
    values: impl Params,
) -> Result<(), StoreError> {
    match run(connection, what, sql, values)? {
        1 => Ok(()),
        0 => Err(invariant(what, "there is no such row")),
        _ => Err(invariant(what, "there are several such rows")),
    }
}

/// How many rows to ask for: one more than the page holds tells whether there is more.
pub(crate) fn probe(page: PageRequest) -> i64 {
    i64::from(page.limit) + 1
}

/// Where a page begins in rising order. The empty blob sorts before every identifier.
pub(crate) fn above(page: &PageRequest) -> &[u8] {
    page.after.as_ref().map_or(&[], |after| after)
}

/// Where a page begins in falling order. Seventeen bytes of ones sort after every identifier.
pub(crate) fn below(page: &PageRequest) -> &[u8] {
    page.after.as_ref().map_or(&[0xff; 17], |after| after)
}

/// Cuts the extra row off and names the place to go on.
pub(crate) fn listed<T>(mut items: Vec<T>, page: PageRequest, key: impl Fn(&T) -> [u8; 16]) -> Listed<T> {
    let limit = page.limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(key);
    Listed { items, next }
}
