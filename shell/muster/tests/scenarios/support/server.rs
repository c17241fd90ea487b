//! A server of the real binary in a directory of its own, and the command line that manages it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;

use muster_testkit::free_address;
use muster_wire::invite::Invite;
use rustix::process::Signal;
use serde_json::Value;

use super::process::{Program, muster};
use super::{Home, Http, SOON};

/// A server.
pub(crate) struct Server {
    /// First of all: it ends before its directory goes.
    program: Program,
    home: Home,
    dir: PathBuf,
    /// The verb, and what it is told.
    args: Vec<String>,
    /// What it told once it was ready.
    pub(crate) ready: Value,
}

/// The JSON that a command printed.
pub(crate) fn json(output: &Output) -> Value {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out:?}, and on stderr: {err}"))
}

impl Server {
    /// `muster up` with further arguments. Hardware counts for nothing unless they say otherwise.
    pub(crate) fn up(args: &[&str]) -> Self {
        Self::configured("", args)
    }

    /// `muster up` with a configuration file of this text.
    pub(crate) fn configured(config: &str, args: &[&str]) -> Self {
        let home = Home::new();
        let dir = home.path().join("server");
        Self::at(home, dir, config, args)
    }

    /// `muster up` in a directory that is there already.
    pub(crate) fn at(home: Home, dir: PathBuf, config: &str, args: &[&str]) -> Self {
        home.write("muster.toml", config);
        let mut args: Vec<String> =
            std::iter::once("up").chain(args.iter().copied()).map(ToOwned::to_owned).collect();
        if !args.iter().any(|arg| arg == "--hardware-id") {
            args.extend(["--hardware-id".into(), "none".into()]);
        }
        let (program, ready) = start(home.path(), &dir, &free_address().to_string(), &args);
        Self { program, home, dir, args, ready }
    }

    /// `muster serve` in a directory that is there already: a server that is no machine of its fleet.
    pub(crate) fn serve(home: Home, dir: PathBuf, config: &str) -> Self {
        home.write("muster.toml", config);
        let args = vec!["serve".to_owned()];
        let (program, ready) = start(home.path(), &dir, &free_address().to_string(), &args);
        Self { program, home, dir, args, ready }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The directory that is left when it has ended.
    pub(crate) fn into_home(self) -> Home {
        self.home
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn told(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap_or_else(|| panic!("{key} in {}", self.ready))
    }

    pub(crate) fn url(&self) -> &str {
        self.told("url")
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.url().strip_prefix("https://").expect("an https address")
    }

    /// Where this process listens, which is not where people reach it when there is a balancer before it.
    pub(crate) fn listens(&self) -> SocketAddr {
        let noted = std::fs::read_to_string(self.dir.join("listen")).expect("a server notes its address");
        noted.trim().parse().expect("an address")
    }

    /// This machine, as the server's own agent enrolled it.
    pub(crate) fn machine(&self) -> &str {
        self.told("machine")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }

    pub(crate) fn log(&self) -> String {
        self.program.log()
    }

    /// Whoever is on the other end trusts this deployment and shows nothing.
    pub(crate) fn http(&self) -> Http {
        Http::trusting(self.address(), &self.dir)
    }

    /// Runs a command that manages this server.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let mut command = muster(self.home.path());
        command.arg("--data-dir").arg(&self.dir).args(args).output().expect("the binary runs")
    }

    /// A command that must succeed, and its result.
    pub(crate) fn muster(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--output", "json"]].concat());
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "muster {args:?} ended with {}: {complaint}", output.status);
        json(&output)
    }

    /// A command that must fail: its exit code and what it said.
    pub(crate) fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        assert!(!output.status.success(), "muster {args:?} succeeded");
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The items of a list.
    pub(crate) fn list(&self, args: &[&str]) -> Vec<Value> {
        let mut page = self.muster(args);
        assert!(page["next"].is_null(), "all of it: {page}");
        serde_json::from_value(page["items"].take()).expect("a list has items")
    }

    pub(crate) fn show(&self, machine: &str) -> Value {
        self.muster(&["machine", "show", machine])
    }

    /// A one-time invite.
    pub(crate) fn invite(&self) -> String {
        text(&self.muster(&["invite", "create"])["invite"])
    }

    /// A one-time token.
    pub(crate) fn token(&self) -> String {
        text(&self.muster(&["grant", "create"])["token"])
    }

    /// Every entry of the audit log, the oldest first.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let mut entries = self.list(&["audit", "ls", "--limit", "100000"]);
        entries.reverse();
        entries
    }

    /// Asks it to stop; its exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        self.program.end(Signal::TERM).0
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    pub(crate) fn end(&mut self, signal: Signal) -> (i32, std::time::Duration) {
        self.program.end(signal)
    }

    /// Starts it again in the same directory, at the same address.
    pub(crate) fn start(&mut self) {
        let address = self.address().to_owned();
        (self.program, self.ready) = start(self.home.path(), &self.dir, &address, &self.args);
    }

    /// A start that must not succeed: the exit code and what was said.
    pub(crate) fn refuses_to_start(&self, listen: &str) -> (i32, String) {
        let mut command = muster(self.home.path());
        command.args(["up", "--listen", listen, "--hardware-id", "none", "--output", "json", "--data-dir"]);
        let mut program = Program::start("the server", command.arg(&self.dir));
        if let Some(line) = program.line(SOON) {
            panic!("it started: {line}");
        }
        (program.exit_code(), program.log())
    }

    /// Starts it again in the same directory, at another address.
    pub(crate) fn start_anywhere(&mut self) {
        (self.program, self.ready) =
            start(self.home.path(), &self.dir, &free_address().to_string(), &self.args);
    }
}

/// Starts a server and waits for the one line that says it is ready.
fn start(home: &Path, dir: &Path, listen: &str, args: &[String]) -> (Program, Value) {
    let mut command = muster(home);
    command.args(args).args(["--listen", listen, "--output", "json", "--data-dir"]).arg(dir);
    let program = Program::start("the server", &mut command);
    let line = program.line(SOON).unwrap_or_else(|| panic!("the server is not ready: {}", program.log()));
    let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    (program, ready)
}

/// The text of a JSON string.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// The token inside an invite.
pub(crate) fn token_in(invite: &str) -> String {
    invite.parse::<Invite>().expect("an invite").token.reveal()
}
