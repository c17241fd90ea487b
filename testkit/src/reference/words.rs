//! Which machines a search finds: those in which each word of it begins some word.
//!
//! The words of a machine are those of its name, hostname, hardware id and labels, whatever their case. Of `host0042`
//! also `host` and `0042` are words. `hw`, the mark of hardware ids, is none.

use std::collections::BTreeSet;

use muster_model::Machine;

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

fn words_of(machine: &Machine) -> BTreeSet<String> {
    let named = [
        Some(machine.name.to_string()),
        machine.hostname.as_ref().map(ToString::to_string),
        machine.hardware_id.as_ref().map(ToString::to_string),
    ];
    let labels = machine.labels.iter().flat_map(|(key, value)| [key.to_owned(), value.to_owned()]);
    let texts = named.into_iter().flatten().chain(labels);
    texts.flat_map(|text| words(&text).flat_map(parts).collect::<Vec<_>>()).collect()
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| !word.is_empty() && word != "hw")
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
