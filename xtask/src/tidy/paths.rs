//! No file of the project holds a path of the machine it was written on, nor what a merge could not decide.

use super::Finding;

/// Put together here, so that this file does not hold them.
const HOMES: [&str; 2] = [concat!("/", "work/"), concat!("/", "root/")];

/// What a merge writes around two versions; put together for the same reason.
const MARKERS: [&str; 2] = [concat!("<<<<", "<<< "), concat!(">>>>", ">>> ")];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    text.lines().zip(1..).filter_map(|(line, number)| of_line(path, line, number)).collect()
}

fn of_line(path: &str, line: &str, number: usize) -> Option<Finding> {
    if MARKERS.iter().any(|marker| line.starts_with(marker)) {
        return Some(Finding::new(
            path,
            number,
            "merge",
            "two versions stand here: keep what is right of both",
        ));
    }
    let is_of_a_machine = HOMES.iter().any(|home| begins_path(line, home));
    let advice = "a path of one machine: make it relative, or take it from the environment";
    is_of_a_machine.then(|| Finding::new(path, number, "machine-path", advice))
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
    fn what_a_merge_left_behind_is_found() {
        let text = format!("a\n{}ours\nb\n=====\nc\n{}theirs\n", MARKERS[0], MARKERS[1]);
        let lines: Vec<_> = check("README.md", &text).into_iter().map(|f| f.line).collect();
        assert_eq!(lines, [2, 6]);
    }

    #[test]
    fn the_middle_of_a_path_or_an_address_passes() {
        let text =
            format!("https://example.org{}a $DIR{}b ..{}c /etc{}d", HOMES[0], HOMES[0], HOMES[0], HOMES[1]);
        assert!(check("README.md", &text).is_empty());
    }
}
