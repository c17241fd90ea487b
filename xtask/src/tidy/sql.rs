//! SQL is constant text with bound parameters; nothing is formatted into it.
//!
//! Looks in the `store-*` members for macros and calls that put text together and hold words of SQL, and for a
//! `format!` handed straight to a statement.

use super::Finding;
use super::source::{Source, past_closing};

const MEMBERS: &str = "shell/store-";
const BUILDERS: [&str; 5] = ["format!", "format_args!", "write!", "writeln!", "push_str"];
const STATEMENTS: [&str; 6] =
    ["prepare(", "prepare_cached(", "execute(", "execute_batch(", "query_row(", "batch_execute("];
const WORDS: [&str; 13] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "PRAGMA", "WHERE", "VALUES",
    "ORDER BY", "LIMIT", "JOIN",
];
const ADVICE: &str = "no text is formatted into SQL: write the statement out and bind the value (Q-40)";

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with(MEMBERS) {
        return Vec::new();
    }
    let built = BUILDERS.iter().flat_map(|name| source.find(name)).filter(|at| holds_sql(source, *at));
    let handed = STATEMENTS.iter().flat_map(|name| source.find(name).map(move |at| (name, at)));
    let handed = handed.filter(|(name, at)| formats_first(&source.code[at + name.len()..])).map(|(_, at)| at);
    let mut places: Vec<usize> = built.chain(handed).filter(|at| !source.in_tests(*at)).collect();
    places.sort_unstable();
    places.dedup_by_key(|at| source.line(*at));
    places.into_iter().map(|at| Finding::new(&source.path, source.line(at), "sql", ADVICE)).collect()
}

/// Whether the literals between the brackets after `at` hold a word of SQL in upper case.
fn holds_sql(source: &Source, at: usize) -> bool {
    let Some(open) = source.code[at..].find(['(', '[', '{']).map(|i| at + i) else { return false };
    let text = &source.raw[open..past_closing(&source.code, open)];
    let is_edge = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    WORDS.iter().any(|word| {
        text.match_indices(word).any(|(i, _)| {
            is_edge(text[..i].chars().next_back()) && is_edge(text[i + word.len()..].chars().next())
        })
    })
}

fn formats_first(arguments: &str) -> bool {
    arguments.trim_start().trim_start_matches('&').starts_with("format!")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Source::new(path, text)).into_iter().map(|f| f.line).collect()
    }

    #[test]
    fn text_formatted_into_sql_is_found_q40() {
        let path = "shell/store-sqlite/src/machine.rs";
        assert_eq!(
            lines(path, "let sql = format!(\n    \"SELECT id FROM machine WHERE {column} = ?1\");"),
            [1]
        );
        assert_eq!(lines(path, "sql.push_str(\" ORDER BY name\");"), [1]);
        assert_eq!(lines(path, "tx.prepare(&format!(\"{head} {tail}\"))"), [1]);
        assert_eq!(lines(path, "write!(sql, r#\" LIMIT {n}\"#)"), [1]);
    }

    #[test]
    fn constant_statements_messages_and_other_members_pass() {
        let path = "shell/store-sqlite/src/machine.rs";
        assert!(lines(path, "tx.prepare_cached(\"SELECT 1 WHERE id = ?1\")").is_empty());
        assert!(lines(path, "format!(\"cannot open {path}: selected twice\")").is_empty());
        assert!(
            lines(path, "#[cfg(test)]\nmod tests { fn a() { format!(\"DELETE FROM {t}\"); } }").is_empty()
        );
        assert!(lines("shell/app/src/a.rs", "format!(\"SELECT {a}\")").is_empty());
    }
}
