//! Another machine: a directory of its own, and the agent that lives there.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::process::{Program, muster};
use super::{SOON, Stopwatch, json};

const HOOKS: [&str; 5] = ["on_enrolled", "on_renewed", "on_suspended", "on_resumed", "on_retired"];

/// A temporary home directory.
pub(crate) struct Home(tempfile::TempDir);

/// A machine's agent, running or not.
pub(crate) struct Agent {
    home: Home,
    program: Option<Program>,
    /// What it told, in order.
    events: Vec<Value>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self(tempfile::tempdir().expect("a temporary directory"));
        home.write("muster.toml", "");
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect("our own directory");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our own file");
        path
    }
}

impl Agent {
    /// A machine that nobody has met yet. Its hooks note that they were called.
    pub(crate) fn new() -> Self {
        let home = Home::new();
        let hooks = home.path().join("hooks");
        fs::create_dir(&hooks).expect("our own directory");
        for hook in HOOKS {
            let script =
                "#!/bin/sh\necho \"$MUSTER_HOOK $MUSTER_MACHINE_ID $MUSTER_STATE\" >> \"${0%/*}/called\"\n";
            let path = home.write(&format!("hooks/{hook}"), script);
            fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("our own file");
        }
        Self { home, program: None, events: Vec::new() }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.home.path().join("agent")
    }

    /// Hooks that were called, in order, with the machine and the state they were told.
    pub(crate) fn called(&self) -> Vec<String> {
        let noted = fs::read_to_string(self.home.path().join("hooks/called")).unwrap_or_default();
        noted.lines().map(ToOwned::to_owned).collect()
    }

    /// `muster` on this machine.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = muster(self.home.path());
        command.arg("--data-dir").arg(self.dir()).args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary runs")
    }

    /// `muster enroll` with an invite, to its end.
    pub(crate) fn enroll(&self, invite: &str, args: &[&str]) -> Output {
        let file = self.home.write("invite", invite);
        let mut command = self.command(&["enroll", "--output", "json", "--invite-file"]);
        command.arg(file).arg("--hooks-dir").arg(self.home.path().join("hooks"));
        command.args(hardware_or_none(args)).output().expect("the binary runs")
    }

    /// Enrolls with an invite, and gives the machine's id.
    pub(crate) fn enrolled(invite: &str) -> Self {
        let agent = Self::new();
        let output = agent.enroll(invite, &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        agent
    }

    /// Starts `muster agent run`, with further arguments.
    pub(crate) fn start(&mut self, args: &[&str]) {
        self.program = Some(Program::start("an agent", &mut self.running(args)));
    }

    /// Starts `muster agent run` as another command has it run.
    pub(crate) fn start_under(&mut self, around: impl FnOnce(&Command) -> Command) {
        self.program = Some(Program::start("an agent", &mut around(&self.running(&[]))));
    }

    fn running(&self, args: &[&str]) -> Command {
        let mut command = self.command(&["agent", "run", "--output", "json", "--hooks-dir"]);
        command.arg(self.home.path().join("hooks")).args(args);
        command
    }

    /// Starts any command that stays.
    pub(crate) fn start_as(&mut self, args: &[&str]) {
        self.program = Some(Program::start("an agent", &mut self.command(args)));
    }

    /// Starts `muster agent run --invite-file`.
    pub(crate) fn start_with(&mut self, invite: &str, args: &[&str]) {
        let file = self.home.write("invite", invite).display().to_string();
        self.start(&[&["--invite-file", &file], hardware_or_none(args).as_slice()].concat());
    }

    /// An enrolled agent that is online.
    pub(crate) fn online(invite: &str) -> Self {
        let mut agent = Self::new();
        agent.start_with(invite, &[]);
        agent.event("online");
        agent
    }

    fn program(&mut self) -> &mut Program {
        self.program.as_mut().expect("it was started")
    }

    pub(crate) fn log(&mut self) -> String {
        self.program().log()
    }

    pub(crate) fn pid(&mut self) -> u32 {
        self.program().pid()
    }

    /// The next event of this name.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        self.event_within(name, SOON).unwrap_or_else(|| panic!("no {name} after {:?}", self.events))
    }

    /// The next event of this name, if it comes in time.
    pub(crate) fn event_within(&mut self, name: &str, limit: Duration) -> Option<Value> {
        let watch = Stopwatch::start();
        loop {
            let line = self.program().line(limit.saturating_sub(watch.elapsed()))?;
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            self.events.push(event.clone());
            if event["event"] == name {
                return Some(event);
            }
        }
    }

    /// What it told up to now, in order.
    pub(crate) fn events(&self) -> &[Value] {
        &self.events
    }

    /// Everything it told up to now, and its log.
    pub(crate) fn said(&mut self) -> String {
        let told: Vec<String> = self.events.iter().map(Value::to_string).collect();
        told.join("\n") + self.log().as_str()
    }

    /// The next standing it tells.
    pub(crate) fn standing(&mut self) -> String {
        self.event("standing")["state"].as_str().expect("a state").to_owned()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.program().is_running()
    }

    /// Waits for its end.
    pub(crate) fn exit_code(&mut self) -> i32 {
        self.program().exit_code()
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        self.program().signal(signal);
    }

    /// Asks it to stop.
    pub(crate) fn stop(&mut self) -> i32 {
        self.program().end(Signal::TERM).0
    }

    /// `muster agent status`.
    pub(crate) fn status(&self) -> Value {
        json(&self.run(&["agent", "status", "--output", "json"]))
    }

    /// The id of the machine it is.
    pub(crate) fn machine(&self) -> String {
        let status = self.status();
        status["machine"]["id"].as_str().unwrap_or_else(|| panic!("no machine: {status}")).to_owned()
    }

    /// The names of the files it keeps, without what is being written right now.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir()).expect("it has a directory");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("plain names");
        let mut names: Vec<String> = entries.map(|entry| name(entry.expect("readable"))).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }
}

/// Two agents on one host have one hardware: it counts for nothing unless a scenario is about it.
fn hardware_or_none<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut args = args.to_vec();
    if !args.contains(&"--hardware-id") {
        args.extend(["--hardware-id", "none"]);
    }
    args
}
