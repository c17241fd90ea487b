//! `cargo xtask generate [--check]`: `docs/reference` is written by the program itself, never by hand.
//!
//! The hidden subcommand `muster generate --out DIR` writes the files (OpenAPI, problem table, command line,
//! configuration, join methods); this compares or copies. `README.md` and `fuzz.md` in that folder are written by
//! people. Nothing is deleted here: a file that is no longer generated is reported.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

const REFERENCE: &str = "docs/reference";
const BY_HAND: [&str; 2] = ["README.md", "fuzz.md"];

/// Path below the folder, and content.
type Files = BTreeMap<String, Vec<u8>>;

pub(crate) fn run(args: &[String]) -> Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask generate [--check]"),
    };
    let root = run::root()?;
    let fresh = fresh(&root)?;
    if !check {
        write(&root.join(REFERENCE), &fresh)?;
    }
    let findings = differences(&fresh, &read(&root.join(REFERENCE))?);
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{REFERENCE} is not what the program says: run `cargo xtask generate` and read the difference");
    }
    Ok(())
}

/// What the program of this tree generates.
fn fresh(root: &Path) -> Result<Files> {
    let metadata = run::members()?;
    let out = metadata.target_directory.as_std_path().join("generated");
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("cannot clear {}", out.display()))?;
    }
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    run::echoed(run::cargo(root).args(["build", "--quiet"]).args(selection()))?;
    let program = metadata.target_directory.as_std_path().join("debug/muster");
    run::echoed(Command::new(program).current_dir(root).args(["generate", "--out"]).arg(&out))?;
    let files = read(&out)?;
    if files.is_empty() {
        bail!("`muster generate` wrote nothing");
    }
    Ok(files)
}

/// A package alone has other features of its dependencies than the workspace has, and is compiled anew. CI has built
/// the whole workspace for the tests and takes the program from there; a person waits for the one program only.
fn selection() -> &'static [&'static str] {
    match std::env::var_os("CI") {
        Some(_) => &["--workspace", "--bins", "--tests"],
        None => &["-p", "muster-cli"],
    }
}

fn read(dir: &Path) -> Result<Files> {
    let mut files = Files::new();
    if dir.exists() {
        collect(dir, "", &mut files)?;
    }
    Ok(files)
}

fn collect(dir: &Path, prefix: &str, files: &mut Files) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
        } else {
            let content = fs::read(entry.path()).with_context(|| format!("cannot read {name}"))?;
            files.insert(name, content);
        }
    }
    Ok(())
}

fn write(dir: &Path, files: &Files) -> Result<()> {
    for (name, content) in files {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// One line for each file that is missing, left over or different.
fn differences(fresh: &Files, present: &Files) -> Vec<String> {
    let changed = fresh.iter().filter_map(|(name, content)| match present.get(name) {
        None => Some(format!("{REFERENCE}/{name}: generated: the file is missing")),
        Some(old) if old != content => {
            let line = first_difference(old, content);
            Some(format!("{REFERENCE}/{name}:{line}: generated: the program now says something else here"))
        }
        Some(_) => None,
    });
    let left = present.keys().filter(|name| !fresh.contains_key(*name) && !BY_HAND.contains(&name.as_str()));
    let left = left.map(|name| format!("{REFERENCE}/{name}: generated: nothing writes this file: delete it"));
    changed.chain(left).collect()
}

/// The first line, from 1, at which two texts differ.
fn first_difference(old: &[u8], new: &[u8]) -> usize {
    let same = old.iter().zip(new).take_while(|(a, b)| a == b);
    same.filter(|(a, _)| **a == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn equal_folders_and_a_readme_written_by_hand_are_clean() {
        let fresh = files(&[("cli.md", "a\n")]);
        assert!(differences(&fresh, &files(&[("cli.md", "a\n"), ("README.md", "by hand")])).is_empty());
    }

    #[test]
    fn missing_changed_and_left_over_files_are_each_named() {
        let fresh = files(&[("cli.md", "a\nb\nc\n"), ("openapi.json", "{}")]);
        let found = differences(&fresh, &files(&[("cli.md", "a\nX\nc\n"), ("old/gone.md", "")]));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("docs/reference/cli.md:2:"), "{found:?}");
        assert!(found[1].contains("openapi.json: generated: the file is missing"));
        assert!(found[2].contains("old/gone.md: generated: nothing writes this file"));
    }

    #[test]
    fn what_is_written_is_read_back_with_its_folders() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let fresh = files(&[("cli.md", "a"), ("schema/config.json", "{}")]);
        write(dir.path(), &fresh)?;
        assert_eq!(read(dir.path())?, fresh);
        Ok(())
    }
}
