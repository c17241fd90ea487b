//! The few shapes in which statements are used, and the arithmetic of pages.

use muster_store::{Listed, PageRequest, StoreError};

use crate::cells::Parsed;
use crate::engine::{Cell, Engine, Row, Value};
use crate::failure::invariant;

/// One row, if there is one.
pub async fn one<E: Engine, T: Send>(
    engine: &mut E,
    what: &'static str,
    sql: &'static str,
    values: &[Value<'_>],
    parse: impl FnMut(&dyn Row) -> Parsed<T> + Send,
) -> Result<Option<T>, StoreError> {
    engine.first(what, sql, values, parse).await
}

/// Every row.
pub async fn many<E: Engine, T: Send>(
    engine: &mut E,
    what: &'static str,
    sql: &'static str,
    values: &[Value<'_>],
    parse: impl FnMut(&dyn Row) -> Parsed<T> + Send,
) -> Result<Vec<T>, StoreError> {
    engine.query(what, sql, values, parse).await
}

/// The single number that a counting statement gives.
pub async fn count<E: Engine>(
    engine: &mut E,
    what: &'static str,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<u64, StoreError> {
    let number = |row: &dyn Row| match row.cell(0) {
        Cell::Int(number) => u64::try_from(number).ok().ok_or_else(|| invariant(what, "a count below zero")),
        other => Err(invariant(what, format!("a count that is {other:?}"))),
    };
    let counted = engine.first(what, sql, values, number).await?;
    counted.ok_or_else(|| invariant(what, "a count that is no row"))
}

/// A write. Gives how many rows it touched.
pub async fn run<E: Engine>(
    engine: &mut E,
    what: &'static str,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<u64, StoreError> {
    engine.execute(what, sql, values).await
}

/// A write of exactly one row that must be there.
pub async fn run_one<E: Engine>(
    engine: &mut E,
    what: &'static str,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<(), StoreError> {
    match engine.execute(what, sql, values).await? {
        1 => Ok(()),
        0 => Err(invariant(what, "there is no such row")),
        _ => Err(invariant(what, "there are several such rows")),
    }
}

/// How many rows to ask for: one more than the page holds tells whether there is more.
pub fn probe(page: PageRequest) -> i64 {
    i64::from(page.limit) + 1
}

/// Where a page begins in rising order. The empty blob sorts before every identifier.
pub fn above(page: &PageRequest) -> &[u8] {
    page.after.as_ref().map_or(&[], |after| after)
}

/// Where a page begins in falling order. Seventeen bytes of ones sort after every identifier.
pub fn below(page: &PageRequest) -> &[u8] {
    page.after.as_ref().map_or(&[0xff; 17], |after| after)
}

/// Cuts the extra row off and names the place to go on.
pub fn listed<T>(mut items: Vec<T>, page: PageRequest, key: impl Fn(&T) -> [u8; 16]) -> Listed<T> {
    let limit = page.limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(key);
    Listed { items, next }
}
