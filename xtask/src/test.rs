//! `cargo xtask test`: every test of the workspace, in one profile, with the runner's own summary as the last word.
//!
//! Looks for the programs that some suites need and hands their places over in the environment. A missing one is
//! said loudly and its suite skips itself; with `MUSTER_TEST_REQUIRE` it is a failure before anything runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::Metadata;

use crate::run;

const REQUIRE: &str = "MUSTER_TEST_REQUIRE";

/// A program from outside that some suites need.
struct Tool {
    /// Its word in `MUSTER_TEST_REQUIRE`.
    word: &'static str,
    title: &'static str,
    /// The variable that tells the suites where it is.
    variable: &'static str,
    /// What the tests do with it.
    used_by: &'static str,
    /// How to get it.
    advice: &'static str,
    find: fn() -> Option<PathBuf>,
}

const TOOLS: [Tool; 3] = [
    Tool {
        word: "postgres",
        title: "PostgreSQL",
        variable: "MUSTER_TEST_POSTGRES_BIN",
        used_by: "shell/store-postgres, testkit/tests/postgres.rs and the scenarios of several replicas run on it",
        advice: "apt-get install postgresql, or set the variable to the directory of initdb, pg_ctl and postgres",
        find: postgres,
    },
    Tool {
        word: "browser",
        title: "Chromium and chromedriver",
        variable: "MUSTER_TEST_CHROMIUM",
        used_by: "the browser suite of shell/muster reads the variable",
        advice: "apt-get install chromium chromium-driver",
        find: chromium,
    },
    Tool {
        word: "strace",
        title: "strace",
        variable: "MUSTER_TEST_STRACE",
        used_by: "the scenarios that kill an agent at each of its system calls run it under strace",
        advice: "apt-get install strace",
        find: || run::on_path("strace"),
    },
];

/// The programs from outside, each as the variable that names its place to the suites. Tells what is missing, and fails
/// where `MUSTER_TEST_REQUIRE` asks for it.
pub(crate) fn tools() -> Result<Vec<(&'static str, PathBuf)>> {
    tools_with(&std::env::var(REQUIRE).unwrap_or_default())
}

/// The same, where these words are what is asked for.
pub(crate) fn tools_with(demand: &str) -> Result<Vec<(&'static str, PathBuf)>> {
    let found = TOOLS.map(|tool| (tool.variable, located(&tool)));
    report(&found, &required(demand)?)?;
    Ok(found.into_iter().filter_map(|(variable, place)| Some((variable, place?))).collect())
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let args = args.strip_prefix(&["--".to_owned()]).unwrap_or(args);
    let tools = tools()?;
    let metadata = run::members()?;
    let root = metadata.workspace_root.as_std_path();
    let with_tools = |command: &mut Command| {
        command.envs(tools.iter().map(|(variable, place)| (variable, place)));
    };
    // Before the tests, so that the last line is the summary of the tests.
    if let Some(mut doc) = doc_tests(&metadata, args)? {
        with_tools(&mut doc);
        run::echoed(&mut doc)?;
    }
    let mut command = runner(root);
    if !names_packages(args) {
        command.arg("--workspace");
    }
    with_tools(command.args(args));
    run::echoed(&mut command)
}

/// Whether the caller asks for some packages instead of all.
fn names_packages(args: &[String]) -> bool {
    args.iter().any(|arg| arg.starts_with("-p") || arg == "--package" || arg.starts_with("--package="))
}

/// nextest runs each test in its own process and many at once; plain cargo does where there is none.
fn runner(root: &Path) -> Command {
    let mut command = run::cargo(root);
    if run::has_subcommand("nextest") {
        command.args(["nextest", "run"]);
    } else {
        eprintln!(
            "cargo-nextest is not installed: running plain `cargo test`, which shows more and is slower"
        );
        command.args(["test", "--tests"]);
    }
    command
}

/// Doc tests cost a link each, so they are run only for the libraries that have an example, and only when
/// everything is asked for.
fn doc_tests(metadata: &Metadata, args: &[String]) -> Result<Option<Command>> {
    if !args.is_empty() {
        return Ok(None);
    }
    let mut command = run::cargo(metadata.workspace_root.as_std_path());
    command.args(["test", "--doc"]);
    let mut any = false;
    for package in metadata.workspace_packages() {
        let is_lib = package.targets.iter().any(|target| target.is_lib());
        let src = package.manifest_path.with_file_name("src");
        if is_lib && src.is_dir() && has_example(src.as_std_path())? {
            command.args(["-p", package.name.as_str()]);
            any = true;
        }
    }
    Ok(any.then_some(command))
}

fn has_example(dir: &Path) -> Result<bool> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        let found = match path.is_dir() {
            true => has_example(&path)?,
            false if path.extension().is_some_and(|e| e == "rs") => is_example(&fs::read_to_string(&path)?),
            false => false,
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a doc comment opens a fence that rustdoc would compile.
fn is_example(text: &str) -> bool {
    let mut open = false;
    for line in text.lines().map(str::trim_start) {
        let Some(doc) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            open = false;
            continue;
        };
        let Some(info) = doc.trim().strip_prefix("```") else { continue };
        let compiled = info.is_empty() || info.starts_with("rust") || info.starts_with("should_panic");
        if !open && compiled {
            return true;
        }
        open = !open;
    }
    false
}

/// The words of `MUSTER_TEST_REQUIRE`, each of which must be one we know: a typing error must not weaken CI.
fn required(value: &str) -> Result<Vec<&str>> {
    let words: Vec<&str> = value.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    for word in &words {
        if !TOOLS.iter().any(|tool| tool.word == *word) {
            let known = TOOLS.map(|tool| tool.word).join(", ");
            bail!("{REQUIRE}: there is no `{word}` to require (known: {known})");
        }
    }
    Ok(words)
}

fn report(found: &[(&str, Option<PathBuf>)], required: &[&str]) -> Result<()> {
    let mut missing = Vec::new();
    for (tool, (_, place)) in TOOLS.iter().zip(found) {
        match place {
            Some(place) => {
                eprintln!(
                    "found    {}: {}={} ({})",
                    tool.title,
                    tool.variable,
                    place.display(),
                    tool.used_by
                );
            }
            None => {
                eprintln!("MISSING  {}: {} ({})", tool.title, tool.used_by, tool.advice);
                missing.push(tool.word);
            }
        }
    }
    missing.retain(|word| required.contains(word));
    if !missing.is_empty() {
        bail!("{REQUIRE} asks for what is not here: {}", missing.join(", "));
    }
    Ok(())
}

/// A place that the caller names is taken at its word; otherwise we look.
fn located(tool: &Tool) -> Option<PathBuf> {
    match std::env::var_os(tool.variable).filter(|value| !value.is_empty()) {
        Some(place) => Some(place.into()),
        None => (tool.find)(),
    }
}

fn postgres() -> Option<PathBuf> {
    let complete =
        |dir: &PathBuf| ["initdb", "pg_ctl", "postgres"].iter().all(|p| run::is_executable(&dir.join(p)));
    // Debian keeps the server's programs off PATH, and pg_config belongs to another package than they do.
    let told =
        run::on_path("pg_config").and_then(|program| run::output(Command::new(program).arg("--bindir")).ok());
    let told = told.map(|dir| PathBuf::from(dir.trim()));
    let beside = run::on_path("initdb").and_then(|program| program.parent().map(Path::to_path_buf));
    told.into_iter().chain(newest_debian()).chain(beside).find(complete)
}

/// `/usr/lib/postgresql/<version>/bin`, newest first.
fn newest_debian() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let version = |dir: &Path| dir.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let mut dirs: Vec<_> = entries.flatten().filter_map(|e| Some((version(&e.path())?, e.path()))).collect();
    dirs.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    dirs.into_iter().map(|(_, dir)| dir.join("bin")).collect()
}

/// The browser is of use only together with its driver.
fn chromium() -> Option<PathBuf> {
    run::on_path("chromedriver")?;
    ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| run::on_path(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_word_in_the_requirements_is_refused() {
        assert_eq!(required("postgres, browser").ok(), Some(vec!["postgres", "browser"]));
        assert_eq!(required("").ok(), Some(vec![]));
        let error = required("postgress").expect_err("a typing error must not pass");
        assert!(error.to_string().contains("postgress"), "{error}");
    }

    #[test]
    fn a_missing_tool_fails_only_where_it_is_required() {
        let found = [("A", Some(PathBuf::from("bin"))), ("B", None)];
        assert!(report(&found, &["postgres"]).is_ok());
        let error = report(&found, &["postgres", "browser"]).expect_err("the browser is missing");
        assert!(error.to_string().ends_with("browser"), "{error}");
    }

    #[test]
    fn named_packages_take_the_place_of_the_whole_workspace() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(names_packages(&words("-p xtask")) && names_packages(&words("--package=xtask a_test")));
        assert!(!names_packages(&words("a_test --no-capture")));
    }

    #[test]
    fn only_fences_that_rustdoc_compiles_count_as_examples() {
        assert!(is_example("/// ```\n/// let a = 1;\n/// ```\nfn f() {}"));
        assert!(is_example("//! text\n//! ```rust,no_run\n//! ```"));
        assert!(!is_example("/// ```text\n/// a\n/// ```\nfn f() {}"));
        assert!(!is_example("/// ```ignore\n/// ```\n// ```\nlet s = \"```\";"));
    }
}
