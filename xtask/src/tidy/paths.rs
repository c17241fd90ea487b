//! No file of the project holds a path of the machine it was written on.

use super::Finding;

/// Put together here, so that this file does not hold them.
const HOMES: [&str; 2] = [concat!("/", "work/"), concat!("/", "root/")];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().zip(1..).filter(|(line, _)| HOMES.iter().any(|home| begins_path(line, home)));
    let advice = "a path of one machine: make it relative, or take it from the environment";
    lines.map(|(_, number)| Finding::new(path, number, "machine-path", advice)).collect()
}

/// Whether the text stands in the line as the beginning of a path, not as the middle of one or of an address.
fn begins_path(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "/._-~})]*".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_path_of_a_machine_is_found() {
        let text = format!("a\nsee {}main and\n`{}x`\n", HOMES[0], HOMES[1]);
        let lines: Vec<_> = check("README.md", &text).into_iter().map(|f| f.line).collect();
        assert_eq!(lines, [2, 3]);
    }

    #[test]
    fn the_middle_of_a_path_or_an_address_passes() {
        let text =
            format!("https://example.org{}a $DIR{}b ..{}c /etc{}d", HOMES[0], HOMES[0], HOMES[0], HOMES[1]);
        assert!(check("README.md", &text).is_empty());
    }
}
