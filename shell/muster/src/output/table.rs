//! Tables and lists of details. Every cell passes the allow-list here, so no command can forget it.

use std::collections::BTreeMap;

use comfy_table::{Table, presets};

use super::escape;

/// A table: a header and rows, two spaces between columns, nothing else.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| escape(&cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A list of details: names on the left, values on the right. Empty values are left out.
pub(crate) fn details<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows: Vec<_> = rows.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines = rows.iter().map(|(name, value)| format!("{:<1$}  {2}", name, width, escape(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// `key=value` pairs in one line.
pub(crate) fn pairs(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_spaces() {
        let text =
            table(["NAME", "STATE"], [["a".into(), "active".into()], ["long-name".into(), "retired".into()]]);
        assert_eq!(text, "NAME       STATE\na          active\nlong-name  retired");
    }

    #[test]
    fn q_34_cells_and_details_cannot_drive_the_terminal_or_break_lines() {
        let text = table(["NAME"], [["x\u{1b}[31m\ny".into()]]);
        assert_eq!(text.lines().nth(1), Some(r"x\u{1b}[31m\ny"));
        assert_eq!(details([("name", "a\nb".into())]), r"name  a\nb");
    }

    #[test]
    fn empty_details_are_left_out() {
        assert_eq!(details([("a", "1".into()), ("long", String::new()), ("bb", "2".into())]), "a   1\nbb  2");
    }
}
