//! What a check found, and how it is told.

use jiff::Timestamp;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Human, escape};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// All is well.
    Ok,
    /// It works and will not for long.
    Warn,
    /// It is broken.
    Fail,
}

/// A check: what was looked at, what was found, why that is so and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) status: Status,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

/// Every check, and whether none failed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) ok: bool,
    pub(super) checks: Vec<Check>,
}

impl Check {
    /// All is well.
    pub(super) fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, message: message.into(), cause: None, fix: None }
    }

    /// It works and will not for long.
    pub(super) fn warn(name: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status: Status::Warn, fix: Some(fix.into()), ..Self::ok(name, message) }
    }

    /// It is broken.
    pub(super) fn fail(name: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status: Status::Fail, fix: Some(fix.into()), ..Self::ok(name, message) }
    }

    /// It is broken, as a command would have said it.
    pub(super) fn of(name: &'static str, failure: &Failure) -> Self {
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            name,
            status: Status::Fail,
            message: failure.message().to_owned(),
            cause: text(failure.why()),
            fix: text(failure.fix()),
        }
    }

    /// Says why.
    pub(super) fn because(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// Whether nothing is broken.
    pub(super) fn passed(&self) -> bool {
        self.status != Status::Fail
    }
}

impl Report {
    /// Puts checks together.
    pub(super) fn new(checks: Vec<Check>) -> Self {
        Self { ok: checks.iter().all(Check::passed), checks }
    }
}

impl Human for Report {
    fn human(&self, _: Timestamp) -> String {
        let mut lines: Vec<String> = self.checks.iter().map(told).collect();
        let failed = self.checks.iter().filter(|check| !check.passed()).count();
        lines.push(if failed == 0 {
            "\nNothing is broken.".into()
        } else {
            format!("\n{failed} of {} checks failed.", self.checks.len())
        });
        lines.join("\n")
    }
}

fn told(check: &Check) -> String {
    let mark = match check.status {
        Status::Ok => "ok  ",
        Status::Warn => "warn",
        Status::Fail => "FAIL",
    };
    let mut text = format!("{mark}  {}: {}", check.name, escape(&check.message));
    if let Some(cause) = &check.cause {
        text.push_str(&format!("\n      cause: {}", escape(cause)));
    }
    if let Some(fix) = &check.fix {
        text.push_str(&format!("\n      fix:   {}", escape(fix)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_makes_the_whole_not_ok_and_a_warning_does_not() {
        let warn = || Check::warn("disk", "little is left", "make room");
        assert!(Report::new(vec![Check::ok("a", "b"), warn()]).ok);
        assert!(!Report::new(vec![warn(), Check::fail("a", "b", "c")]).ok);
    }

    #[test]
    fn cause_and_fix_stand_below_the_finding() {
        let check = Check::fail("port", "127.0.0.1:1 is taken", "choose another").because("another program");
        let text = Report::new(vec![check]).human(Timestamp::UNIX_EPOCH);
        let expected =
            "FAIL  port: 127.0.0.1:1 is taken\n      cause: another program\n      fix:   choose another\n";
        assert!(text.starts_with(expected), "{text}");
    }
}
