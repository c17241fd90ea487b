//! The words that machines are found by.
//!
//! A machine's words are those of its name, hostname, hardware id and labels, in lower case. A search finds the machines
//! in which each of its words begins some word. The index is written once a commit for all machines of the commit: it
//! is the one part of a write that is cheap in bulk and dear one by one.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{Machine, TenantId};
use muster_store::StoreError;
use rusqlite::{Connection, params};

use crate::sql;

/// The most words of a search that count.
const MOST: usize = 8;

/// Machines whose words change with the next commit: row number to words, and whether it had words before.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    rows: BTreeMap<i64, (String, bool)>,
}

impl Pending {
    /// A machine whose words are new or others from now on.
    pub(crate) fn note(&mut self, n: i64, words: String, known: bool) {
        let known = self.rows.get(&n).map_or(known, |(_, known)| *known);
        self.rows.insert(n, (words, known));
    }

    pub(crate) fn append(&mut self, other: Self) {
        for (n, (words, known)) in other.rows {
            self.note(n, words, known);
        }
    }

    /// Writes the index.
    pub(crate) fn write(&mut self, db: &Connection) -> Result<(), StoreError> {
        const DELETE: &str = "DELETE FROM machine_search WHERE rowid = ?1";
        const INSERT: &str = "INSERT INTO machine_search (rowid, words) VALUES (?1, ?2)";
        for (n, (words, known)) in std::mem::take(&mut self.rows) {
            if known {
                sql::run(db, "forget the words of a machine", DELETE, params![n])?;
            }
            sql::run(db, "note the words of a machine", INSERT, params![n, words])?;
        }
        Ok(())
    }
}

/// What the index holds of a machine: its words, and one that stands for its tenant.
pub(crate) fn words_of(machine: &Machine) -> String {
    let words: Vec<String> = parts_of(machine).into_iter().chain([tenant_word(machine.tenant)]).collect();
    words.join(" ")
}

/// Whether a search finds a machine: what the index answers, without it.
pub(crate) fn finds(text: &str, machine: &Machine) -> bool {
    let known = parts_of(machine);
    let begins =
        |word: String| known.range(word.clone()..).next().is_some_and(|part| part.starts_with(&word));
    words(text).take(MOST).all(begins)
}

fn parts_of(machine: &Machine) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let texts = [
        Some(machine.name.as_str()),
        machine.hostname.as_ref().map(|name| name.as_str()),
        machine.hardware_id.as_ref().map(|id| id.as_str()),
    ];
    texts.into_iter().flatten().for_each(|text| split(text, &mut words));
    machine.labels.iter().for_each(|(key, value)| {
        split(key, &mut words);
        split(value, &mut words);
    });
    words
}

/// The query that finds the machines of a tenant with these words; `None` where the text holds no word.
pub(crate) fn query(tenant: TenantId, text: &str) -> Option<String> {
    // A word is letters and digits alone, so that no quote can end the quotation.
    let asked: Vec<String> = words(text).take(MOST).map(|word| format!("\"{word}\"*")).collect();
    if asked.is_empty() {
        return None;
    }
    Some(format!("\"{}\" AND {}", tenant_word(tenant), asked.join(" AND ")))
}

/// The private-use character is in no word of a machine or a search, so that no search names a tenant.
fn tenant_word(tenant: TenantId) -> String {
    format!("\u{e000}{}", tenant.to_string().replace('_', ""))
}

/// The mark of hardware ids is no word: it would find every machine.
fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| !matches!(word.as_str(), "" | "hw"))
}

/// Takes the words of a text, and of `host0042` also `host` and `0042`: people search for either, and the beginning that
/// all names of a fleet share is found faster as a word of its own than as the beginning of a million words.
fn split(text: &str, into: &mut BTreeSet<String>) {
    for word in words(text) {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &word[letters.len()..];
        if letters.len() > 1 && !digits.is_empty() && !letters.contains(char::is_numeric) {
            into.extend([letters.to_owned(), digits.to_owned()]);
        }
        into.insert(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = BTreeSet::new();
        split(text, &mut words);
        words.into_iter().collect()
    }

    fn asked(text: &str) -> String {
        let query = query(TenantId::new(1, [0; 10]), text).expect("it has words");
        query.split_once(" AND ").expect("the tenant comes first").1.to_owned()
    }

    #[test]
    fn names_are_split_where_people_would() {
        assert_eq!(words("Web-1.example.COM"), ["1", "com", "example", "web"]);
        assert_eq!(words("edgenode0042"), ["0042", "edgenode", "edgenode0042"]);
        assert_eq!(words("hw_3fa91c77"), ["3fa91c77"]);
        assert_eq!(words("Größe7"), ["7", "größe", "größe7"]);
        assert_eq!(words("a1"), ["a1"]);
        assert_eq!(words(" .-_ "), [""; 0]);
    }

    #[test]
    fn q_40_nothing_in_a_search_leaves_its_quotes() {
        let odd = "a\" OR b* NEAR(c) ^d:{e}\0\u{e000}tnt";
        assert_eq!(
            asked(odd),
            r#""a"* AND "or"* AND "b"* AND "near"* AND "c"* AND "d"* AND "e"* AND "tnt"*"#
        );
    }
}
