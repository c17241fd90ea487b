//! The few ways a statement is run. Statements are constants and stay prepared; values are bound, never written into
//! the text.

use std::future::Future;

use muster_store::StoreError;

use crate::cells::Parsed;

/// A value that is bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'v> {
    /// Nothing.
    Null,
    /// A number, a time, a flag.
    Int(i64),
    /// A text.
    Text(&'v str),
    /// An identifier, a hash, a certificate.
    Bytes(&'v [u8]),
}

/// The values of a statement, each turned into a [`Value`].
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::Value::from($value)),*] };
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Int(i64::from(flag))
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(text)
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(text: &'v String) -> Self {
        Self::Text(text)
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'v, const N: usize> From<&'v [u8; N]> for Value<'v> {
    fn from(bytes: &'v [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'v, T: Into<Value<'v>>> From<Option<T>> for Value<'v> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'r> {
    /// Nothing.
    Null,
    /// A number, a time, a flag.
    Int(i64),
    /// A text.
    Text(&'r str),
    /// An identifier, a hash, a certificate.
    Bytes(&'r [u8]),
    /// What no column of Muster's holds.
    Odd,
}

/// A row, as a database gives it.
pub trait Row {
    /// The value of a column, counted from 0.
    fn cell(&self, index: usize) -> Cell<'_>;
    /// The value of a column, by its name: names a row in a report.
    fn named(&self, column: &str) -> Cell<'_>;
    /// The name of a column.
    fn name(&self, index: usize) -> Option<&str>;
}

/// A connection that runs statements, within a transaction of its own.
pub trait Engine: Send {
    /// Every row of a statement, parsed as it comes.
    fn query<T: Send>(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
        parse: impl FnMut(&dyn Row) -> Parsed<T> + Send,
    ) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send;

    /// The first row of a statement that gives one at most.
    fn first<T: Send>(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
        parse: impl FnMut(&dyn Row) -> Parsed<T> + Send,
    ) -> impl Future<Output = Result<Option<T>, StoreError>> + Send {
        async move { Ok(self.query(what, sql, values, parse).await?.into_iter().next()) }
    }

    /// A write. Gives how many rows it touched.
    fn execute(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}
