//! The documents that describe the tree must describe this tree: the map of the architecture, the list of decisions.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, Package};

use super::Finding;

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const ARCHITECTURE_LINES: usize = 250;
const DECISIONS: &str = "docs/decisions";

pub(super) fn check(root: &Path, members: &BTreeSet<String>) -> Result<Vec<Finding>> {
    let mut findings = match std::fs::read_to_string(root.join(ARCHITECTURE)) {
        Ok(text) => architecture(&text, members),
        Err(_) => vec![Finding::new(
            ARCHITECTURE,
            0,
            "map",
            "the file is missing: the map of the rooms stands there",
        )],
    };
    let dir = root.join(DECISIONS);
    let names = match dir.is_dir() {
        true => names(&dir)?,
        false => Vec::new(),
    };
    let index = std::fs::read_to_string(dir.join("README.md")).ok();
    findings.extend(decisions(&names, index.as_deref()));
    Ok(findings)
}

/// Where a member lives, relative to the workspace.
pub(super) fn member_path(metadata: &Metadata, package: &Package) -> String {
    let dir = package.manifest_path.parent().unwrap_or(&package.manifest_path);
    dir.strip_prefix(&metadata.workspace_root).unwrap_or(dir).to_string()
}

pub(super) fn member_paths(metadata: &Metadata) -> BTreeSet<String> {
    metadata.workspace_packages().iter().map(|package| member_path(metadata, package)).collect()
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn architecture(text: &str, members: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > ARCHITECTURE_LINES {
        let advice = format!("{lines} lines, {ARCHITECTURE_LINES} at most: it is read in one sitting");
        findings.push(Finding::new(ARCHITECTURE, 0, "map-size", advice).measuring(lines));
    }
    let map = map(text);
    let mapped: BTreeSet<_> = map.iter().map(|(path, _)| path.clone()).collect();
    for member in members.difference(&mapped) {
        let advice = format!("the map has no row for the member `{member}`");
        findings.push(Finding::new(ARCHITECTURE, 0, "map", advice));
    }
    for (path, line) in map.iter().filter(|(path, _)| !members.contains(path)) {
        let advice = format!("`{path}` is on the map and no member of the workspace");
        findings.push(Finding::new(ARCHITECTURE, *line, "map", advice));
    }
    findings
}

/// Paths in backquotes in the first column of the tables below the heading that has the word "map", with their lines.
fn map(text: &str) -> Vec<(String, usize)> {
    let mut inside = false;
    let mut rows = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.starts_with('#') {
            let mut words = line.split(|c: char| !c.is_alphanumeric());
            inside = words.any(|word| word.eq_ignore_ascii_case("map"));
        } else if let Some(row) = line.strip_prefix('|').filter(|_| inside) {
            let cell = row.split('|').next().unwrap_or_default();
            rows.extend(
                cell.split('`')
                    .skip(1)
                    .step_by(2)
                    .map(|path| (path.trim_end_matches('/').to_owned(), number)),
            );
        }
    }
    rows
}

/// `names` is what lies in the folder, `index` its README.
fn decisions(names: &[String], index: Option<&str>) -> Vec<Finding> {
    let Some(index) = index else {
        return vec![Finding::new(DECISIONS, 0, "decisions", "README.md is missing: it lists the decisions")];
    };
    let records: Vec<&String> = names.iter().filter(|name| *name != "README.md").collect();
    let mut findings = Vec::new();
    for (i, name) in records.iter().enumerate() {
        let path = format!("{DECISIONS}/{name}");
        let mut found = |advice: &str| findings.push(Finding::new(&path, 0, "decisions", advice));
        if !is_record(name) {
            found("name it NNNN-title-in-lower-case.md");
        } else if i > 0 && records[i - 1].get(..4) == name.get(..4) {
            found("its number is taken: take the next free one");
        }
        if !index.contains(&format!("({name})")) {
            found("list it in docs/decisions/README.md");
        }
    }
    findings.extend(dangling(names, index));
    findings
}

/// Decisions that the list links to and that are not there.
fn dangling(names: &[String], index: &str) -> Vec<Finding> {
    let path = format!("{DECISIONS}/README.md");
    let mut findings = Vec::new();
    for (line, number) in index.lines().zip(1..) {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| is_record(target) && !names.iter().any(|name| name == target)) {
            findings.push(Finding::new(
                &path,
                number,
                "decisions",
                format!("{target} is listed and not there"),
            ));
        }
    }
    findings
}

fn is_record(name: &str) -> bool {
    let Some((number, title)) = name.strip_suffix(".md").and_then(|stem| stem.split_once('-')) else {
        return false;
    };
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    number.len() == 4
        && number.chars().all(|c| c.is_ascii_digit())
        && !title.is_empty()
        && title.chars().all(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    const DOCUMENT: &str = "# Muster\n| `a` | not the map |\n## The map\n\n| member | owns |\n|---|---|\n\
        | `core/model` | nouns |\n| `shell/store`, `shell/app/` | |\n## Next\n| `core/gone` | |\n";

    #[test]
    fn a_map_of_the_members_is_clean() {
        assert!(architecture(DOCUMENT, &members(&["core/model", "shell/store", "shell/app"])).is_empty());
    }

    #[test]
    fn a_member_without_a_row_and_a_row_without_a_member_are_found() {
        let found = architecture(DOCUMENT, &members(&["core/model", "shell/store", "xtask"]));
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("no row for the member `xtask`"));
        assert!(found[1].starts_with("ARCHITECTURE.md:8: map: `shell/app`"));
    }

    #[test]
    fn an_architecture_of_more_than_a_sitting_is_found() {
        let text = format!("{DOCUMENT}{}", "\n".repeat(241));
        let found = architecture(&text, &members(&["core/model", "shell/store", "shell/app"]));
        assert_eq!(found.iter().map(|f| f.measured).collect::<Vec<_>>(), [Some(251)]);
    }

    fn decide(names: &[&str], index: &str) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        decisions(&names, Some(index)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_decision_is_listed_and_every_listed_one_is_there() {
        let index = "- [One](0001-one.md)\n- [Two](0002-two.md)\n";
        assert!(decide(&["0001-one.md", "0002-two.md", "README.md"], index).is_empty());
        let found = decide(&["0001-one.md", "0003-three.md", "README.md"], index);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("0003-three.md: decisions: list it"));
        assert!(found[1].contains("README.md:2: decisions: 0002-two.md"));
    }

    #[test]
    fn a_decision_has_a_number_of_its_own_and_a_plain_name() {
        let index = "(0001-one.md) (0001-uno.md) (2-Two.md)";
        let found = decide(&["0001-one.md", "0001-uno.md", "2-Two.md", "README.md"], index);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("its number is taken"));
        assert!(found[1].contains("name it"));
    }

    #[test]
    fn a_missing_list_is_found() {
        assert_eq!(decisions(&[], None).len(), 1);
    }
}
