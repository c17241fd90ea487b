//! Whole runs of the agent against a stub server in this process: in-memory streams, real TLS, paused time.

mod damaged;
mod enrolling;
mod keeping;
mod ring;
mod rotating;
mod serving;
mod stub;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_model::{Secret, SecretKind};
use muster_wire::invite::{CaPin, Invite};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::enroll::enroll_on;
use crate::run::{EnrollOptions, Joining, RunOptions, Way, run_on};
use crate::{AgentError, HardwareMode, Identity, Progress};
use stub::Stub;

/// A machine: a directory, and what was told about it.
struct Machine {
    temp: tempfile::TempDir,
    told: Arc<Mutex<Vec<Progress>>>,
}

/// An agent that runs.
struct Resident {
    stop: watch::Sender<bool>,
    handle: JoinHandle<Result<(), AgentError>>,
}

impl Machine {
    fn new() -> Self {
        Self { temp: tempfile::tempdir().expect("a directory"), told: Arc::default() }
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().join("agent")
    }

    fn hooks_dir(&self) -> PathBuf {
        self.temp.path().join("hooks")
    }

    fn told(&self) -> Vec<Progress> {
        self.told.lock().expect("no test panicked with it").clone()
    }

    fn observer(&self) -> crate::progress::Observer {
        let told = Arc::clone(&self.told);
        Box::new(move |progress| told.lock().expect("no test panicked with it").push(progress))
    }

    fn options(&self, way: Way, wait: bool) -> EnrollOptions {
        EnrollOptions { dir: self.dir(), hooks_dir: None, joining: joining(way), reset: false, wait }
    }

    async fn enroll(&self, stub: &Stub, way: Way, wait: bool) -> Result<Identity, AgentError> {
        enroll_on(stub.ports(), self.options(way, wait), self.observer()).await
    }

    /// Enrolls by a token, without trouble.
    async fn enrolled(&self, stub: &Stub) -> Identity {
        self.enroll(stub, invite(stub.pin()), true).await.expect("enrolled")
    }

    fn run(&self, stub: &Stub, joining: Option<Joining>) -> Resident {
        self.run_rotating(stub, joining, crate::ROTATE_AFTER)
    }

    fn run_rotating(&self, stub: &Stub, joining: Option<Joining>, after: Duration) -> Resident {
        let options = RunOptions {
            dir: self.dir(),
            hooks_dir: Some(self.hooks_dir()),
            joining,
            reset: false,
            rotate_after: Some(after),
        };
        let (stop, shutdown) = watch::channel(false);
        let handle = tokio::spawn(run_on(stub.ports(), options, shutdown, self.observer()));
        Resident { stop, handle }
    }

    /// Every file of the identity with its content.
    fn identity_files(&self) -> Vec<(String, String)> {
        ["identity.json", "key-a.pem", "certificate-a.pem"]
            .map(|name| (name.to_owned(), std::fs::read_to_string(self.dir().join(name)).expect("there")))
            .to_vec()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir()).expect("a directory");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Resident {
    async fn stop(self) {
        self.stop.send(true).expect("it runs");
        self.handle.await.expect("no panic").expect("a clean stop");
    }

    async fn end(self) -> AgentError {
        self.handle.await.expect("no panic").expect_err("it ended")
    }
}

fn joining(way: Way) -> Joining {
    Joining { hardware: HardwareMode::None, ..Joining::new(way) }
}

const TOKEN: [u8; 32] = [2; 32];

fn invite(pin: CaPin) -> Way {
    let token = Secret::new(SecretKind::Enroll, [1; 10], TOKEN);
    Way::Invite(Invite { url: "https://muster.test:8443".into(), pin, token })
}

fn request(pin: CaPin) -> Way {
    Way::Request { url: "https://muster.test:8443".into(), pin, site: Some("main".into()) }
}

/// Waits until something is so. In paused time, time goes on only while nobody has anything to do.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    let wait = async {
        while !is_so() {
            tick.tick().await;
        }
    };
    // Two days of paused time; what runs in real time has its own limit.
    let limit = Duration::from_secs(2 * 24 * 3600);
    assert!(tokio::time::timeout(limit, wait).await.is_ok(), "it never came: {what}");
}

/// Lets paused time go on.
async fn pass(span: Duration) {
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + span, span);
    tick.tick().await;
}
