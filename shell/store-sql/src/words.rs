//! The words that machines are found by.
//!
//! A machine's words are those of its name, hostname, hardware id and labels, in lower case. A search finds the machines
//! in which each of its words begins some word. How the words are indexed is with the adapter.

use std::collections::BTreeSet;

use muster_model::{Machine, TenantId};

/// The most words of a search that count.
const MOST: usize = 8;

/// The words of a machine, in their order. Each is of letters and digits alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(BTreeSet<String>);

impl Words {
    /// Those of a machine.
    pub fn of(machine: &Machine) -> Self {
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

/// The words of a search; none where the text holds no word.
pub fn asked(text: &str) -> Vec<String> {
    words(text).take(MOST).collect()
}

/// A word that stands for a tenant. Its private-use character is in no word of a machine or a search, so that no search
/// names a tenant.
pub fn tenant_word(tenant: TenantId) -> String {
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
        assert_eq!(asked(odd), ["a", "or", "b", "near", "c", "d", "e", "tnt"]);
        assert!(!asked(&tenant_word(TenantId::new(1, [0; 10])))[0].starts_with('\u{e000}'));
    }
}
