//! Reading everything.

use sha2::{Digest, Sha256};

use super::format::{Head, row_line, sum, table_line, tail_line};
use super::table::{ALL, Datum, PAGE, Texts};
use super::{Sink, TransferError};
use crate::cells::Parsed;
use crate::engine::{Cell, Engine, Row, Value};
use crate::rows::deployment;
use crate::sql;
use muster_store::StoreError;

const WHAT: &str = "export";

/// Writes everything an engine sees into a sink. Its transaction must show one moment. `told` hears how many rows went.
///
/// # Errors
/// What the database or the sink says; [`TransferError::Nothing`] where no deployment was founded.
pub async fn export<E: Engine, S: Sink>(
    engine: &mut E,
    sink: &mut S,
    mut told: impl FnMut(&Head, u64) + Send,
) -> Result<Head, TransferError> {
    let head = head(engine).await?;
    let mut out = Out { sink, hash: Sha256::new() };
    out.put(head.line()).await?;
    let mut rows = 0;
    for texts in ALL.iter() {
        out.put(table_line(texts.table)).await?;
        let mut after = texts.table.before_all();
        loop {
            let page = page(engine, texts, &after).await?;
            let Some(last) = page.last() else { break };
            after = texts.table.key_places().into_iter().map(|place| last[place].clone()).collect();
            rows += page.len() as u64;
            for row in &page {
                out.put(row_line(row)).await?;
            }
            told(&head, rows);
        }
    }
    out.sink.put(tail_line(rows, out.hash)).await?;
    Ok(head)
}

/// A sink, and the sum of what went into it.
struct Out<'s, S> {
    sink: &'s mut S,
    hash: Sha256,
}

impl<S: Sink> Out<'_, S> {
    async fn put(&mut self, line: String) -> Result<(), TransferError> {
        sum(&mut self.hash, &line);
        self.sink.put(line).await
    }
}

async fn head<E: Engine>(engine: &mut E) -> Result<Head, TransferError> {
    let deployment = deployment::deployment(engine).await?.ok_or(TransferError::Nothing)?;
    let newest = deployment::newest_entry(engine).await?;
    let mut counts = Vec::new();
    for texts in ALL.iter() {
        counts.push((texts.table.name, sql::count(engine, WHAT, &texts.count, &[]).await?));
    }
    Ok(Head::new(&deployment, newest, counts))
}

async fn page<E: Engine>(
    engine: &mut E,
    texts: &'static Texts,
    after: &[Datum],
) -> Result<Vec<Vec<Datum>>, StoreError> {
    let values: Vec<Value<'_>> = after.iter().map(Datum::value).chain([Value::Int(PAGE)]).collect();
    engine.query(WHAT, &texts.page, &values, |row| parse(texts, row)).await
}

fn parse(texts: &Texts, row: &dyn Row) -> Parsed<Vec<Datum>> {
    let datum = |(place, (column, kind)): (usize, &(&'static str, _))| {
        Datum::of(row.cell(place), *kind).ok_or_else(|| broken(texts, row, column))
    };
    texts.table.columns.iter().enumerate().map(datum).collect()
}

fn broken(texts: &Texts, row: &dyn Row, column: &'static str) -> StoreError {
    let key = texts.table.key.last().map_or(Cell::Null, |key| row.named(key));
    StoreError::Broken { table: texts.table.name, row: format!("{key:?}"), column }
}
