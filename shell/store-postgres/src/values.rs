//! Values on their way to the server, and rows on their way back.

use std::error::Error;

use bytes::BytesMut;
use muster_store_sql::{Cell, Row, Value};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A value that is kept until its statement is sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Owned {
    Null,
    Int(i64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
}

impl From<Value<'_>> for Owned {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Int(number) => Self::Int(number),
            Value::Text(text) => Self::Text(text.into()),
            Value::Bytes(bytes) => Self::Bytes(bytes.into()),
        }
    }
}

impl ToSql for Owned {
    /// A value of another type than the column's is our own mistake, and told by the server's name for it.
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self, ty) {
            (Self::Null, _) => return Ok(IsNull::Yes),
            (Self::Int(number), &Type::INT8) => out.extend_from_slice(&number.to_be_bytes()),
            (Self::Text(text), &Type::TEXT) => out.extend_from_slice(text.as_bytes()),
            (Self::Bytes(bytes), &Type::BYTEA) => out.extend_from_slice(bytes),
            _ => return Err(format!("{self:?} is no value of type {ty}").into()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A row, without the columns that we put before those that were asked for.
pub(crate) struct Found<'r> {
    pub(crate) row: &'r tokio_postgres::Row,
    pub(crate) skip: usize,
}

impl Row for Found<'_> {
    fn cell(&self, index: usize) -> Cell<'_> {
        self.row.try_get::<_, Raw<'_>>(index + self.skip).map_or(Cell::Odd, |raw| raw.0)
    }

    fn named(&self, column: &str) -> Cell<'_> {
        let columns = self.row.columns().iter().skip(self.skip);
        let found = columns.map(tokio_postgres::Column::name).position(|name| name == column);
        found.map_or(Cell::Odd, |index| self.cell(index))
    }

    fn name(&self, index: usize) -> Option<&str> {
        self.row.columns().get(index + self.skip).map(tokio_postgres::Column::name)
    }
}

struct Raw<'r>(Cell<'r>);

impl<'r> FromSql<'r> for Raw<'r> {
    fn from_sql(ty: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *ty {
            Type::INT8 => Cell::Int(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => Cell::Int(i64::from(i32::from_be_bytes(raw.try_into()?))),
            Type::TEXT => Cell::Text(std::str::from_utf8(raw)?),
            Type::BYTEA => Cell::Bytes(raw),
            _ => Cell::Odd,
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Cell::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
