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
    words.insert(tenant_word(machine.tenant));
    words.into_iter().collect::<Vec<_>>().join(" ")
}

/// The query that finds the machines of a tenant with these words; `None` where the text holds no word.
pub(crate) fn query(tenant: TenantId, text: &str) -> Option<String> {
    let mut words = BTreeSet::new();
    split(text, &mut words);
    if words.is_empty() {
        return None;
    }
    // A word is letters and digits alone, so that no quote can end the quotation.
    let asked = words.iter().map(|word| format!("\"{word}\"*")).collect::<Vec<_>>().join(" AND ");
    Some(format!("\"{}\" AND {asked}", tenant_word(tenant)))
}

fn tenant_word(tenant: TenantId) -> String {
    tenant.to_string().replace('_', "")
}

/// Splits at everything that is neither letter nor digit, and `host0042` into `host` and `0042`: names of a fleet share
/// their beginning, and an index of a million different words that begin alike would answer slowly.
fn split(text: &str, words: &mut BTreeSet<String>) {
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let splits = letters.len() < word.len() && letters.len() > 1 && !letters.contains(char::is_numeric);
        match word.split_at_checked(letters.len()).filter(|_| splits) {
            Some((letters, digits)) => words.extend([letters.to_owned(), digits.to_owned()]),
            None => {
                words.insert(word);
            }
        }
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

    #[test]
    fn names_are_split_where_people_would() {
        assert_eq!(words("Web-1.example.COM"), ["1", "com", "example", "web"]);
        assert_eq!(words("edgenode0042"), ["0042", "edgenode"]);
        assert_eq!(words("hw_3fa91c77"), ["3fa91c77", "hw"]);
        assert_eq!(words("Größe7"), ["7", "größe"]);
        assert_eq!(words("a1"), ["a1"]);
        assert_eq!(words(" .-_ "), [""; 0]);
    }

    #[test]
    fn q_40_nothing_in_a_search_leaves_its_quotes() {
        let tenant = TenantId::new(1, [0; 10]);
        let query = query(tenant, "a\" OR b* NEAR(c) ^d:{e}\0").expect("it has words");
        let asked = query.split_once(" AND ").expect("the tenant comes first").1;
        assert_eq!(asked, r#""a"* AND "b"* AND "c"* AND "d"* AND "e"* AND "near"* AND "or"*"#);
    }
}
