//! One PostgreSQL: made, started, stopped, killed, copied as a standby, promoted.

use std::fs;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::programs::{User, programs};
use super::{missing, wire};
use crate::free_address;

/// What every server runs with. Commits are durable, as they must be where a test kills the server.
const OPTIONS: [&str; 9] = [
    "listen_addresses=127.0.0.1",
    "max_connections=200",
    "shared_buffers=64MB",
    "fsync=on",
    "wal_level=replica",
    "max_wal_senders=4",
    "log_min_messages=warning",
    "max_wal_size=1GB",
    "autovacuum_naptime=5s",
];

/// Waits for its input to end, which it does with the test's process however that dies; then ends the server.
const WATCH: &str = r#"eval "$2"
cat >/dev/null
end "$1"
rm -rf "$1""#;

/// Waits for processes to be gone, or to be no more than a number that nobody has asked after.
const GONE: &str = r#"for pid; do
    while [ -e "/proc/$pid" ] && ! grep -q "^State:.Z" "/proc/$pid/status"; do sleep 0.05; done
done"#;

/// Ends the server of a directory and waits for it. A number that another process has meanwhile is left alone.
pub(super) const END: &str = r#"runs() { tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -qF "$2/data"; }
end() {
    pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
    while [ -n "$pid" ] && runs "$pid" "$1"; do kill -QUIT "$pid" 2>/dev/null; sleep 0.1; done
}"#;

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// In good order; connections are cut.
    Fast,
    /// As by a crash: the next start recovers.
    Immediate,
}

/// A server of one test. Ends with it.
#[derive(Debug)]
pub struct Server {
    files: Files,
    watcher: Child,
    _directory: TempDir,
}

impl Server {
    /// Makes and starts a server; `None` where PostgreSQL is missing, which was said then.
    ///
    /// # Panics
    /// Where it does not start, or `MUSTER_TEST_REQUIRE` asks for what is missing.
    pub fn start() -> Option<Self> {
        Self::start_in(&std::env::temp_dir(), &[])
    }

    /// The same with its files in another directory, and with settings, `name=value`, that win over the usual ones.
    ///
    /// # Panics
    /// As [`Server::start`].
    pub fn start_in(parent: &Path, settings: &[&str]) -> Option<Self> {
        let Some(programs) = programs() else {
            missing();
            return None;
        };
        let directory =
            tempfile::Builder::new().prefix("muster-pg-").tempdir_in(parent).expect("a directory");
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let files = Files { settings, ..Files::new(directory.path(), programs) };
        files.make();
        Some(Self::run(files, directory))
    }

    fn run(files: Files, directory: TempDir) -> Self {
        let mut watch = Command::new("/bin/sh");
        watch.args(["-c", WATCH, "watch"]).arg(&files.directory).arg(END);
        watch.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut watch, 0);
        let watcher = watch.spawn().expect("a shell");
        files.start();
        Self { files, watcher, _directory: directory }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.files.port
    }

    /// Its first process.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn pid(&self) -> u32 {
        self.files.pid().expect("it runs").as_raw_nonzero().get().unsigned_abs()
    }

    /// The URL of a database of it.
    pub fn url(&self, database: &str) -> String {
        url(self.files.port, database)
    }

    /// Makes a database and gives its URL.
    ///
    /// # Panics
    /// Where that fails.
    pub fn create_database(&self, name: &str) -> String {
        self.run_sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(name)
    }

    /// Runs statements and gives their rows as text.
    ///
    /// # Panics
    /// Where they fail.
    pub fn run_sql(&self, database: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        wire::query(self.files.port, database, sql).expect("the server does it")
    }

    /// Stops it.
    ///
    /// # Panics
    /// Where it does not stop.
    pub fn stop(&self, how: Stop) {
        self.files.control(&["stop", "-w", "-m", how.word()]);
    }

    /// Starts it again.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start_again(&self) {
        self.files.start();
    }

    /// Stops and starts it.
    ///
    /// # Panics
    /// Where either fails.
    pub fn restart(&self, how: Stop) {
        self.stop(how);
        self.start_again();
    }

    /// Kills it with -9, all of its processes.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill_9(&self) {
        let family = self.files.family();
        assert!(!family.is_empty(), "it runs");
        for pid in &family {
            // A child may have ended meanwhile.
            kill_process(*pid, Signal::KILL).ok();
        }
        let mut wait = Command::new("/bin/sh");
        wait.args(["-c", GONE, "gone"]).args(family.iter().map(|pid| pid.as_raw_nonzero().to_string()));
        assert!(wait.status().expect("a shell").success(), "they are gone");
        // Its number may stay taken for as long as nobody asks what became of it.
        let socket = self.files.directory.join("socket");
        let locks = fs::read_dir(socket).expect("it is there").map(|entry| entry.expect("an entry").path());
        for lock in locks.chain([self.files.data().join("postmaster.pid")]) {
            fs::remove_file(lock).expect("it was running");
        }
    }

    /// Stands still, or goes on: answers nobody, and closes nothing.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn pause(&self, still: bool) {
        let signal = if still { Signal::STOP } else { Signal::CONT };
        for pid in self.files.family() {
            // One of its processes may have ended meanwhile.
            kill_process(pid, signal).ok();
        }
    }

    /// A standby that follows this server. Where it is synchronous, a commit waits for it.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn standby(&self, synchronous: bool) -> Self {
        let directory = tempfile::Builder::new().prefix("muster-pg-").tempdir().expect("a directory");
        let files = Files::new(directory.path(), self.files.programs.clone());
        let from = format!("host=127.0.0.1 port={} user=postgres application_name=standby", self.files.port);
        let mut backup = files.user.command(&files.programs.join("pg_basebackup"));
        backup.args(["-R", "-X", "stream", "-c", "fast", "-d", &from, "-D"]).arg(files.data());
        assert!(backup.status().expect("it runs").success(), "pg_basebackup");
        let standby = Self::run(files, directory);
        if synchronous {
            self.run_sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
            self.run_sql("postgres", "SELECT pg_reload_conf()");
        }
        standby
    }

    /// Speaks TLS from now on, with this certificate and key.
    ///
    /// # Panics
    /// Where it does not take them.
    pub fn use_tls(&self, certificate: &str, key: &str) {
        for (name, pem) in [("server.crt", certificate), ("server.key", key)] {
            let path = self.files.data().join(name);
            fs::write(&path, pem).expect("it is ours");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
            self.files.user.own(&path);
        }
        self.run_sql("postgres", "ALTER SYSTEM SET ssl = on");
        self.restart(Stop::Fast);
    }

    /// Makes a standby the primary.
    ///
    /// # Panics
    /// Where it is none.
    pub fn promote(&self) {
        self.files.control(&["promote", "-w"]);
    }

    /// What the server wrote into its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.files.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The watcher does the work, and is done before the directory goes.
        drop(self.watcher.stdin.take());
        self.pause(false);
        self.watcher.wait().ok();
    }
}

impl Stop {
    fn word(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Immediate => "immediate",
        }
    }
}

/// The URL of a database on this host.
pub(super) fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}?sslmode=disable")
}

/// A server by its files.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) directory: PathBuf,
    pub(super) port: u16,
    programs: PathBuf,
    user: User,
    /// What is set beyond [`OPTIONS`].
    settings: Vec<String>,
}

impl Files {
    /// A place for a server, and a port that is free now.
    pub(super) fn new(directory: &Path, programs: PathBuf) -> Self {
        let user = User::fit();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("it is ours");
        for part in ["data", "socket"] {
            fs::create_dir(directory.join(part)).expect("it is ours");
            user.own(&directory.join(part));
        }
        fs::set_permissions(directory.join("data"), fs::Permissions::from_mode(0o700)).expect("it is ours");
        fs::write(directory.join("log"), "").expect("it is ours");
        user.own(&directory.join("log"));
        let port = free_address().port();
        Self { directory: directory.to_owned(), port, programs, user, settings: Vec::new() }
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(super) fn make(&self) {
        let mut initdb = self.user.command(&self.programs.join("initdb"));
        initdb.args(["-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-locale", "--no-sync", "-D"]);
        let made = initdb.arg(self.data()).status().expect("it runs");
        assert!(made.success(), "initdb");
    }

    pub(super) fn start(&self) {
        let mut options = format!("-p {} -k {}", self.port, self.directory.join("socket").display());
        for option in OPTIONS.into_iter().chain(self.settings.iter().map(String::as_str)) {
            options.extend([" -c ", option]);
        }
        let log = self.directory.join("log");
        let log = log.to_str().expect("temporary directories have plain names");
        self.control(&["start", "-w", "-t", "60", "-l", log, "-o", &options]);
    }

    fn control(&self, words: &[&str]) {
        let mut control = self.user.command(&self.programs.join("pg_ctl"));
        let done = control.args(words).arg("-D").arg(self.data()).status().expect("it runs");
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        assert!(done.success(), "pg_ctl {}: {log}", words[0]);
    }

    fn pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        Pid::from_raw(text.lines().next()?.parse().ok()?)
    }

    /// The first process and its children.
    fn family(&self) -> Vec<Pid> {
        let Some(first) = self.pid() else { return Vec::new() };
        let path = format!("/proc/{0}/task/{0}/children", first.as_raw_nonzero());
        let children = fs::read_to_string(path).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        std::iter::once(first).chain(children).collect()
    }
}
