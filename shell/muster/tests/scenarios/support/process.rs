//! A process of the real binary: its lines as they come, its log, its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::{SOON, Stopwatch, eventually, within};

/// A process that ends with the test, whatever becomes of it.
pub(crate) struct Program {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Mutex<Receiver<String>>,
    log: Arc<Mutex<String>>,
    logging: JoinHandle<()>,
}

/// The binary under test, with nothing of this process's environment but the search path.
pub(crate) fn muster(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A configuration of this machine must not enter the tests.
    command.env_clear().env("PATH", path).env("HOME", home).env("MUSTER_CONFIG", home.join("muster.toml"));
    command
}

impl Program {
    pub(crate) fn start(name: impl Into<String>, command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("the binary starts");
        let lines = Mutex::new(lines_of(child.stdout.take().expect("piped")));
        let log = Arc::<Mutex<String>>::default();
        let logging = keep(child.stderr.take().expect("piped"), Arc::clone(&log));
        let stdin = child.stdin.take();
        Self { name: name.into(), child, stdin, lines, log, logging }
    }

    /// Hands something to its standard input, and closes that.
    pub(crate) fn tell(mut self, text: &str) -> Self {
        let mut stdin = self.stdin.take().expect("not told before");
        stdin.write_all(text.as_bytes()).expect("it listens");
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard output; nothing where the output is over or the time is.
    pub(crate) fn line(&self, limit: Duration) -> Option<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(limit).ok()
    }

    /// What it has written to standard error up to now.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process has a number");
        kill_process(pid, signal).expect("it runs");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    /// Waits for its end, and for the last of its log, and gives the exit code.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let (name, child) = (&self.name, &mut self.child);
        let ended = |child: &mut Child| -> Option<ExitStatus> { child.try_wait().expect("our own child") };
        let status = eventually(&format!("the end of {name}"), SOON, || ended(child));
        // What it started may still hold the pipe; then what there is has to do.
        within(Duration::from_secs(5), || self.logging.is_finished().then_some(()));
        status.code().unwrap_or(-1)
    }

    /// Asks it to end, and gives the exit code and how long it took.
    pub(crate) fn end(&mut self, signal: Signal) -> (i32, Duration) {
        let watch = Stopwatch::start();
        self.signal(signal);
        (self.exit_code(), watch.elapsed())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.is_running() {
            self.signal(Signal::TERM);
            within(Duration::from_secs(5), || (!self.is_running()).then_some(()));
            // It may have ended between the look and the blow.
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("--- {} wrote:\n{}---", self.name, self.log());
        }
    }
}

fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

fn keep(pipe: impl Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    })
}
