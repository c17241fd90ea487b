//! Reads the columns of a row in their order, each into the type it must be, or tells which column cannot be.
//!
//! Never gives a default: a value that no version of Muster writes is [`StoreError::Broken`].

use std::net::IpAddr;
use std::str::FromStr;

use muster_model::{Actor, Attributes, KeyAlgorithm, KeyFingerprint, Labels, PublicKey, Timestamp};
use muster_store::StoreError;
use rusqlite::Row;
use rusqlite::types::{FromSql, ValueRef};

/// A table, and how its rows are named in a report.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// The column that names a row.
    pub(crate) key: &'static str,
    /// The text form of that column, where it is an identifier.
    pub(crate) show: fn([u8; 16]) -> String,
}

/// A row, and how far it has been read.
pub(crate) struct Cells<'r, 's> {
    table: &'static Table,
    row: &'r Row<'s>,
    next: usize,
}

pub(crate) type Parsed<T> = Result<T, StoreError>;

impl<'r, 's> Cells<'r, 's> {
    pub(crate) fn of(table: &'static Table, row: &'r Row<'s>) -> Self {
        Self { table, row, next: 0 }
    }

    /// Goes on with the columns that follow, which are of another table.
    pub(crate) fn then(self, table: &'static Table) -> Self {
        Self { table, ..self }
    }

    /// The next column, as SQLite holds it.
    pub(crate) fn get<T: FromSql>(&mut self, column: &'static str) -> Parsed<T> {
        debug_assert_eq!(self.row.as_ref().column_name(self.next).ok(), Some(column), "{}", self.table.name);
        let value = self.row.get(self.next);
        self.next += 1;
        value.ok().ok_or_else(|| self.broken(column))
    }

    pub(crate) fn id<T>(&mut self, column: &'static str, from: fn([u8; 16]) -> T) -> Parsed<T> {
        self.get(column).map(from)
    }

    pub(crate) fn opt_id<T>(&mut self, column: &'static str, from: fn([u8; 16]) -> T) -> Parsed<Option<T>> {
        Ok(self.get::<Option<[u8; 16]>>(column)?.map(from))
    }

    pub(crate) fn opt_fingerprint(&mut self, column: &'static str) -> Parsed<Option<KeyFingerprint>> {
        Ok(self.get::<Option<[u8; 32]>>(column)?.map(KeyFingerprint))
    }

    pub(crate) fn text<T: FromStr>(&mut self, column: &'static str) -> Parsed<T> {
        self.opt_text(column)?.ok_or_else(|| self.broken(column))
    }

    /// Text that must be as it was written: what parsing would trim was not written by us.
    pub(crate) fn opt_text<T: FromStr>(&mut self, column: &'static str) -> Parsed<Option<T>> {
        let Some(text) = self.get::<Option<Box<str>>>(column)? else { return Ok(None) };
        let trimmed = text.trim().len() == text.len();
        let value = text.parse().ok().filter(|_| trimmed);
        value.map(Some).ok_or_else(|| self.broken(column))
    }

    pub(crate) fn time(&mut self, column: &'static str) -> Parsed<Timestamp> {
        self.opt_time(column)?.ok_or_else(|| self.broken(column))
    }

    pub(crate) fn opt_time(&mut self, column: &'static str) -> Parsed<Option<Timestamp>> {
        let Some(millis) = self.get::<Option<i64>>(column)? else { return Ok(None) };
        Timestamp::from_millisecond(millis).ok().map(Some).ok_or_else(|| self.broken(column))
    }

    pub(crate) fn flag(&mut self, column: &'static str) -> Parsed<bool> {
        match self.get::<i64>(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.broken(column)),
        }
    }

    /// A name of a closed list.
    pub(crate) fn one_of<T: Copy>(
        &mut self,
        column: &'static str,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Parsed<T> {
        let text = self.get::<Box<str>>(column)?;
        all.iter().copied().find(|one| name(*one) == &*text).ok_or_else(|| self.broken(column))
    }

    pub(crate) fn opt_one_of<T: Copy>(
        &mut self,
        column: &'static str,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Parsed<Option<T>> {
        let Some(text) = self.get::<Option<Box<str>>>(column)? else { return Ok(None) };
        all.iter().copied().find(|one| name(*one) == &*text).map(Some).ok_or_else(|| self.broken(column))
    }

    pub(crate) fn labels(&mut self, column: &'static str) -> Parsed<Labels> {
        let pairs = self.pairs(column)?;
        let labels = Labels::new(&pairs).ok().ok_or_else(|| self.broken(column))?;
        if labels.iter().eq(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))) {
            return Ok(labels);
        }
        Err(self.broken(column))
    }

    pub(crate) fn attributes(&mut self, column: &'static str) -> Parsed<Attributes> {
        let pairs = self.pairs(column)?;
        let attributes = Attributes::new(&pairs).ok().ok_or_else(|| self.broken(column))?;
        if attributes.iter().eq(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))) {
            return Ok(attributes);
        }
        Err(self.broken(column))
    }

    /// A JSON object of strings.
    pub(crate) fn pairs(
        &mut self,
        column: &'static str,
    ) -> Parsed<std::collections::BTreeMap<String, String>> {
        let text = self.get::<Box<str>>(column)?;
        serde_json::from_str(&text).ok().ok_or_else(|| self.broken(column))
    }

    pub(crate) fn opt_address(&mut self, column: &'static str) -> Parsed<Option<IpAddr>> {
        self.opt_text(column)
    }

    pub(crate) fn opt_actor(&mut self, column: &'static str) -> Parsed<Option<Actor>> {
        self.opt_text(column)
    }

    /// Three columns: the algorithm, the key, and its fingerprint, which must be the key's.
    pub(crate) fn opt_key(&mut self, columns: [&'static str; 3]) -> Parsed<Option<PublicKey>> {
        let [algorithm, spki, fingerprint] = columns;
        let named: Option<KeyAlgorithm> = self.opt_text(algorithm)?;
        let bytes: Option<Vec<u8>> = self.get(spki)?;
        let print = self.opt_fingerprint(fingerprint)?;
        let key = match (named, bytes) {
            (Some(algorithm), Some(bytes)) => Some(PublicKey::new(algorithm, bytes)),
            (None, None) => None,
            (Some(_), None) => return Err(self.broken(spki)),
            (None, Some(_)) => return Err(self.broken(algorithm)),
        };
        if key.as_ref().map(PublicKey::fingerprint) != print {
            return Err(self.broken(fingerprint));
        }
        Ok(key)
    }

    /// Columns that exist in another state of the row must be empty in this one.
    pub(crate) fn absent<T>(&self, column: &'static str, value: &Option<T>) -> Parsed<()> {
        if value.is_some() { Err(self.broken(column)) } else { Ok(()) }
    }

    /// A column that must be filled in this state of the row.
    pub(crate) fn present<T>(&self, column: &'static str, value: Option<T>) -> Parsed<T> {
        value.ok_or_else(|| self.broken(column))
    }

    /// Names the row and the column.
    pub(crate) fn broken(&self, column: &'static str) -> StoreError {
        StoreError::Broken { table: self.table.name, row: self.named(), column }
    }

    fn named(&self) -> String {
        match self.row.get_ref(self.table.key) {
            Ok(ValueRef::Blob(bytes)) => match <[u8; 16]>::try_from(bytes) {
                Ok(id) => (self.table.show)(id),
                Err(_) => hex(bytes),
            },
            Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            Ok(ValueRef::Integer(number)) => number.to_string(),
            Ok(ValueRef::Null | ValueRef::Real(_)) | Err(_) => "?".to_owned(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().take(32).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

/// A time as it is stored: whole milliseconds, what is finer is cut off.
pub(crate) fn millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// A map as it is stored: a JSON object, its keys in order.
pub(crate) fn json<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let object: serde_json::Map<String, serde_json::Value> =
        pairs.map(|(key, value)| (key.to_owned(), value.into())).collect();
    serde_json::Value::Object(object).to_string()
}
