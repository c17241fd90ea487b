//! How long files, functions and handlers may be, how many arguments a function takes, and that a file says what it is.
//!
//! These are the hard limits; the habit is about a third of them. Test code has none.

use super::Finding;
use super::source::{Function, Source};

const FILE: usize = 500;
const FUNCTION: usize = 70;
const HANDLER: usize = 30;
const ARGUMENTS: usize = 6;
const HANDLERS: &str = "shell/server/src/routes/";

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(head(source));
    let lines = source.production_lines();
    if lines > FILE {
        let advice = format!("{lines} lines without tests, {FILE} at most: split by what changes together");
        findings.push(Finding::new(&source.path, 0, "file-size", advice).measuring(lines));
    }
    for function in source.functions() {
        if !source.in_tests(function.start) {
            findings.extend(length(source, &function));
            findings.extend(arguments(source, &function));
        }
    }
    findings
}

/// A file begins by saying what it owns.
fn head(source: &Source) -> Option<Finding> {
    let missing = source.production_lines() > 0 && !source.raw.trim_start().starts_with("//!");
    let advice = "begin the file with `//!`: what it owns, what it never does, its invariants";
    missing.then(|| Finding::new(&source.path, 1, "head", advice))
}

fn length(source: &Source, function: &Function) -> Option<Finding> {
    let body = function.body.clone()?;
    let lines = source.code_lines(function.start..body.end);
    let (rule, limit, advice) = match source.path.starts_with(HANDLERS) {
        true => {
            ("handler-size", HANDLER, "a handler limits, parses, calls and replies: move the rest into app")
        }
        false => ("function-size", FUNCTION, "keep the ifs here and move straight-line work down"),
    };
    let text = format!("`{}` has {lines} lines, {limit} at most: {advice}", function.name);
    let line = source.line(function.start);
    (lines > limit).then(|| Finding::new(&source.path, line, rule, text).measuring(lines))
}

fn arguments(source: &Source, function: &Function) -> Option<Finding> {
    let count = count_arguments(&source.code[function.parameters.clone()]);
    let advice = format!("`{}` takes {count} arguments, {ARGUMENTS} at most: make a struct", function.name);
    let line = source.line(function.start);
    (count > ARGUMENTS).then(|| Finding::new(&source.path, line, "arguments", advice).measuring(count))
}

/// The receiver counts, as clippy counts it.
fn count_arguments(parameters: &str) -> usize {
    let bytes = parameters.as_bytes();
    let (mut depth, mut count, mut pending) = (0usize, 0, false);
    for (i, b) in bytes.iter().enumerate() {
        match b {
            b'(' | b'[' | b'{' | b'<' => depth += 1,
            b'>' if i > 0 && bytes[i - 1] == b'-' => {}
            b')' | b']' | b'}' | b'>' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                count += usize::from(pending);
                pending = false;
                continue;
            }
            _ => {}
        }
        pending |= !b.is_ascii_whitespace();
    }
    count + usize::from(pending)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        check(&Source::new(path, text)).into_iter().map(|f| f.rule).collect()
    }

    fn function_of(lines: usize) -> String {
        format!("//! Head.\nfn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_may_have_seventy_lines_and_a_handler_thirty() {
        assert!(rules("core/x/src/a.rs", &function_of(70)).is_empty());
        assert_eq!(rules("core/x/src/a.rs", &function_of(71)), ["function-size"]);
        assert!(rules("shell/server/src/routes/a.rs", &function_of(30)).is_empty());
        assert_eq!(rules("shell/server/src/routes/a.rs", &function_of(31)), ["handler-size"]);
    }

    #[test]
    fn comments_and_blank_lines_make_no_function_longer() {
        let text = format!("//! Head.\nfn long() {{\n{}}}\n", "    step();\n    // why\n\n".repeat(60));
        assert!(rules("core/x/src/a.rs", &text).is_empty());
    }

    #[test]
    fn a_file_may_have_five_hundred_lines_besides_its_tests() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(600));
        let file = |lines: usize| format!("//! Head.\n{}{tests}", "const A: u8 = 1;\n".repeat(lines - 1));
        assert!(rules("core/x/src/a.rs", &file(500)).is_empty());
        assert_eq!(rules("core/x/src/a.rs", &file(501)), ["file-size"]);
        assert!(rules("core/x/tests/a.rs", &file(501)).is_empty());
    }

    #[test]
    fn six_arguments_are_the_most_and_commas_in_types_are_none() {
        assert_eq!(count_arguments(""), 0);
        assert_eq!(count_arguments("&self, a: u8,\n"), 2);
        assert_eq!(count_arguments("a: HashMap<K, (V, W)>, f: impl Fn(u8, u8) -> Vec<u8>, b: [u8; 2]"), 3);
        let text = "//! Head.\nfn f(a: A, b: B, c: C, d: D, e: E, f: F, g: G) {}\n";
        assert_eq!(rules("core/x/src/a.rs", text), ["arguments"]);
    }

    #[test]
    fn a_file_without_a_head_is_found_and_a_test_file_needs_none() {
        assert_eq!(rules("core/x/src/a.rs", "use a::b;\n"), ["head"]);
        assert!(rules("core/x/tests/a.rs", "use a::b;\n").is_empty());
    }
}
