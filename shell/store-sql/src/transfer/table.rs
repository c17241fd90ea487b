//! The tables that are carried, each with its columns, those that others name first.

use std::fmt::Write;
use std::sync::LazyLock;

use crate::engine::{Cell, Value};

/// How many rows are read at a time.
pub(super) const PAGE: i64 = 1000;
/// How many rows are written by one statement: SQLite takes 32,766 values.
pub(super) const BATCH: usize = 100;

/// What a column holds, where it holds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
    Bytes,
}

/// A value on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Datum {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A table: how it is called, its columns, and the first of them by which its rows are told apart and ordered.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Kind)],
    pub(super) key: &'static [&'static str],
}

/// The statements of a table.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) table: &'static Table,
    pub(super) count: String,
    /// A page of rows after a key.
    pub(super) page: String,
    pub(super) insert: String,
    pub(super) insert_batch: String,
}

macro_rules! tables {
    ($($table:ident ($($column:ident $kind:ident),*) by ($($key:ident),*);)*) => {
        const TABLES: &[Table] = &[$(Table {
            name: stringify!($table),
            columns: &[$((stringify!($column), Kind::$kind)),*],
            key: &[$(stringify!($key)),*],
        }),*];
    };
}

tables! {
    tenants (id Bytes, code Text, created_at Int) by (id);
    sites (tenant_id Bytes, id Bytes, code Text, approval Int, requests Int, reimage Text, seats Int, hold_cap Int,
        created_at Int) by (tenant_id, id);
    operators (tenant_id Bytes, id Bytes, name Text, role Text, created_at Int, folded Text, disabled_at Int,
        password Text, factor_salt Bytes, factor_at Int, factor_step Int, factor_recovery Bytes) by (tenant_id, id);
    access_tokens (tenant_id Bytes, id Bytes, operator_id Bytes, kind Text, name Text, role Text, secret Bytes,
        hash Bytes, created_at Int, expires_at Int, ended_at Int, scopes Text, team Text, entrance Text) by (tenant_id, id);
    grants (tenant_id Bytes, id Bytes, site_id Bytes, kind Text, version Int, fingerprint Bytes, machine_id Bytes,
        secret Bytes, hash Bytes, uses Text, uses_limit Int, uses_count Int, bound_at Int, bound_key Bytes,
        expires_at Int, labels Text, role Text, machine_kind Text, approval Int, state Text, ended_at Int,
        created_at Int, imported Text) by (tenant_id, id);
    machines (n Int, tenant_id Bytes, id Bytes, site_id Bytes, name Text, hostname Text, kind Text, hardware_id Text,
        key Bytes, generation Int, role Text, labels Text, attributes Text, grant_id Bytes, state Text,
        state_since Int, state_cause Text, state_reason Text, created_at Int, enrolled_at Int, entered_at Int,
        entered_from Text, approved_by Text, readmit_until Int, key_since Int, alarmed_at Int, alarm_cause Text,
        entered_grant Bytes)
        by (n);
    keys (fingerprint Bytes, tenant_id Bytes, algorithm Text, spki Bytes, machine_id Bytes, generation Int,
        standing Text, ordered_at Int) by (fingerprint, tenant_id);
    credentials (tenant_id Bytes, id Bytes, machine_id Bytes, generation Int, kind Text, key Bytes, secret Bytes,
        hash Bytes, not_before Int, not_after Int, state Text, certificate Bytes, used_at Int,
        ended_at Int, ended_reason Text) by (tenant_id, id);
    software_agents (tenant_id Bytes, machine_id Bytes, nick Text, folded Text, role Text, team Text, skills Text,
        version Int, freed_at Int) by (tenant_id, machine_id);
    engagements (tenant_id Bytes, machine_id Bytes, version Int, document Text, author Text, at Int,
        acknowledged_at Int)
        by (tenant_id, machine_id, version);
    presence (tenant_id Bytes, machine_id Bytes, last_seen Int, bundle Int) by (tenant_id, machine_id);
    holds (tenant_id Bytes, id Bytes, site_id Bytes, reason Text, algorithm Text, spki Bytes, fingerprint Bytes,
        hardware_id Text, hostname Text, kind Text, attributes Text, source Text, method Text, existing Bytes,
        grant_id Bytes, state Text, decided_at Int, decided_by Text, decided_machine Bytes, decided_reason Text,
        created_at Int, expires_at Int, verifier Bytes, asked Int) by (tenant_id, id);
    accounts (tenant_id Bytes, id Bytes, machine_id Bytes, provisioner Text, name Text, folded Text, wanted Text,
        version Int, secret Int, provenance Text, delivery Text, at Int, attempts Int, mishap Text, mishap_text Text,
        created_at Int) by (tenant_id, id);
    remembered (tenant_id Bytes, key Bytes, request Bytes, object Text, at Int) by (tenant_id, key);
    nonces (tenant_id Bytes, key Bytes, issued Int, before_leap Int, after_leap Int, apart Bytes) by (tenant_id, key);
    failures (tenant_id Bytes, key Bytes, count Int, at Int) by (tenant_id, key);
    boots (tenant_id Bytes, key Bytes, boot Bytes, earlier Bytes) by (tenant_id, key);
    audit (seq Int, tenant_id Bytes, id Bytes, at Int, actor Text, action Text, object Text, reason Text, source Text,
        detail Text) by (seq);
    watched (began Int, until Int) by (began);
    pulse (at Int, tenant_id Bytes, replica Bytes, online Int, machines Int, enrolled Int, refused Int, ended Int)
        by (at, tenant_id, replica);
    reaper (tenant_id Bytes, stopped_at Int, due Int, fleet Int) by (tenant_id);
    deployment (one Int, id Bytes, proof Bytes) by (one);
    ca (one Int, revision Int, bundle Int, phase Text, since Int, signs_since Int, rotate_before Int, before Int, sealed Bytes) by (one);
    incarnations (n Int, id Bytes, at Int, gap_incarnation Bytes, gap_seen Int, gap_found Int) by (n);
}

/// Columns that are not carried, with what they are on the other side: nobody is online there.
const ANEW: [(&str, &str, &str); 1] = [("presence", ", online", ", 0")];

/// The statements of every table, in order.
pub(super) static ALL: LazyLock<Vec<Texts>> = LazyLock::new(|| TABLES.iter().map(texts).collect());

impl Table {
    /// The names of its columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|(name, _)| *name)
    }

    /// The places of its key among its columns.
    pub(super) fn key_places(&self) -> Vec<usize> {
        let place = |key: &&str| self.names().position(|name| name == *key);
        self.key.iter().map(|key| place(key).expect("a key is a column")).collect()
    }

    /// A key that is before every row's: no identifier is empty.
    pub(super) fn before_all(&self) -> Vec<Datum> {
        let least = |place: usize| match self.columns[place].1 {
            Kind::Int => Datum::Int(i64::MIN),
            Kind::Text => Datum::Text(String::new()),
            Kind::Bytes => Datum::Bytes(Vec::new()),
        };
        self.key_places().into_iter().map(least).collect()
    }
}

fn texts(table: &'static Table) -> Texts {
    let Table { name, key, .. } = table;
    let names = table.names().collect::<Vec<_>>().join(", ");
    let (keys, marks) = (key.join(", "), marks(0, key.len()));
    let last = key.len() + 1;
    Texts {
        table,
        count: format!("SELECT count(*) FROM {name}"),
        page: format!("SELECT {names} FROM {name} WHERE ({keys}) > ({marks}) ORDER BY {keys} LIMIT ?{last}"),
        insert: insert(table, &names, 1),
        insert_batch: insert(table, &names, BATCH),
    }
}

fn insert(table: &Table, names: &str, rows: usize) -> String {
    let anew = ANEW.iter().find(|(name, ..)| *name == table.name);
    let (more, values) = anew.map_or(("", ""), |(_, more, values)| (*more, *values));
    let mut text = format!("INSERT INTO {} ({names}{more}) VALUES ", table.name);
    for row in 0..rows {
        let comma = if row == 0 { "" } else { ", " };
        let marks = marks(row * table.columns.len(), table.columns.len());
        write!(text, "{comma}({marks}{values})").expect("a String takes everything");
    }
    text
}

/// `?4, ?5, ?6` for three values after three.
fn marks(before: usize, count: usize) -> String {
    (before + 1..=before + count).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ")
}

impl Datum {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
        }
    }

    /// The value of a cell that holds what its column does.
    pub(super) fn of(cell: Cell<'_>, kind: Kind) -> Option<Self> {
        match (cell, kind) {
            (Cell::Null, _) => Some(Self::Null),
            (Cell::Int(number), Kind::Int) => Some(Self::Int(number)),
            (Cell::Text(text), Kind::Text) => Some(Self::Text(text.to_owned())),
            (Cell::Bytes(bytes), Kind::Bytes) => Some(Self::Bytes(bytes.to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_name_every_column_once_and_fit_into_sqlite() {
        let presence = ALL.iter().find(|texts| texts.table.name == "presence").expect("it is carried");
        assert_eq!(
            presence.insert,
            "INSERT INTO presence (tenant_id, machine_id, last_seen, bundle, online) VALUES (?1, ?2, ?3, ?4, 0)"
        );
        assert_eq!(
            presence.page,
            "SELECT tenant_id, machine_id, last_seen, bundle FROM presence WHERE (tenant_id, machine_id) > (?1, ?2) \
             ORDER BY tenant_id, machine_id LIMIT ?3"
        );
        for texts in ALL.iter() {
            assert!(texts.table.columns.len() * BATCH <= 32_766, "{}", texts.table.name);
            assert!(texts.insert_batch.contains(&format!("?{}", texts.table.columns.len() * BATCH)));
        }
    }
}
