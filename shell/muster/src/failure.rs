//! How a command fails: one sentence, its causes, what to do about it, and a stable exit code.
//!
//! Everything printed goes through the terminal's allow-list: a server's sentence may hold what an agent said.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use muster_client::ClientError;
use muster_wire::{AgentAction, Problem};

use crate::output::escape;

/// Result of a command.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

/// The exit codes, as documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It went wrong and no other code says how.
    Failed,
    /// The command line makes no sense, or a value in it was refused.
    Usage,
    /// There is no such object, or none that the caller may see.
    NotFound,
    /// The caller may not do this.
    Forbidden,
    /// The object stands where this does not apply.
    Conflict,
    /// A person must decide first.
    Pending,
    /// Asked too often.
    Limited,
    /// Nobody answered.
    Unreachable,
    /// It may work later.
    TryAgain,
    /// The caller has shown no identity, or one that does not hold.
    NotAuthenticated,
    /// The configuration, or a file it names, is wrong.
    Config,
    /// A code of the agent's own table.
    Agent(u8),
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
    request_id: Option<String>,
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Forbidden => 4,
            Self::Conflict => 5,
            Self::Pending => 6,
            Self::Limited => 7,
            Self::Unreachable => 69,
            Self::TryAgain => 75,
            Self::NotAuthenticated => 77,
            Self::Config => 78,
            Self::Agent(code) => code,
        }
    }

    /// What a problem document means for a script.
    fn of(problem: &Problem) -> Self {
        match problem.status {
            400 | 413 | 415 | 422 => Self::Usage,
            401 => Self::NotAuthenticated,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            409 | 410 | 412 if problem.action == AgentAction::Wait => Self::Pending,
            409 | 410 | 412 => Self::Conflict,
            429 => Self::Limited,
            502..=504 => Self::TryAgain,
            _ => Self::Failed,
        }
    }
}

impl Failure {
    /// A failure in one sentence.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: vec![], hints: vec![], request_id: None }
    }

    /// The command line makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds an error and all that it came from.
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let text = error.to_string();
            // Many libraries repeat their source in their own text.
            if !self.causes.last().unwrap_or(&self.message).contains(&text) {
                self.causes.push(text);
            }
            cause = error.source();
        }
        self
    }

    /// Adds a cause in words.
    pub(crate) fn cause(mut self, text: impl Into<String>) -> Self {
        self.causes.push(text.into());
        self
    }

    /// Adds what a person can do.
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }

    /// The exit code it ends in.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The sentence.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The causes in one line.
    pub(crate) fn why(&self) -> String {
        self.causes.join(": ")
    }

    /// What a person can do, in one line.
    pub(crate) fn fix(&self) -> String {
        self.hints.join("; ")
    }

    /// Prints it on standard error and gives the exit code.
    pub(crate) fn report(&self, color: bool) -> ExitCode {
        // Nobody is left to tell when standard error is closed.
        write!(std::io::stderr().lock(), "{}", self.text(color)).ok();
        ExitCode::from(self.exit.code())
    }

    fn text(&self, color: bool) -> String {
        let mut text = line("error", &self.message, color);
        self.causes.iter().for_each(|cause| text.push_str(&line("cause", cause, color)));
        self.hints.iter().for_each(|hint| text.push_str(&line("hint", hint, color)));
        self.request_id.iter().for_each(|id| text.push_str(&line("request id", id, color)));
        text
    }
}

fn line(label: &str, text: &str, color: bool) -> String {
    let text = escape(text);
    if !color {
        return format!("{label}: {text}\n");
    }
    let tone = match label {
        "error" => anstyle::AnsiColor::Red,
        "hint" => anstyle::AnsiColor::Green,
        _ => anstyle::AnsiColor::Yellow,
    };
    let style = tone.on_default().bold();
    format!("{style}{label}:{style:#} {text}\n")
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let exit = Exit::of(&problem);
        let mut failure = match problem.detail {
            Some(detail) if says_again(&problem.title, &detail) => Self::new(exit, sentence(&detail)),
            Some(detail) => Self::new(exit, problem.title).cause(detail),
            None => Self::new(exit, problem.title),
        };
        let told = failure.why();
        let untold = problem.errors.iter().filter(|e| !(told.contains(&e.path) && told.contains(&e.message)));
        failure.causes.extend(untold.map(|e| format!("{} {}", e.path, e.message)));
        failure.hints.extend(Some(problem.help).filter(|help| !help.is_empty()));
        failure.hints.extend(problem.retry_after.map(|seconds| format!("try again in {seconds} seconds")));
        failure.request_id = problem.request_id;
        failure
    }
}

/// Whether a detail is its title over again, at most with a word in the place of another ("one", "a site").
fn says_again(title: &str, detail: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    };
    let (title, detail) = (words(title), words(detail));
    let missing = title.iter().filter(|word| !detail.contains(word)).count();
    title == detail || missing == 0 || missing == 1 && title.len() > 4
}

fn sentence(text: &str) -> String {
    let mut rest = text.trim_end_matches('.').chars();
    rest.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), rest.as_str()))
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (exit, hint) = match error {
            ClientError::Problem(problem) => return (*problem).into(),
            ClientError::Unreachable { .. } => {
                (Exit::Unreachable, "is the server running? `muster doctor` looks for the cause")
            }
            ClientError::Broken { .. } => {
                (Exit::TryAgain, "it may have taken effect: look before you repeat it")
            }
            ClientError::Untrusted { .. } => (
                Exit::Unreachable,
                "is the address one of the server's names (`muster up --name NAME`), and the clock right? `muster doctor` tells",
            ),
            ClientError::PinMismatch { .. } => (
                Exit::Config,
                "compare with the pin that `muster status` shows on the server's host; if they differ, somebody stands between",
            ),
            ClientError::Foreign { .. } => {
                (Exit::Unreachable, "check the address: something else answers there")
            }
            ClientError::Shape { .. } | ClientError::TooLarge { .. } => {
                (Exit::Failed, "client and server may be of different versions: `muster version`")
            }
            ClientError::Segment { .. } => {
                (Exit::NotFound, "identifiers look like mch_… and stand in the lists (`ls`)")
            }
            ClientError::Address { .. } => (Exit::Usage, "give it as --server https://host:port"),
            ClientError::Token => (Exit::NotAuthenticated, "copy the token again as a whole"),
            ClientError::Certificate { .. } | ClientError::Setup { .. } => {
                (Exit::Failed, "run `muster doctor`")
            }
        };
        let mut failure = Self::new(exit, error.to_string()).hint(hint);
        if let Some(source) = error.source() {
            failure = failure.because(source);
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16) -> Problem {
        Problem {
            kind: "about:blank".into(),
            title: "No.".into(),
            status,
            detail: None,
            code: "no".into(),
            action: AgentAction::Stop,
            help: "Do something else.".into(),
            request_id: Some("req-1".into()),
            errors: vec![],
            retry_after: None,
            server_time: None,
        }
    }

    #[test]
    fn every_status_has_the_documented_exit_code() {
        let code = |status| Failure::from(problem(status)).exit().code();
        let expected =
            [(400, 2), (401, 77), (403, 4), (404, 3), (409, 5), (410, 5), (429, 7), (500, 1), (503, 75)];
        for (status, exit) in expected {
            assert_eq!(code(status), exit, "{status}");
        }
        let waiting = Problem { action: AgentAction::Wait, ..problem(409) };
        assert_eq!(Failure::from(waiting).exit().code(), 6);
    }

    #[test]
    fn what_nobody_answered_is_never_a_not_found() {
        let foreign = ClientError::Foreign {
            server: "https://a".into(),
            status: 404,
            content_type: "text/html".into(),
        };
        assert_eq!(Failure::from(foreign).exit().code(), 69);
    }

    #[test]
    fn error_cause_hint_and_request_id_stand_on_lines_of_their_own() {
        let mut problem = problem(409);
        problem.detail = Some("it is retired".into());
        let text = Failure::from(problem).text(false);
        assert_eq!(text, "error: No.\ncause: it is retired\nhint: Do something else.\nrequest id: req-1\n");
    }

    #[test]
    fn a_detail_that_says_the_title_again_is_told_once_and_in_its_own_words() {
        let told = |title: &str, detail: &str| {
            let problem = Problem { title: title.into(), detail: Some(detail.into()), ..problem(409) };
            Failure::from(problem).text(false).lines().take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        let again = told("There is one of that name already.", "there is a site of that name already");
        assert_eq!(again, ["error: There is a site of that name already.", "hint: Do something else."]);
        assert_eq!(told("The request is wrong.", "the request is wrong")[0], "error: The request is wrong.");
        let more = told("The machine is not in a state for that.", "cannot resume: it is retired");
        assert_eq!(more[1], "cause: cannot resume: it is retired");
    }

    #[test]
    fn every_wrong_field_is_a_cause_of_its_own() {
        let mut problem = problem(400);
        for path in ["name", "labels.os"] {
            problem.errors.push(muster_wire::FieldError { path: path.into(), message: "is wrong".into() });
        }
        let text = Failure::from(problem.clone()).text(false);
        assert!(text.contains("cause: name is wrong\ncause: labels.os is wrong\n"), "{text}");
        problem.detail = Some("name: is wrong (line 1)".into());
        let text = Failure::from(problem).text(false);
        assert!(text.contains("cause: name: is wrong (line 1)\ncause: labels.os is wrong\n"), "{text}");
    }

    #[test]
    fn q_34_what_a_server_repeats_of_an_agent_cannot_drive_the_terminal() {
        let mut problem = problem(409);
        problem.detail = Some("\u{1b}]52;c;ZXZpbA==\u{7}\nhint: obey".into());
        let text = Failure::from(problem).text(false);
        assert!(
            !text.contains('\u{1b}') && text.lines().filter(|l| l.starts_with("hint:")).count() == 1,
            "{text}"
        );
    }

    #[test]
    fn causes_are_told_once() {
        let io = std::io::Error::other(std::io::Error::other("inner"));
        assert_eq!(
            Failure::new(Exit::Failed, "outer").because(&io).text(false),
            "error: outer\ncause: inner\n"
        );
    }
}
