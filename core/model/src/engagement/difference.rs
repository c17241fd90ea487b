//! What is different between two engagements, part by part.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Draft;

/// A part that is different. Of a list, what goes and what comes; of anything else, what it was and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where: `channels`, `rate_limit.burst`, `data.queue`.
    pub path: String,
    /// What is there no more.
    pub removed: Vec<String>,
    /// What was not there before.
    pub added: Vec<String>,
}

impl Difference {
    /// Of one part; none where it is the same. A list in another order goes and comes as a whole.
    pub fn of(path: impl Into<String>, before: Vec<String>, after: Vec<String>) -> Option<Self> {
        if before == after {
            return None;
        }
        let without = |whole: &[String], other: &[String]| {
            whole.iter().filter(|entry| !other.contains(entry)).cloned().collect::<Vec<_>>()
        };
        let (removed, added) = (without(&before, &after), without(&after, &before));
        let is_order = removed.is_empty() && added.is_empty();
        let (removed, added) = if is_order { (before, after) } else { (removed, added) };
        Some(Self { path: path.into(), removed, added })
    }
}

impl Draft {
    /// What is different from one before, in the order of the paths.
    pub fn differences(&self, before: &Self) -> Vec<Difference> {
        let (mut before, mut after) = (before.parts(), self.parts());
        let paths: BTreeSet<String> = before.keys().chain(after.keys()).cloned().collect();
        let of = |path: String| {
            let (was, is) = (before.remove(&path), after.remove(&path));
            Difference::of(path, was.unwrap_or_default(), is.unwrap_or_default())
        };
        paths.into_iter().filter_map(of).collect()
    }

    fn parts(&self) -> BTreeMap<String, Vec<String>> {
        let mut parts = BTreeMap::new();
        let whole = serde_json::to_value(self).expect("texts and finite numbers are JSON");
        collect(&mut parts, String::new(), &whole);
        parts
    }
}

fn collect(parts: &mut BTreeMap<String, Vec<String>>, path: String, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(parts, below, value);
            }
        }
        Value::Array(entries) => {
            parts.insert(path, entries.iter().map(said).collect());
        }
        value => {
            parts.insert(path, vec![said(value)]);
        }
    }
}

fn said(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn draft(value: Value) -> Draft {
        serde_json::from_value(value).expect("a draft")
    }

    fn texts(of: &[&str]) -> Vec<String> {
        of.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn lists_tell_what_comes_and_goes_and_everything_else_what_it_was_and_is() {
        let before = draft(json!({
            "channels": ["#a", "#b"], "model": "m1", "rate_limit": {"burst": 3}, "data": {"queue": {"name": "x"}},
        }));
        let after = draft(json!({
            "channels": ["#b", "#c"], "rate_limit": {"burst": 4}, "data": {"queue": {"name": "x", "size": 2}},
        }));
        let told: Vec<_> =
            after.differences(&before).into_iter().map(|one| (one.path, one.removed, one.added)).collect();
        let expected = [
            ("channels", vec!["#a"], vec!["#c"]),
            ("data.queue.size", vec![], vec!["2"]),
            ("model", vec!["m1"], vec![]),
            ("rate_limit.burst", vec!["3"], vec!["4"]),
        ];
        let expected =
            expected.map(|(path, removed, added)| (path.to_owned(), texts(&removed), texts(&added)));
        assert_eq!(told, expected);
    }

    #[test]
    fn another_order_is_told_too() {
        let of = |channels: &[&str]| Draft { channels: texts(channels), ..Draft::default() };
        let told = of(&["#b", "#a"]).differences(&of(&["#a", "#b"]));
        assert_eq!(told[0].removed, texts(&["#a", "#b"]));
        assert_eq!(told[0].added, texts(&["#b", "#a"]));
    }

    #[test]
    fn nothing_is_different_exactly_where_the_documents_are_the_same() {
        let lists: [&[&str]; 5] = [&[], &["#a"], &["#b"], &["#a", "#b"], &["#b", "#a"]];
        let words = ["", "m"];
        let all = || {
            lists.iter().flat_map(|list| {
                words.iter().map(|word| Draft {
                    channels: texts(list),
                    model: (*word).to_owned(),
                    ..Draft::default()
                })
            })
        };
        for first in all() {
            for second in all() {
                assert_eq!(second.differences(&first).is_empty(), first == second, "{first:?} {second:?}");
            }
        }
    }
}
