//! Lines, without a database: what a row is as a line, and what is found out about lines that were changed.

use muster_model::{AuditId, Deployment, DeploymentId, EntryPlace, IncarnationId};

use super::TransferError;
use super::format::{Head, parse_row, row_line};
use super::table::{ALL, Datum, Texts};

fn texts(name: &str) -> &'static Texts {
    ALL.iter().find(|texts| texts.table.name == name).expect("it is carried")
}

fn head() -> Head {
    let (id, incarnation) = (DeploymentId::new(1, [1; 10]), IncarnationId::new(1, [2; 10]));
    let deployment = Deployment { id, proof: [7; 32], incarnations: vec![incarnation], gap: None };
    let newest = EntryPlace { seq: 42, id: AuditId::new(3, [3; 10]) };
    let counts = ALL.iter().zip(1..).map(|(texts, n)| (texts.table.name, n)).collect();
    Head::new(&deployment, Some(newest), counts)
}

#[test]
fn a_head_reads_back() {
    assert_eq!(Head::parse(&head().line()).expect("its own line"), head());
    assert_eq!(head().rows(), (ALL.len() * (ALL.len() + 1) / 2) as u64);
    let early = Head { newest: None, ..head() };
    assert_eq!(Head::parse(&early.line()).expect("its own line"), early);
}

#[test]
fn a_head_of_another_version_or_of_something_else_is_told_apart() {
    let line = head().line();
    let newer = line.replace("\"version\":1", "\"version\":2");
    assert!(matches!(Head::parse(&newer), Err(TransferError::Version { line: 1, .. })));
    for odd in ["", "{}", "SQLite format 3", &line[..line.len() / 2], &line.replace("dep_", "mch_")] {
        assert!(matches!(Head::parse(odd), Err(TransferError::Damaged { line: 1, .. })), "{odd}");
    }
}

#[test]
fn a_row_reads_back_whatever_is_in_it() {
    let table = texts("audit").table;
    let text = |text: &str| Datum::Text(text.to_owned());
    let row = vec![
        Datum::Int(i64::MAX),
        Datum::Bytes(vec![0, 255, 10]),
        Datum::Bytes(vec![]),
        Datum::Int(-1),
        text("a\nb\"\u{1b}\u{2028}é"),
        text(""),
        text("x"),
        text("y"),
        Datum::Null,
        text("{}"),
    ];
    let line = row_line(&row);
    assert!(!line.contains('\n'), "{line}");
    assert_eq!(parse_row(table, &line), Ok(row));
}

#[test]
fn a_row_that_does_not_fit_its_table_is_refused() {
    let table = texts("tenants").table;
    assert!(parse_row(table, r#"["AAEC","code",7]"#).is_ok());
    for odd in [
        r#"["AAEC","code"]"#,
        r#"["AAEC","code",7,8]"#,
        r#"["AAEC","code","7"]"#,
        r#"["AAEC","code",7.5]"#,
        r#"["A!","code",7]"#,
        r#"[7,"code",7]"#,
        r#"["AAEC","code",7"#,
        "",
    ] {
        let what = parse_row(table, odd).expect_err(odd);
        assert!(what.contains("tenants"), "{what}");
    }
}
