//! Why an agent stopped, as one type, with the exit code of each reason.

use std::io;
use std::path::PathBuf;

use muster_agent_core::{Ending, Verdict};
use muster_model::text::is_printable;
use thiserror::Error;

use crate::store::files::corrupt;

/// Why an agent stopped or did not start.
#[derive(Debug, Error)]
pub enum AgentError {
    /// What it was told to do cannot be done.
    #[error("{what}")]
    Config {
        /// What is wrong with it.
        what: String,
    },
    /// The directory holds no identity, and no invite was given.
    #[error("{} holds no identity: enroll this machine first", dir.display())]
    NotEnrolled {
        /// The directory.
        dir: PathBuf,
    },
    /// The invite is of another deployment than the identity.
    #[error(
        "this machine belongs to {url}, the invite or pin is of another deployment: leave that one first, or use --reset"
    )]
    OtherServer {
        /// Where the identity is from.
        url: String,
    },
    /// Another agent uses the directory.
    #[error("another agent is running on {}", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The server understood the enrollment and said no.
    #[error("the server refused ({code}): {detail}")]
    Refused {
        /// The stable code.
        code: String,
        /// What is particular to this no.
        detail: String,
        /// What a person should do.
        help: String,
    },
    /// A mode or an owner is wrong.
    #[error("{}: {reason}; {fix}", path.display())]
    Permissions {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// What to do about it.
        fix: String,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file was read and is not what it should be.
    #[error("{}: {reason}; {fix}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// What to do about it.
        fix: String,
    },
    /// A file cannot be written. What was there before is still there.
    #[error("{} cannot be written; what was there before is kept", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A person turned this machine away.
    #[error("rejected by an operator{}; it does not ask again until --reset", with(reason.as_deref()))]
    Rejected {
        /// What they said.
        reason: Option<String>,
    },
    /// A person must decide, and nobody wanted to wait.
    #[error("waiting for approval: hold {hold}, words {words}")]
    Pending {
        /// The hold.
        hold: String,
        /// The words to compare.
        words: String,
    },
    /// The identity is over; its files were set aside.
    #[error("this machine's identity ended ({reason}); its files are set aside in {}; --reset allows a new enrollment", dir.display())]
    Ended {
        /// `revoked`, `retired` or `unknown_machine`.
        reason: String,
        /// Where the files are.
        dir: PathBuf,
    },
    /// The server cannot be reached, or its answer makes no sense.
    #[error("{what}")]
    Network {
        /// What happened.
        what: String,
    },
    /// Whoever answered is not the server that was named.
    #[error("{what}")]
    Untrusted {
        /// What was wrong.
        what: String,
    },
    /// The clocks disagree.
    #[error("{what}")]
    ClockOff {
        /// What was wrong.
        what: String,
    },
}

impl AgentError {
    /// The exit code of the agent.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config { .. }
            | Self::NotEnrolled { .. }
            | Self::OtherServer { .. }
            | Self::InUse { .. }
            | Self::Refused { .. } => 10,
            Self::Permissions { .. } => 11,
            Self::Unreadable { .. } => 12,
            Self::Corrupt { .. } => 13,
            Self::Disk { .. } => 14,
            Self::Rejected { .. } => 20,
            Self::Pending { .. } => 21,
            Self::Ended { .. } => 22,
            Self::Network { .. } => 30,
            Self::Untrusted { .. } => 31,
            Self::ClockOff { .. } => 32,
        }
    }

    pub(crate) fn config(what: impl Into<String>) -> Self {
        Self::Config { what: what.into() }
    }

    /// The failure of one request, where nobody waits for a better answer.
    pub(crate) fn of(verdict: &Verdict, dir: &std::path::Path) -> Self {
        let what = shown(&verdict.to_string());
        match verdict {
            Verdict::Ended(end) => Self::Ended { reason: end.reason().as_str().into(), dir: dir.to_owned() },
            Verdict::Rejected { reason } => Self::Rejected { reason: reason.as_deref().map(shown) },
            Verdict::Refused { code, detail, help } => {
                Self::Refused { code: shown(code), detail: shown(detail), help: shown(help) }
            }
            Verdict::Untrusted { .. } => Self::Untrusted { what },
            Verdict::ClockOff { .. } | Verdict::ClockSkew { .. } => Self::ClockOff { what },
            Verdict::Disk { .. } => Self::Disk { path: dir.to_owned(), source: io::Error::other(what) },
            _ => Self::Network { what },
        }
    }

    /// The end of the agent, where it is not a good one.
    pub(crate) fn ending(ending: &Ending, dir: &std::path::Path) -> Self {
        match ending {
            Ending::Told(_) | Ending::Retired | Ending::Revoked => {
                Self::Ended { reason: ending.as_str().into(), dir: dir.to_owned() }
            }
            Ending::KeyLost => {
                corrupt(dir, "the present key is lost, and the server never heard of the next one")
            }
            Ending::Rejected { reason } => Self::Rejected { reason: reason.as_deref().map(shown) },
            Ending::Pending => Self::Pending { hold: String::new(), words: String::new() },
            Ending::GaveUp(verdict) => Self::of(verdict, dir),
        }
    }
}

fn with(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// A text from outside as it may stand in a terminal or a log line: one line, bounded, nothing invisible.
pub(crate) fn shown(text: &str) -> String {
    const MAX: usize = 300;
    text.chars()
        .take(MAX)
        .flat_map(|c| if is_printable(c) { vec![c] } else { c.escape_default().collect() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_26_text_from_outside_is_one_bounded_line() {
        let text = shown(&format!("a\r\n\u{1b}[2J\u{202e}{}", "x".repeat(5000)));
        assert!(text.starts_with("a\\r\\n\\u{1b}[2J\\u{202e}x"), "{text}");
        assert!(text.len() < 400);
    }

    #[test]
    fn endings_have_the_exit_codes_of_the_table() {
        let dir = std::path::Path::new("/d");
        let code = |ending: Ending| AgentError::ending(&ending, dir).exit_code();
        assert_eq!(code(Ending::Rejected { reason: None }), 20);
        assert_eq!(code(Ending::KeyLost), 13);
        assert_eq!(code(Ending::Pending), 21);
        assert_eq!(code(Ending::Revoked), 22);
        assert_eq!(code(Ending::Retired), 22);
        assert_eq!(code(Ending::GaveUp(Verdict::later("down"))), 30);
        assert_eq!(code(Ending::GaveUp(Verdict::Untrusted { what: "pin".into() })), 31);
        assert_eq!(code(Ending::GaveUp(Verdict::ClockOff { what: "off".into() })), 32);
        assert_eq!(code(Ending::GaveUp(Verdict::Disk { what: "full".into() })), 14);
    }
}
