//! The index of words.
//!
//! It holds of each machine its words, and one that stands for its tenant. It is written once a commit for all machines of
//! the commit: it is the one part of a write that is cheap in bulk and dear one by one.

use std::collections::BTreeMap;

use muster_model::TenantId;
use muster_store::StoreError;
use muster_store_sql::values;
use muster_store_sql::words::{Words, is_whole, tenant_word};
use rusqlite::Connection;

use crate::engine::execute;

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
                execute(db, "forget the words of a machine", DELETE, &values![n])?;
            }
            execute(db, "note the words of a machine", INSERT, &values![n, &words])?;
        }
        Ok(())
    }
}

/// What the index holds of a machine with these words.
pub(crate) fn indexed(tenant: TenantId, words: &Words) -> String {
    let tenant = tenant_word(tenant);
    let mut text =
        String::with_capacity(words.iter().map(|word| word.len() + 1).sum::<usize>() + tenant.len());
    for word in words.iter() {
        text.push_str(word);
        text.push(' ');
    }
    text + &tenant
}

/// The query that finds the machines of a tenant with these words. A word has no quote that could end the quotation.
pub(crate) fn query_of(tenant: TenantId, words: &[String]) -> String {
    let begins = |word: &String| if is_whole(word) { "" } else { "*" };
    let asked: Vec<String> = words.iter().map(|word| format!("\"{word}\"{}", begins(word))).collect();
    format!("\"{}\" AND {}", tenant_word(tenant), asked.join(" AND "))
}

#[cfg(test)]
mod tests {
    use muster_model::search::{Field, Term};
    use muster_store::MachineFilter;
    use muster_store_sql::words::asked;

    use super::*;

    #[test]
    fn q_40_nothing_in_a_search_leaves_its_quotes() {
        let odd = "a\" OR b* NEAR(c) ^d:{e}\0\u{e000}tnt";
        let filter = MachineFilter { search: Some(odd.to_owned()), ..MachineFilter::default() };
        let query = query_of(TenantId::new(1, [0; 10]), &asked(&filter));
        let (_, words) = query.split_once(" AND ").expect("the tenant comes first");
        assert_eq!(words, r#""a"* AND "or"* AND "b"* AND "near"* AND "c"* AND "d"* AND "e"* AND "tnt"*"#);
        let odd = MachineFilter { terms: vec![Term::new(Field::Role, odd)], ..MachineFilter::default() };
        let query = query_of(TenantId::new(1, [0; 10]), &asked(&odd));
        let (_, term) = query.split_once(" AND ").expect("the tenant comes first");
        let word = term.strip_prefix('"').and_then(|term| term.strip_suffix('"')).expect("one whole word");
        assert!(
            word.chars().all(|c| c.is_alphanumeric() || ('\u{e000}'..='\u{e0ff}').contains(&c)),
            "{word:?}"
        );
    }
}
