//! Which machines a search finds: those in which each word of it begins some word, and of which each term is so.
//!
//! The words of a machine are those of what it is found by, whatever their case. Of `host0042` also `host` and `0042` are words.
//! `hw`, `mch` and `grt`, the marks of identifiers, are none.

use std::collections::BTreeSet;

use muster_model::Machine;
use muster_model::search::{Term, folded, texts};

/// The most words of a search that count.
const MOST: usize = 8;

/// The words of a search; none where it asks for nothing.
pub(super) fn asked(text: &str) -> Vec<String> {
    words(text).take(MOST).collect()
}

/// Whether each of these words begins a word of the machine.
pub(super) fn finds(asked: &[String], machine: &Machine) -> bool {
    let known = words_of(machine);
    asked.iter().all(|word| known.iter().any(|known| known.starts_with(word.as_str())))
}

/// Whether a field says what a term asks for.
pub(super) fn is_so(term: &Term, machine: &Machine) -> bool {
    term.field().of(machine).iter().map(|value| folded(value)).any(|value| match term.begins() {
        true => value.starts_with(term.value()),
        false => value == term.value(),
    })
}

fn words_of(machine: &Machine) -> BTreeSet<String> {
    texts(machine).into_iter().flat_map(|text| words(&text).flat_map(parts).collect::<Vec<_>>()).collect()
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| !["", "hw", "mch", "grt"].contains(&word.as_str()))
}

/// A word; and of two letters or more that a number follows, the letters and the number.
fn parts(word: String) -> Vec<String> {
    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &word[letters.len()..];
    if letters.len() < 2 || number.is_empty() || letters.contains(char::is_numeric) {
        return vec![word];
    }
    vec![letters.to_owned(), number.to_owned(), word]
}
