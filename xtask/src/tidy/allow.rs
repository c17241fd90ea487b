//! The list of exceptions: `rule path [<=N]  # reason`, one a line.
//!
//! An exception covers one rule in one file. `<=N` raises the limit of a measured rule to N and no further. A line
//! without a reason, one that does not parse and one that covers nothing any more are findings themselves.

use super::Finding;

pub(super) const PATH: &str = "xtask/tidy.allow";

struct Entry {
    line: usize,
    rule: String,
    path: String,
    limit: Option<usize>,
}

/// The exceptions, and what is wrong with the list.
pub(super) struct Allowed {
    entries: Vec<Entry>,
    broken: Vec<Finding>,
}

impl Entry {
    fn parse(line: usize, text: &str) -> Option<Self> {
        let (head, reason) = text.split_once('#')?;
        let mut words = head.split_whitespace();
        let (rule, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let limit = match words.next() {
            Some(word) => Some(word.strip_prefix("<=")?.parse().ok()?),
            None => None,
        };
        let complete = words.next().is_none() && !reason.trim().is_empty();
        complete.then_some(Self { line, rule, path, limit })
    }

    fn covers(&self, finding: &Finding) -> bool {
        let within = match (finding.measured, self.limit) {
            (Some(value), Some(limit)) => value <= limit,
            (Some(_), None) => false,
            (None, limit) => limit.is_none(),
        };
        self.rule == finding.rule && self.path == finding.path && within
    }
}

impl Allowed {
    pub(super) fn parse(text: &str) -> Self {
        let mut allowed = Self { entries: Vec::new(), broken: Vec::new() };
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            match Entry::parse(line, text) {
                Some(entry) => allowed.entries.push(entry),
                None => {
                    let advice = "write `rule path [<=N]  # reason`; a measured rule needs its `<=N`";
                    allowed.broken.push(Finding::new(PATH, line, "exception", advice));
                }
            }
        }
        allowed
    }

    /// What is left of the findings, and what is wrong with the exceptions.
    pub(super) fn filter(self, findings: Vec<Finding>) -> Vec<Finding> {
        let unused = self.entries.iter().filter(|entry| !findings.iter().any(|f| entry.covers(f)));
        let unused = unused.map(|entry| {
            let advice =
                format!("`{} {}` covers nothing (any more): delete the line", entry.rule, entry.path);
            Finding::new(PATH, entry.line, "exception", advice)
        });
        let unused: Vec<_> = unused.collect();
        let left = findings.into_iter().filter(|f| !self.entries.iter().any(|entry| entry.covers(f)));
        left.chain(unused).chain(self.broken).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(list: &str, findings: &[Finding]) -> Vec<(String, usize)> {
        let left = Allowed::parse(list).filter(findings.to_vec());
        left.into_iter().map(|f| (f.path, f.line)).collect()
    }

    fn clock() -> Finding {
        Finding::new("a.rs", 3, "clock", "advice")
    }

    #[test]
    fn an_exception_covers_its_rule_in_its_file() {
        assert!(left("# head\n\nclock a.rs  # the clock port\n", &[clock()]).is_empty());
        assert_eq!(left("", &[clock()]), [("a.rs".to_owned(), 3)]);
    }

    #[test]
    fn an_exception_that_covers_nothing_is_found() {
        assert_eq!(left("clock b.rs # reason\n", &[]), [(PATH.to_owned(), 1)]);
        assert_eq!(left("sleep a.rs # reason\n", &[clock()]).len(), 2);
    }

    #[test]
    fn an_exception_without_a_reason_is_found_and_covers_nothing() {
        assert_eq!(left("clock a.rs #  \n", &[clock()]).len(), 2);
        assert_eq!(left("clock a.rs\n", &[clock()]).len(), 2);
    }

    #[test]
    fn a_measured_rule_is_raised_to_a_limit_and_not_lifted() {
        let long = Finding::new("a.rs", 0, "file-size", "advice").measuring(600);
        assert!(left("file-size a.rs <=600 # reason", std::slice::from_ref(&long)).is_empty());
        assert_eq!(left("file-size a.rs <=599 # reason", std::slice::from_ref(&long)).len(), 2);
        assert_eq!(left("file-size a.rs # reason", &[long]).len(), 2);
    }
}
