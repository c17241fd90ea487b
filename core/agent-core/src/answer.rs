//! What a failed request means for the identity.
//!
//! Only a problem document (RFC 9457) that came over a connection verified against our own roots, and says `revoked`,
//! `superseded` or `unknown_machine`, ends a key (Q-14), and with its last key an identity. [`Proved`] can be made
//! nowhere else. Everything odd means "later".

use jiff::Timestamp;
use muster_wire::problem::MEDIA_TYPE;
use muster_wire::{AgentAction, Problem};

/// An answer that was not a success.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// Its `Content-Type`, as sent.
    pub content_type: Option<&'a str>,
    /// Its `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// Its body.
    pub body: &'a [u8],
    /// Whether it came over a connection verified against the roots we hold.
    pub authenticated: bool,
}

/// Why the server says a key is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The key was revoked.
    Revoked,
    /// A newer key of the machine took its place.
    Superseded,
    /// The server knows no machine with this key.
    UnknownMachine,
}

/// An end that the server itself said, over an authenticated connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proved(EndReason);

/// What a failure means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The key that was shown is over; the identity is, where there is no other key.
    Ended(Proved),
    /// The key that was shown may only vouch for another one.
    RotationNeeded,
    /// The key that was shown is not known, which says nothing for good: a server may have been put back to an older day.
    NotAuthenticated,
    /// The key that was proposed was proposed before, and another one took its place.
    KeyTaken,
    /// A person turned the enrollment away.
    Rejected {
        /// What they said.
        reason: Option<String>,
    },
    /// The server understood and said no; asking again would not help.
    Refused {
        /// The stable code.
        code: String,
        /// What is particular to this no.
        detail: String,
        /// What a person should do.
        help: String,
    },
    /// The certificate is not taken (expired, for one); the key may still ask for a new one.
    CertificateRefused,
    /// The clocks disagree.
    ClockSkew {
        /// The server's clock.
        server_time: Timestamp,
    },
    /// The hold that was asked about is gone.
    Gone,
    /// The machine is paused.
    Suspended,
    /// Whoever answered is not the server we know: wrong CA, wrong name, wrong pin.
    Untrusted {
        /// What was wrong.
        what: String,
    },
    /// The server's certificate is not valid at our hour.
    ClockOff {
        /// What was wrong.
        what: String,
    },
    /// The own disk refused.
    Disk {
        /// What was wrong.
        what: String,
    },
    /// Not now.
    Later {
        /// What was wrong.
        what: String,
        /// Seconds the server asked for.
        retry_after: Option<u32>,
    },
}

impl Proved {
    /// Why.
    pub fn reason(self) -> EndReason {
        self.0
    }
}

impl EndReason {
    /// The stable code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Superseded => "superseded",
            Self::UnknownMachine => "unknown_machine",
        }
    }
}

impl Answer<'_> {
    /// What it means.
    pub fn classify(&self) -> Verdict {
        match self.problem() {
            Some(problem) => self.judge(problem),
            None => self.later(format!("answered {} without a problem document", self.status)),
        }
    }

    /// The problem document, if the answer is one of the server we know.
    fn problem(&self) -> Option<Problem> {
        let essence = self.content_type?.split(';').next()?.trim();
        if !self.authenticated || !essence.eq_ignore_ascii_case(MEDIA_TYPE) {
            return None;
        }
        serde_json::from_slice(self.body).ok().filter(|problem: &Problem| problem.status == self.status)
    }

    fn judge(&self, problem: Problem) -> Verdict {
        // 5xx is trouble of the server, whatever it says beside it.
        if !(400..500).contains(&self.status) {
            return self.later_problem(&problem);
        }
        match problem.code.as_str() {
            "revoked" => Verdict::Ended(Proved(EndReason::Revoked)),
            "superseded" => Verdict::Ended(Proved(EndReason::Superseded)),
            "unknown_machine" => Verdict::Ended(Proved(EndReason::UnknownMachine)),
            "rotation_needed" => Verdict::RotationNeeded,
            "key_taken" => Verdict::KeyTaken,
            "not_authenticated" => Verdict::NotAuthenticated,
            "rejected" => Verdict::Rejected { reason: problem.detail },
            "credential_expired" => Verdict::CertificateRefused,
            "suspended" => Verdict::Suspended,
            "not_found" => Verdict::Gone,
            "clock_skew" => match problem.server_time {
                Some(server_time) => Verdict::ClockSkew { server_time },
                None => self.later_problem(&problem),
            },
            _ => match problem.action {
                AgentAction::Stop | AgentAction::EnrollAgain => Verdict::Refused {
                    detail: problem.detail.unwrap_or(problem.title),
                    code: problem.code,
                    help: problem.help,
                },
                AgentAction::Rotate => Verdict::CertificateRefused,
                AgentAction::Retry | AgentAction::Wait => self.later_problem(&problem),
            },
        }
    }

    fn later_problem(&self, problem: &Problem) -> Verdict {
        let what = format!("answered {} {}: {}", self.status, problem.code, problem.title);
        Verdict::Later { what, retry_after: problem.retry_after.or(self.retry_after) }
    }

    fn later(&self, what: String) -> Verdict {
        Verdict::Later { what, retry_after: self.retry_after }
    }
}

impl Verdict {
    /// A failure that has no answer to it.
    pub fn later(what: impl Into<String>) -> Self {
        Self::Later { what: what.into(), retry_after: None }
    }

    /// Seconds the server asked to wait.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Later { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended(end) => write!(f, "the server ended this key: {}", end.0.as_str()),
            Self::RotationNeeded => f.write_str("this key may only vouch for another one"),
            Self::NotAuthenticated => f.write_str("the server does not know this key at present"),
            Self::KeyTaken => f.write_str("the next key was proposed before, and another one took its place"),
            Self::Rejected { reason: Some(reason) } => write!(f, "rejected by an operator: {reason}"),
            Self::Rejected { reason: None } => f.write_str("rejected by an operator"),
            Self::Refused { code, detail, .. } => write!(f, "refused ({code}): {detail}"),
            Self::CertificateRefused => f.write_str("the certificate is not taken any more"),
            Self::ClockSkew { server_time } => {
                write!(f, "the clocks disagree: the server says {server_time}")
            }
            Self::Gone => f.write_str("the hold is gone"),
            Self::Suspended => f.write_str("the machine is suspended"),
            Self::Untrusted { what }
            | Self::ClockOff { what }
            | Self::Disk { what }
            | Self::Later { what, .. } => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(status: u16, code: &str, action: &str) -> Vec<u8> {
        format!(
            r#"{{"type":"/problems/{code}","title":"T","status":{status},"code":"{code}","action":"{action}","help":"H",
                "server_time":"2026-11-01T00:00:00Z"}}"#
        )
        .into_bytes()
    }

    fn answer(status: u16, body: &[u8]) -> Answer<'_> {
        Answer { status, content_type: Some(MEDIA_TYPE), retry_after: None, body, authenticated: true }
    }

    #[test]
    fn codes_of_authenticated_problems_have_their_meaning() {
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().expect("a time");
        let table = [
            (401, "revoked", "stop", Verdict::Ended(Proved(EndReason::Revoked))),
            (404, "unknown_machine", "stop", Verdict::Ended(Proved(EndReason::UnknownMachine))),
            (403, "superseded", "enroll_again", Verdict::Ended(Proved(EndReason::Superseded))),
            (401, "rotation_needed", "rotate", Verdict::RotationNeeded),
            (409, "key_taken", "stop", Verdict::KeyTaken),
            (401, "not_authenticated", "retry", Verdict::NotAuthenticated),
            (403, "rejected", "stop", Verdict::Rejected { reason: None }),
            (401, "credential_expired", "rotate", Verdict::CertificateRefused),
            (401, "clock_skew", "retry", Verdict::ClockSkew { server_time: now }),
            (403, "suspended", "wait", Verdict::Suspended),
            (404, "not_found", "stop", Verdict::Gone),
        ];
        for (status, code, action, verdict) in table {
            assert_eq!(answer(status, &body(status, code, action)).classify(), verdict, "{code}");
        }
        let refused = answer(401, &body(401, "not_entitled", "enroll_again")).classify();
        assert!(matches!(refused, Verdict::Refused { code, .. } if code == "not_entitled"));
        let reaped = answer(403, &body(403, "reaped", "wait")).classify();
        assert!(matches!(reaped, Verdict::Later { .. }), "it can be undone: nothing has ended");
        let slow = answer(429, &body(429, "slow_down", "wait")).classify();
        assert!(matches!(slow, Verdict::Later { .. }));
    }

    #[test]
    fn q_14_nothing_but_an_authenticated_problem_says_more_than_later() {
        let revoked = body(401, "revoked", "stop");
        let good = answer(401, &revoked);
        let trouble = body(503, "revoked", "stop");
        let html = "<html>401</html>".as_bytes();
        let cases = [
            Answer { authenticated: false, ..good },
            Answer { content_type: None, ..good },
            Answer { content_type: Some("text/html"), ..good },
            Answer { content_type: Some("application/json"), ..good },
            Answer { status: 404, ..good },
            Answer { status: 302, ..good },
            Answer { status: 503, ..good },
            answer(503, &trouble),
            Answer { body: &revoked[..revoked.len() - 2], ..good },
            Answer { body: html, ..good },
            Answer { status: 404, body: b"{}", ..good },
            Answer { status: 403, body: b"", ..good },
        ];
        for case in cases {
            assert!(matches!(case.classify(), Verdict::Later { .. }), "{case:?}");
        }
        assert!(matches!(good.classify(), Verdict::Ended(_)), "the table can fail");
    }

    #[test]
    fn media_type_is_compared_without_parameters_and_case() {
        let revoked = body(401, "revoked", "stop");
        let odd =
            Answer { content_type: Some("Application/Problem+JSON; charset=utf-8"), ..answer(401, &revoked) };
        assert!(matches!(odd.classify(), Verdict::Ended(_)));
    }
}
