//! Reads the columns of a row in their order, each into the type it must be, or tells which column cannot be.
//!
//! Never gives a default: a value that no version of Muster writes is [`StoreError::Broken`].

use std::net::IpAddr;
use std::str::FromStr;

use muster_model::{Actor, Attributes, KeyAlgorithm, KeyFingerprint, Labels, PublicKey, Timestamp};
use muster_store::StoreError;

use crate::engine::{Cell, Row};

/// A table, and how its rows are named in a report.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The column that names a row.
    pub key: &'static str,
    /// The text form of that column, where it is an identifier.
    pub show: fn([u8; 16]) -> String,
}

/// A row, and how far it has been read.
pub struct Cells<'r> {
    table: &'static Table,
    row: &'r dyn Row,
    next: usize,
}

/// A value, or the report of the column that cannot be.
pub type Parsed<T> = Result<T, StoreError>;

impl<'r> Cells<'r> {
    /// From the first column on.
    pub fn of(table: &'static Table, row: &'r dyn Row) -> Self {
        Self { table, row, next: 0 }
    }

    /// Goes on with the columns that follow, which are of another table.
    pub fn then(self, table: &'static Table) -> Self {
        Self { table, ..self }
    }

    /// The next column.
    pub fn get<T: FromCell>(&mut self, column: &'static str) -> Parsed<T> {
        debug_assert_eq!(self.row.name(self.next), Some(column), "{}", self.table.name);
        let value = T::from_cell(self.row.cell(self.next));
        self.next += 1;
        value.ok_or_else(|| self.broken(column))
    }

    /// An identifier.
    pub fn id<T>(&mut self, column: &'static str, from: fn([u8; 16]) -> T) -> Parsed<T> {
        self.get(column).map(from)
    }

    /// An identifier, or nothing.
    pub fn opt_id<T>(&mut self, column: &'static str, from: fn([u8; 16]) -> T) -> Parsed<Option<T>> {
        Ok(self.get::<Option<[u8; 16]>>(column)?.map(from))
    }

    /// The fingerprint of a key, or nothing.
    pub fn opt_fingerprint(&mut self, column: &'static str) -> Parsed<Option<KeyFingerprint>> {
        Ok(self.get::<Option<[u8; 32]>>(column)?.map(KeyFingerprint))
    }

    /// Text of a type of ours.
    pub fn text<T: FromStr>(&mut self, column: &'static str) -> Parsed<T> {
        self.opt_text(column)?.ok_or_else(|| self.broken(column))
    }

    /// Text that must be as it was written: what parsing would trim was not written by us.
    pub fn opt_text<T: FromStr>(&mut self, column: &'static str) -> Parsed<Option<T>> {
        let Some(text) = self.get::<Option<Box<str>>>(column)? else { return Ok(None) };
        let trimmed = text.trim().len() == text.len();
        let value = text.parse().ok().filter(|_| trimmed);
        value.map(Some).ok_or_else(|| self.broken(column))
    }

    /// A time.
    pub fn time(&mut self, column: &'static str) -> Parsed<Timestamp> {
        self.opt_time(column)?.ok_or_else(|| self.broken(column))
    }

    /// A time, or nothing.
    pub fn opt_time(&mut self, column: &'static str) -> Parsed<Option<Timestamp>> {
        let Some(millis) = self.get::<Option<i64>>(column)? else { return Ok(None) };
        Timestamp::from_millisecond(millis).ok().map(Some).ok_or_else(|| self.broken(column))
    }

    /// 0 or 1.
    pub fn flag(&mut self, column: &'static str) -> Parsed<bool> {
        match self.get::<i64>(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.broken(column)),
        }
    }

    /// A name of a closed list.
    pub fn one_of<T: Copy>(
        &mut self,
        column: &'static str,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Parsed<T> {
        let text = self.get::<Box<str>>(column)?;
        all.iter().copied().find(|one| name(*one) == &*text).ok_or_else(|| self.broken(column))
    }

    /// A name of a closed list, or nothing.
    pub fn opt_one_of<T: Copy>(
        &mut self,
        column: &'static str,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Parsed<Option<T>> {
        let Some(text) = self.get::<Option<Box<str>>>(column)? else { return Ok(None) };
        all.iter().copied().find(|one| name(*one) == &*text).map(Some).ok_or_else(|| self.broken(column))
    }

    /// Labels, as they were written.
    pub fn labels(&mut self, column: &'static str) -> Parsed<Labels> {
        let pairs = self.pairs(column)?;
        let labels = Labels::new(&pairs).ok().ok_or_else(|| self.broken(column))?;
        if labels.iter().eq(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))) {
            return Ok(labels);
        }
        Err(self.broken(column))
    }

    /// Attributes, as they were written.
    pub fn attributes(&mut self, column: &'static str) -> Parsed<Attributes> {
        let pairs = self.pairs(column)?;
        let attributes = Attributes::new(&pairs).ok().ok_or_else(|| self.broken(column))?;
        if attributes.iter().eq(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))) {
            return Ok(attributes);
        }
        Err(self.broken(column))
    }

    /// A JSON object of strings.
    pub fn pairs(&mut self, column: &'static str) -> Parsed<std::collections::BTreeMap<String, String>> {
        let text = self.get::<Box<str>>(column)?;
        serde_json::from_str(&text).ok().ok_or_else(|| self.broken(column))
    }

    /// An address, or nothing.
    pub fn opt_address(&mut self, column: &'static str) -> Parsed<Option<IpAddr>> {
        self.opt_text(column)
    }

    /// Who did it, or nobody.
    pub fn opt_actor(&mut self, column: &'static str) -> Parsed<Option<Actor>> {
        self.opt_text(column)
    }

    /// Three columns: the algorithm, the key, and its fingerprint, which must be the key's.
    pub fn opt_key(&mut self, columns: [&'static str; 3]) -> Parsed<Option<PublicKey>> {
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
    pub fn absent<T>(&self, column: &'static str, value: &Option<T>) -> Parsed<()> {
        if value.is_some() { Err(self.broken(column)) } else { Ok(()) }
    }

    /// A column that must be filled in this state of the row.
    pub fn present<T>(&self, column: &'static str, value: Option<T>) -> Parsed<T> {
        value.ok_or_else(|| self.broken(column))
    }

    /// Names the row and the column.
    pub fn broken(&self, column: &'static str) -> StoreError {
        StoreError::Broken { table: self.table.name, row: self.named(), column }
    }

    fn named(&self) -> String {
        match self.row.named(self.table.key) {
            Cell::Bytes(bytes) => match <[u8; 16]>::try_from(bytes) {
                Ok(id) => (self.table.show)(id),
                Err(_) => hex(bytes),
            },
            Cell::Text(text) => text.to_owned(),
            Cell::Int(number) => number.to_string(),
            Cell::Null | Cell::Odd => "?".to_owned(),
        }
    }
}

/// What a column can be read as: exactly, or not at all.
pub trait FromCell: Sized {
    /// The value, where the cell holds one of this type.
    fn from_cell(cell: Cell<'_>) -> Option<Self>;
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            cell => T::from_cell(cell).map(Some),
        }
    }
}

impl FromCell for i64 {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Int(number) => Some(number),
            Cell::Null | Cell::Text(_) | Cell::Bytes(_) | Cell::Odd => None,
        }
    }
}

impl FromCell for u32 {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        i64::from_cell(cell)?.try_into().ok()
    }
}

impl FromCell for u64 {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        i64::from_cell(cell)?.try_into().ok()
    }
}

impl FromCell for Box<str> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text(text) => Some(text.into()),
            Cell::Null | Cell::Int(_) | Cell::Bytes(_) | Cell::Odd => None,
        }
    }
}

impl FromCell for String {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        Box::<str>::from_cell(cell).map(String::from)
    }
}

impl FromCell for Vec<u8> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Bytes(bytes) => Some(bytes.to_owned()),
            Cell::Null | Cell::Int(_) | Cell::Text(_) | Cell::Odd => None,
        }
    }
}

impl<const N: usize> FromCell for [u8; N] {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Bytes(bytes) => bytes.try_into().ok(),
            Cell::Null | Cell::Int(_) | Cell::Text(_) | Cell::Odd => None,
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
pub fn millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// A map as it is stored: a JSON object, its keys in order.
pub fn json<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let object: serde_json::Map<String, serde_json::Value> =
        pairs.map(|(key, value)| (key.to_owned(), value.into())).collect();
    serde_json::Value::Object(object).to_string()
}
