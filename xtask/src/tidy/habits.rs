//! Things that are never written, or only in files named in the list of exceptions.
//!
//! Clippy's `disallowed_methods` guards some of the same calls with a reason at each place; this holds the list of
//! files in which such a place may stand at all.

use super::Finding;
use super::source::{Source, past_closing};

/// Texts that are not written in code, wherever it stands.
const NEVER: [(&str, &str, &str); 3] = [
    ("todo!", "unfinished", "finish it, or leave it out"),
    ("unimplemented!", "unfinished", "finish it, or leave it out"),
    ("cfg!(test)", "test-switch", "production code does not know that it is tested: pass the difference in"),
];

/// Reads of the wall clock or of the monotonic one.
const CLOCKS: [&str; 5] = ["Timestamp::now", "SystemTime::now", "Instant::now", "Zoned::now", "Utc::now"];

const SLEEPS: [&str; 4] = ["sleep(", "sleep_until(", "sleep_ms(", "park_timeout("];

/// What would be I/O, a thread or a future in the core.
const OUTSIDE: [&str; 9] = [
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::env",
    "std::thread",
    "std::io::std",
    "async fn",
    "async move",
];

const MARKERS: [&str; 3] = ["TODO", "FIXME", "XXX"];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(never(source));
    findings.extend(lost_causes(source));
    findings.extend(markers(source));
    findings.extend(unexplained_attributes(source));
    findings.extend(clocks(source));
    findings.extend(sleeps(source));
    findings.extend(outside_in_core(source));
    findings
}

fn found(source: &Source, at: usize, rule: &'static str, advice: &str) -> Finding {
    Finding::new(&source.path, source.line(at), rule, advice)
}

fn never(source: &Source) -> impl Iterator<Item = Finding> {
    NEVER.iter().flat_map(move |(text, rule, advice)| {
        let places = source.find(text).filter(|at| *rule != "test-switch" || !source.in_tests(*at));
        places.map(|at| found(source, at, rule, advice))
    })
}

/// `map_err(|_| …)` and its variants with a name that is not used.
fn lost_causes(source: &Source) -> impl Iterator<Item = Finding> {
    let advice = "keep the cause (`#[source]`), or use `.or(Err(…))` where there is none to keep";
    let thrown_away = |at: &usize| {
        let closure = source.code[*at + "map_err(".len()..].trim_start();
        let closure = closure.strip_prefix("move ").unwrap_or(closure);
        closure.strip_prefix('|').is_some_and(|parameter| parameter.trim_start().starts_with('_'))
    };
    source.find("map_err(").filter(thrown_away).map(move |at| found(source, at, "lost-cause", advice))
}

/// A marker is naked unless it names an issue: `TODO(#12)`.
fn markers(source: &Source) -> impl Iterator<Item = Finding> {
    let text = &source.comments;
    let places = MARKERS.iter().flat_map(move |marker| text.match_indices(marker));
    let naked = places.filter(move |(at, marker)| {
        let before = text[..*at].chars().next_back().is_some_and(char::is_alphanumeric);
        let after = &text[at + marker.len()..];
        !before && !after.starts_with(char::is_alphanumeric) && !after.starts_with("(#")
    });
    naked.map(|(at, _)| found(source, at, "marker", "do it now, or name the issue that will: `TODO(#12)`"))
}

/// `#[ignore]`, `#[allow]` and `#[expect]` say why, in a `reason`, a text or a comment.
fn unexplained_attributes(source: &Source) -> impl Iterator<Item = Finding> {
    let heads = ["#[ignore", "#[allow(", "#![allow(", "#[expect(", "#![expect("];
    let places = heads.into_iter().flat_map(|head| source.find(head).collect::<Vec<_>>());
    let silent = places.filter(|at| {
        let open = *at + source.code[*at..].find('[').unwrap_or(0);
        let attribute = &source.code[*at..past_closing(&source.code, open)];
        !attribute.contains('=') && !source.has_comment_near(*at)
    });
    silent.map(|at| {
        found(source, at, "unexplained", "say why: `reason = \"…\"`, or a comment on the line above")
    })
}

/// Inside the core and the use cases not even a test reads a clock; elsewhere tests may measure.
fn clocks(source: &Source) -> impl Iterator<Item = Finding> {
    let pure = source.path.starts_with("core/") || source.path.starts_with("shell/app/");
    let advice = "take the time as a value or from the clock port; an adapter is named in xtask/tidy.allow";
    let places = CLOCKS.iter().flat_map(|text| source.find(text).collect::<Vec<_>>());
    let read = places.filter(move |at| pure || !source.in_tests(*at));
    read.map(move |at| found(source, at, "clock", advice))
}

/// A call of a free function: a method of that name is a port's, and `fn sleep(` is its declaration. A test that stops
/// tokio's clock waits for no time at all.
fn sleeps(source: &Source) -> impl Iterator<Item = Finding> {
    let advice =
        "wait for what you wait for, with a time-out; a timer of an adapter is named in xtask/tidy.allow";
    let places = SLEEPS.iter().flat_map(|text| source.find(text).collect::<Vec<_>>());
    let free = places.filter(|at| {
        let before = source.code[..*at].trim_end();
        let declared_or_port = before.ends_with('.') || before.ends_with("fn");
        let costs_nothing = source.in_tests(*at) && in_paused_test(before);
        !declared_or_port && !costs_nothing
    });
    free.map(move |at| found(source, at, "sleep", advice))
}

/// Whether the last test that begins in this text runs on a clock that stands still.
fn in_paused_test(before: &str) -> bool {
    let test = before.rfind("#[tokio::test").map(|at| &before[at..]);
    test.and_then(|text| text.split(']').next())
        .is_some_and(|attribute| attribute.contains("start_paused = true"))
}

fn outside_in_core(source: &Source) -> impl Iterator<Item = Finding> {
    let core = source.path.starts_with("core/");
    let places = OUTSIDE.iter().filter(move |_| core).flat_map(|text| source.find(text).collect::<Vec<_>>());
    let production = places.filter(|at| !source.in_tests(*at));
    production
        .map(|at| found(source, at, "core-io", "core does no I/O and has no runtime: hand the value in"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_at(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        check(&Source::new(path, text)).into_iter().map(|f| (f.line, f.rule)).collect()
    }

    fn rules(text: &str) -> Vec<(usize, &'static str)> {
        rules_at("shell/server/src/a.rs", text)
    }

    #[test]
    fn unfinished_code_is_found_in_code_and_not_in_text() {
        assert_eq!(
            rules("fn a() {\n    todo!()\n}\nfn b() { unimplemented!(\"x\") }"),
            [(2, "unfinished"), (4, "unfinished")]
        );
        assert!(rules("// todo!() is not written here\nlet a = \"todo!()\";").is_empty());
    }

    #[test]
    fn a_cause_thrown_away_is_found_in_every_spelling() {
        for text in ["map_err(|_| E)", "map_err(|_e| E)", "map_err(\n    |_: X| E)", "map_err(move |_| E)"] {
            assert_eq!(rules(&format!("x.{text}")), [(1, "lost-cause")], "{text}");
        }
        assert!(rules("x.map_err(|error| E { error }).or(Err(E)).map_err(E::from)").is_empty());
    }

    #[test]
    fn a_marker_is_found_in_a_comment_unless_it_names_an_issue() {
        assert_eq!(rules("// TODO: later\n/* FIXME */"), [(1, "marker"), (2, "marker")]);
        assert!(rules("// TODO(#12): later\n// mch_XXXX\nlet a = \"TODO\";").is_empty());
    }

    #[test]
    fn an_attribute_that_silences_something_says_why() {
        assert_eq!(rules("fn a() {}\n#[ignore]\nfn b() {}"), [(2, "unexplained")]);
        assert_eq!(rules("#![allow(dead_code)]"), [(1, "unexplained")]);
        assert_eq!(rules("#[expect(clippy::x)]"), [(1, "unexplained")]);
        assert!(rules("#[ignore = \"needs a TPM\"]").is_empty());
        assert!(rules("#[expect(\n    clippy::x,\n    reason = \"why\"\n)]").is_empty());
        assert!(rules("// The macro makes more than is used.\n#[allow(dead_code)]").is_empty());
    }

    #[test]
    fn clocks_are_read_in_tests_of_the_shell_only() {
        let text = "let t = jiff::Timestamp::now();\n#[cfg(test)]\nmod tests { fn a() { Instant::now(); } }";
        assert_eq!(rules(text), [(1, "clock")]);
        assert_eq!(rules_at("core/model/src/a.rs", text), [(1, "clock"), (3, "clock")]);
        assert_eq!(rules_at("shell/app/tests/a.rs", "SystemTime::now()"), [(1, "clock")]);
    }

    #[test]
    fn sleeping_is_found_in_tests_too_and_a_port_may_have_such_a_method() {
        assert_eq!(
            rules_at("shell/muster/tests/a.rs", "std::thread::sleep(d); sleep(d)"),
            [(1, "sleep"), (1, "sleep")]
        );
        assert!(
            rules("trait Timer { fn sleep(&self); }\ntimer.sleep(d).await; timer\n    .sleep(d)").is_empty()
        );
    }

    #[test]
    fn a_test_on_a_stopped_clock_may_sleep() {
        let paused = "#[tokio::test(start_paused = true)]\nasync fn a() { sleep(d).await }\n";
        assert!(rules_at("shell/server/tests/a.rs", paused).is_empty());
        let next = format!("{paused}#[tokio::test]\nasync fn b() {{ sleep(d).await }}");
        assert_eq!(rules_at("shell/server/tests/a.rs", &next), [(4, "sleep")]);
        assert_eq!(rules(paused), [(2, "sleep")]);
    }

    #[test]
    fn the_core_opens_nothing_and_awaits_nothing() {
        let text = "use std::fs;\nasync fn a() {}\n#[cfg(test)]\nmod tests { use std::env; }";
        assert_eq!(rules_at("core/doors/src/a.rs", text), [(1, "core-io"), (2, "core-io")]);
        assert!(rules(text).is_empty());
        assert!(rules_at("core/model/src/a.rs", "use std::net::IpAddr; use std::fmt;").is_empty());
    }

    #[test]
    fn production_code_does_not_ask_whether_it_is_tested() {
        assert_eq!(rules("if cfg!(test) {}"), [(1, "test-switch")]);
        assert!(rules("#[cfg(test)]\nmod tests {}").is_empty());
    }
}
