//! SQLite as an engine of statements. It answers within the call: a future of it is never pending.

use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use muster_store::StoreError;
use muster_store_sql::cells::Parsed;
use muster_store_sql::{Cell, Engine, Row, Value, invariant};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::failure::failed;

/// Where a connection is.
pub trait Source: Send {
    /// The connection.
    fn connection(&mut self) -> &Connection;
}

/// A connection that runs the statements of both databases.
#[derive(Debug)]
pub struct Sqlite<S>(pub(crate) S);

impl<S: Source> Sqlite<S> {
    pub(crate) fn db(&mut self) -> &Connection {
        self.0.connection()
    }
}

impl<S: Source> Engine for Sqlite<S> {
    fn query<T: Send>(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
        parse: impl FnMut(&dyn Row) -> Parsed<T> + Send,
    ) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send {
        ready(query(self.db(), what, sql, values, parse))
    }

    fn first<T: Send>(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
        parse: impl FnMut(&dyn Row) -> Parsed<T> + Send,
    ) -> impl Future<Output = Result<Option<T>, StoreError>> + Send {
        ready(first(self.db(), what, sql, values, parse))
    }

    fn execute(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send {
        ready(execute(self.db(), what, sql, values))
    }
}

pub(crate) fn query<T>(
    db: &Connection,
    what: &'static str,
    sql: &'static str,
    values: &[Value<'_>],
    mut parse: impl FnMut(&dyn Row) -> Parsed<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(failed(what))?;
    let mut rows = statement.query(params_from_iter(bound(values))).map_err(failed(what))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed(what))? {
        found.push(parse(&Columns(row))?);
    }
    Ok(found)
}

pub(crate) fn first<T>(
    db: &Connection,
    what: &'static str,
    sql: &'static str,
    values: &[Value<'_>],
    mut parse: impl FnMut(&dyn Row) -> Parsed<T>,
) -> Result<Option<T>, StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(failed(what))?;
    let mut rows = statement.query(params_from_iter(bound(values))).map_err(failed(what))?;
    match rows.next().map_err(failed(what))? {
        Some(row) => parse(&Columns(row)).map(Some),
        None => Ok(None),
    }
}

pub(crate) fn execute(
    db: &Connection,
    what: &'static str,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<u64, StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(failed(what))?;
    let touched = statement.execute(params_from_iter(bound(values))).map_err(failed(what))?;
    Ok(touched as u64)
}

/// The value of a future that needs nothing but this engine.
pub(crate) fn at_once<T>(
    what: &'static str,
    future: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => Err(invariant(what, "it waits for something that is not the store")),
    }
}

struct Bound<'v>(Value<'v>);

fn bound<'v>(values: &'v [Value<'v>]) -> impl Iterator<Item = Bound<'v>> {
    values.iter().copied().map(Bound)
}

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

struct Columns<'r, 's>(&'r rusqlite::Row<'s>);

impl Row for Columns<'_, '_> {
    fn cell(&self, index: usize) -> Cell<'_> {
        self.0.get_ref(index).map_or(Cell::Odd, cell)
    }

    fn named(&self, column: &str) -> Cell<'_> {
        self.0.get_ref(column).map_or(Cell::Odd, cell)
    }

    fn name(&self, index: usize) -> Option<&str> {
        self.0.as_ref().column_name(index).ok()
    }
}

fn cell(value: ValueRef<'_>) -> Cell<'_> {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Text(text) => str::from_utf8(text).map_or(Cell::Odd, Cell::Text),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes),
        ValueRef::Real(_) => Cell::Odd,
    }
}
