//! One server for all tests of a run, each of which is a process: the first one that needs it starts it, the others find
//! it, and a watcher ends it.
//!
//! Whoever uses it holds a lock on a file, which the system takes back however the process ends. The watcher ends the
//! server when nobody has held the lock for a while, or at once when the run itself is over.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::programs::programs;
use super::server::{END, Files, url};
use super::{missing, wire};

/// Waits until nobody holds the lock for half a minute, or for a moment once the run is over; then takes it, so that
/// whoever comes now waits and finds nothing, and ends the server.
const WATCH: &str = r#"eval "$3"
idle=0
while [ $idle -lt 60 ]; do
    sleep 0.5
    if flock -n -x "$1/users" true; then idle=$((idle + 1)); else idle=0; fi
    if [ $idle -gt 1 ] && ! kill -0 "$2" 2>/dev/null; then break; fi
done
exec 9>>"$1/users"
flock -x 9
end "$1/server"
rm -rf "$1""#;

/// The server that all tests of this run share.
#[derive(Debug)]
pub struct Shared {
    directory: PathBuf,
    port: u16,
    /// Held for as long as this process lives.
    _user: File,
}

/// A database of one test, gone when it is dropped.
#[derive(Debug)]
pub struct Database {
    port: u16,
    name: String,
}

/// The run's server; `None` where PostgreSQL is missing, which was said then.
///
/// # Panics
/// Where it does not start, or `MUSTER_TEST_REQUIRE` asks for what is missing.
pub fn shared() -> Option<&'static Shared> {
    static SHARED: OnceLock<Option<Shared>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| programs().map(|programs| Shared::join(&programs)));
    if shared.is_none() {
        missing();
    }
    shared.as_ref()
}

impl Shared {
    fn join(programs: &Path) -> Self {
        // The runner gives each run a name; without one, the tests of a run have their parent in common.
        let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| parent_id().to_string());
        let directory = std::env::temp_dir().join(format!("muster-test-pg-{run}"));
        let user = use_of(&directory);
        let starting = File::create(directory.join("starting")).expect("it is ours");
        starting.lock().expect("a lock");
        let noted = directory.join("port");
        let port = match fs::read_to_string(&noted) {
            Ok(port) => port.parse().expect("a port was noted"),
            Err(_) => {
                let port = begin(&directory, programs.to_owned());
                fs::write(&noted, port.to_string()).expect("it is ours");
                port
            }
        };
        Self { directory, port, _user: user }
    }

    /// A database like this template, which is filled where it is not there yet.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn database(&self, template: &str, fill: impl AsyncFnOnce(String)) -> Database {
        self.template(template, fill).await;
        self.create(&format!(" TEMPLATE {template}"))
    }

    /// An empty database.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn empty_database(&self) -> Database {
        self.create("")
    }

    async fn template(&self, name: &str, fill: impl AsyncFnOnce(String)) {
        let lock = File::create(self.directory.join(format!("template-{name}"))).expect("it is ours");
        lock.lock().expect("a lock");
        let done = self.directory.join(format!("template-{name}-done"));
        if !done.exists() {
            self.run("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
            self.run("postgres", &format!("CREATE DATABASE {name}"));
            fill(url(self.port, name)).await;
            fs::write(done, "").expect("it is ours");
        }
    }

    fn create(&self, how: &str) -> Database {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("t_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.run("postgres", &format!("CREATE DATABASE {name}{how}"));
        Database { port: self.port, name }
    }

    fn run(&self, database: &str, sql: &str) {
        wire::query(self.port, database, sql).expect("the server does it");
    }
}

impl Database {
    /// How it is reached.
    pub fn url(&self) -> String {
        url(self.port, &self.name)
    }

    /// The port of its server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements and gives their rows as text.
    ///
    /// # Panics
    /// Where they fail.
    pub fn run_sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        wire::query(self.port, &self.name, sql).expect("the server does it")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // What stays ends with the server.
        wire::query(self.port, "postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name))
            .ok();
    }
}

/// Takes the lock that says that the server is in use. The watcher may have removed the directory meanwhile.
fn use_of(directory: &Path) -> File {
    let path = directory.join("users");
    loop {
        fs::create_dir_all(directory).expect("a temporary directory");
        let Ok(file) = File::options().create(true).append(true).open(&path) else { continue };
        file.lock_shared().expect("a lock");
        let same = |there: fs::Metadata| file.metadata().is_ok_and(|held| held.ino() == there.ino());
        if fs::metadata(&path).is_ok_and(same) {
            return file;
        }
    }
}

#[expect(clippy::zombie_processes, reason = "the watcher outlives this process")]
fn begin(directory: &Path, programs: PathBuf) -> u16 {
    let place = directory.join("server");
    // What is there was left by a start that failed.
    fs::remove_dir_all(&place).ok();
    fs::create_dir(&place).expect("it is ours");
    fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    let mut watch = Command::new("/bin/sh");
    watch.args(["-c", WATCH, "watch"]).arg(directory).arg(parent_id().to_string()).arg(END);
    watch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut watch, 0);
    watch.spawn().expect("a shell");
    let files = Files::new(&place, programs);
    files.make();
    files.start();
    files.port
}
