//! The words that machines are found by.
//!
//! A machine's words are those of what it is found by ([`search::texts`]), in lower case, and one for what each field says that
//! a term may name. A search finds the machines in which each of its words begins some word. How the words are indexed is with
//! the adapter.

use std::collections::BTreeSet;

use muster_model::search::{self, Field, Term, folded};
use muster_model::{GrantId, Machine, MachineId, TenantId};
use muster_store::MachineFilter;

/// The most words of a search that count.
const MOST: usize = 8;
/// For what is no letter and no digit.
const MARK: &str = "\u{e001}";
/// After all that a field says.
const END: &str = "\u{e002}";

/// The words of a machine, in their order. Each is of letters, digits and private-use characters alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(BTreeSet<String>);

impl Words {
    /// Those of a machine.
    pub fn of(machine: &Machine) -> Self {
        let mut words = BTreeSet::new();
        search::texts(machine).iter().for_each(|text| split(text, &mut words));
        for field in Field::ALL {
            words.extend(field.of(machine).iter().map(|value| said(field, &folded(value), END)));
        }
        Self(words)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether each word of a search begins one of them: what an index answers, without it.
    pub fn answer(&self, asked: &[String]) -> bool {
        let begins =
            |word: &String| self.0.range(word.clone()..).next().is_some_and(|known| known.starts_with(word));
        asked.iter().all(begins)
    }
}

/// The words that a filter asks for; none where it asks for none.
pub fn asked(filter: &MachineFilter) -> Vec<String> {
    let written = words(filter.search.as_deref().unwrap_or_default()).take(MOST);
    written.chain(filter.terms.iter().map(term_word)).collect()
}

/// The word that what a term asks for begins with.
fn term_word(term: &Term) -> String {
    said(term.field(), term.value(), if term.begins() { "" } else { END })
}

/// Whether a word of [`asked`] is a whole one: no word of a machine goes on after it, and an index need not look for more.
pub fn is_whole(word: &str) -> bool {
    word.ends_with(END)
}

/// A field and what it says, folded, as one word. Its private-use characters are in no word that somebody wrote; the field is one
/// of them, so that indexes of short beginnings tell apart what is said.
fn said(field: Field, value: &str, end: &str) -> String {
    let field = match field {
        Field::Label => '\u{e010}',
        Field::Grant => '\u{e011}',
        Field::Version => '\u{e012}',
        Field::Os => '\u{e013}',
        Field::Kind => '\u{e014}',
        Field::Role => '\u{e015}',
        Field::Address => '\u{e016}',
    };
    format!("{field}{}{end}", value.replace('-', MARK))
}

/// A word that stands for a tenant. Its private-use character is in no word of a machine or a search, so that no search
/// names a tenant.
pub fn tenant_word(tenant: TenantId) -> String {
    format!("\u{e000}{}", tenant.to_string().replace('_', ""))
}

/// The marks of hardware ids, machines and grants are no words: they would find every machine.
fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| !matches!(word.as_str(), "" | "hw" | MachineId::PREFIX | GrantId::PREFIX))
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
    fn q_40_a_word_of_a_search_is_letters_and_digits_alone() {
        let odd = "a\" OR b* NEAR(c) ^d:{e}\0\u{e000}tnt";
        let filter = |text: &str| MachineFilter { search: Some(text.to_owned()), ..MachineFilter::default() };
        assert_eq!(asked(&filter(odd)), ["a", "or", "b", "near", "c", "d", "e", "tnt"]);
        assert!(!asked(&filter(&tenant_word(TenantId::new(1, [0; 10]))))[0].starts_with('\u{e000}'));
    }
}
