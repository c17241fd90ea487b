//! `cargo xtask ci`: everything that CI checks besides the tests.
//!
//! Every step runs even when an earlier one failed, so that one run tells everything; the cheap ones come first.
//! All of it uses the development profile and the target directory of the tests, so nothing is compiled twice.

use std::path::Path;

use anyhow::{Result, bail};

use crate::{generate, run, tidy};

type Step = (&'static str, fn(&Path) -> Result<()>);

const STEPS: [Step; 7] = [
    ("lock", lock),
    ("fmt", |root| run::echoed(run::cargo(root).args(["fmt", "--all", "--check"]))),
    ("tidy", |_| tidy::run()),
    ("deny", deny),
    ("clippy", clippy),
    ("generated files", |_| generate::run(&["--check".to_owned()])),
    ("docs", docs),
];

pub(crate) fn run() -> Result<()> {
    let root = run::root()?;
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        eprintln!("\n== {name}");
        if let Err(error) = step(&root) {
            eprintln!("FAILED   {name}: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("ci: not clean: {}", failed.join(", "));
    }
    eprintln!("\nci: all clean: {}", STEPS.map(|(name, _)| name).join(", "));
    Ok(())
}

/// A lock file that the build had to change was not committed with its manifest. A person's working tree may be in
/// between, so it is checked only where `CI` is set.
fn lock(root: &Path) -> Result<()> {
    if std::env::var_os("CI").is_none() {
        eprintln!("skipped  outside CI (CI is not set)");
        return Ok(());
    }
    let mut git = std::process::Command::new("git");
    run::echoed(git.current_dir(root).args(["diff", "--exit-code", "--stat", "HEAD", "--", "Cargo.lock"]))
}

fn clippy(root: &Path) -> Result<()> {
    run::echoed(run::cargo(root).args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// Advisories are left out: their database is fetched from elsewhere, and a build must not depend on that.
fn deny(root: &Path) -> Result<()> {
    if !run::has_subcommand("deny") {
        eprintln!("MISSING  cargo-deny is not installed: licences and sources are NOT CHECKED in this run");
        eprintln!(
            "         (cargo install --locked cargo-deny); banned crates are held by `tidy` all the same"
        );
        return Ok(());
    }
    run::echoed(run::cargo(root).args(["deny", "check", "bans", "licenses", "sources"]))
}

fn docs(root: &Path) -> Result<()> {
    let mut cargo = run::cargo(root);
    run::echoed(cargo.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}
