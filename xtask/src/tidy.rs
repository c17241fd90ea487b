//! `cargo xtask tidy`: the house rules that no compiler lint holds.
//!
//! Each rule is a plain function of text or of the members' manifests to findings, tested on small fixtures. A
//! finding is one line, `path:line: rule: what to do`. Exceptions stand in `xtask/tidy.allow`, each with its reason;
//! one that is no longer needed is a finding too, so the list can only shrink.

mod allow;
mod arrows;
mod bans;
mod docs;
mod habits;
mod paths;
mod sizes;
mod source;
mod sql;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use self::allow::Allowed;
use self::source::Source;
use crate::run;

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    rule: &'static str,
    advice: String,
    /// What was measured, for rules with a limit: an exception may raise the limit, not lift it.
    measured: Option<usize>,
}

impl Finding {
    fn new(path: &str, line: usize, rule: &'static str, advice: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, advice: advice.into(), measured: None }
    }

    fn measuring(self, value: usize) -> Self {
        Self { measured: Some(value), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}: {}", self.path, self.rule, self.advice),
            line => write!(f, "{}:{line}: {}: {}", self.path, self.rule, self.advice),
        }
    }
}

pub(crate) fn run() -> Result<()> {
    let metadata = run::members()?;
    let root = metadata.workspace_root.as_std_path();
    let files = tracked(root)?;
    let mut findings = Vec::new();
    for path in &files {
        // What is not text (a picture, a font) is nobody's prose or code.
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        findings.extend(paths::check(path, &text));
        if path.ends_with(".rs") {
            findings.extend(check_source(&Source::new(path, &text)));
        }
    }
    findings.extend(arrows::check(&arrows::rooms(&metadata)));
    findings.extend(bans::check(root)?);
    findings.extend(docs::check(root, &docs::member_paths(&metadata))?);
    let allowed = Allowed::parse(&std::fs::read_to_string(root.join(allow::PATH)).context(allow::PATH)?);
    report(allowed.filter(findings), files.len())
}

fn check_source(source: &Source) -> Vec<Finding> {
    let mut findings = sizes::check(source);
    findings.extend(habits::check(source));
    findings.extend(sql::check(source));
    findings
}

fn report(mut findings: Vec<Finding>, files: usize) -> Result<()> {
    findings.sort_by(|a, b| (&a.path, a.line, a.rule).cmp(&(&b.path, b.line, b.rule)));
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => eprintln!("tidy: clean ({files} files)"),
        n => bail!("tidy: {n} finding(s); an exception with a reason goes into {}", allow::PATH),
    }
    Ok(())
}

/// Every file that is tracked or would be with the next `git add`; what was deleted and not yet committed is left out.
fn tracked(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    let list = run::output(git.current_dir(root).args(["ls-files", "-z", "-co", "--exclude-standard"]))?;
    let mut files: Vec<String> = list.split_terminator('\0').map(str::to_owned).collect();
    files.retain(|path| root.join(path).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}
