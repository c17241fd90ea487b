//! strace, where it is installed: sees every system call of a program, and lets one of them fail or be the last.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::Program;
use super::{SOON, eventually, skipped};

/// Where it is. Nothing where it is missing or may not trace, which is said loudly; `MUSTER_TEST_REQUIRE=strace` makes
/// that a failure.
pub(crate) fn strace() -> Option<PathBuf> {
    let named = std::env::var_os("MUSTER_TEST_STRACE").filter(|place| !place.is_empty());
    let program = PathBuf::from(named.unwrap_or_else(|| OsString::from("strace")));
    let traces = Command::new(&program).args(["-f", "-o", "/dev/null", "true"]).output();
    if traces.is_ok_and(|output| output.status.success()) {
        return Some(program);
    }
    let required = std::env::var("MUSTER_TEST_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|word| word.trim() == "strace"),
        "strace is required and does not trace"
    );
    skipped("strace is not installed or may not trace here: no agent is killed at its system calls");
    None
}

/// A system call of a program: its name, and the how manieth of that name it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) nth: u32,
}

/// What is done to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// The program is killed as it enters it.
    Kill,
    /// It fails with this error, and nothing is done.
    Error(&'static str),
    /// It does nothing and says so: no byte was written.
    Nothing,
}

/// A call that was seen, and whether it was about a certain directory.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) call: Call,
    pub(crate) is_inside: bool,
}

impl Blow {
    /// What the system says of it.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Kill => "",
            Self::Error("EIO") => "Input/output error",
            Self::Error("ENOSPC") => "No space left on device",
            Self::Error("EROFS") => "Read-only file system",
            Self::Error("EACCES") => "Permission denied",
            Self::Error(other) => other,
            Self::Nothing => "failed to write whole buffer",
        }
    }

    /// As strace is told.
    fn injection(self, call: &Call) -> String {
        let what = match self {
            Self::Kill => "signal=KILL".to_owned(),
            Self::Error(errno) => format!("error={errno}"),
            Self::Nothing => "retval=0".to_owned(),
        };
        format!("inject={}:{what}:when={}", call.name, call.nth)
    }
}

/// The same command with every system call written down.
pub(crate) fn traced(strace: &Path, command: &Command, log: &Path) -> Command {
    around(strace, command, log, &[])
}

/// The same command with a blow at one call.
pub(crate) fn struck(strace: &Path, command: &Command, log: &Path, call: &Call, blow: Blow) -> Command {
    let only = format!("trace={}", call.name);
    // Without `--seccomp-bpf`, which is faster and under which nobody is killed.
    around(strace, command, log, &["-e", &only, "-e", &blow.injection(call)])
}

fn around(strace: &Path, command: &Command, log: &Path, options: &[&str]) -> Command {
    let mut outer = Command::new(strace);
    outer.args(["-f", "-y", "-q", "-s", "0", "-o"]).arg(log).args(options);
    outer.arg(command.get_program()).args(command.get_args()).env_clear();
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer
}

/// Follows the first thread of a program that runs, from now on, with a blow at one call or none. An agent has its files
/// and its connections there.
pub(crate) fn attached(strace: &Path, pid: u32, log: &Path, blow: Option<(&Call, Blow)>) -> Program {
    let mut command = Command::new(strace);
    command.args(["-y", "-s", "0", "-o"]).arg(log).args(["-p", &pid.to_string()]);
    if let Some((call, blow)) = blow {
        command.args(["-e", &format!("trace={}", call.name), "-e", &blow.injection(call)]);
    }
    following(&mut command)
}

/// The same command, followed by a strace that is not its parent: the process that starts is the program itself.
pub(crate) fn started(strace: &Path, command: &Command, log: &Path, blow: Option<(&Call, Blow)>) -> Command {
    let Some((call, blow)) = blow else { return around(strace, command, log, &["-D"]) };
    let only = format!("trace={}", call.name);
    around(strace, command, log, &["-D", "-e", &only, "-e", &blow.injection(call)])
}

/// Follows the first thread of a program that runs, and has it wait for a while at each call of this name.
pub(crate) fn slowed(strace: &Path, pid: u32, log: &Path, call: &str) -> Program {
    let mut command = Command::new(strace);
    command.args(["-s", "0", "-o"]).arg(log).args(["-p", &pid.to_string(), "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:delay_enter=200000")]);
    following(&mut command)
}

fn following(command: &mut Command) -> Program {
    let program = Program::start("strace", command);
    eventually("strace follows", SOON, || program.log().contains("attached").then_some(()));
    program
}

/// Every call in a log, in order, each once.
pub(crate) fn seen(log: &Path, inside: &Path) -> Vec<Seen> {
    let inside = inside.to_str().expect("temporary directories have plain names");
    let mut counts = BTreeMap::<(String, String), u32>::new();
    let mut found: Vec<Seen> = Vec::new();
    for line in fs::read_to_string(log).expect("strace has written it").lines() {
        // Where one thread alone is followed, its number is left out.
        let (pid, rest) = match line.split_once(' ') {
            Some((pid, rest)) if pid.bytes().all(|b| b.is_ascii_digit()) => (pid, rest),
            _ => ("", line),
        };
        let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            continue;
        }
        let nth = counts.entry((pid.to_owned(), name.to_owned())).or_default();
        *nth += 1;
        let call = Call { name: name.to_owned(), nth: *nth };
        let is_inside = line.contains(inside);
        match found.iter_mut().find(|seen| seen.call == call) {
            Some(known) => known.is_inside |= is_inside,
            None => found.push(Seen { call, is_inside }),
        }
    }
    found
}

/// The call in a log that the blow was at; nothing where none was struck.
pub(crate) fn hit(log: &Path) -> Option<String> {
    let log = fs::read_to_string(log).unwrap_or_default();
    let line = log.lines().find(|line| line.contains("INJECTED") || line.contains("killed by SIGKILL"))?;
    Some(line.to_owned())
}
