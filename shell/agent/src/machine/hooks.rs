//! Hooks: programs that the machine's owner puts in a directory under the names of [`Hook`].
//!
//! A hook has 30 s, gets what it needs in its environment (no secrets, but the paths of key and certificate), and
//! what it prints goes to the log, escaped. One that others than its owner could write is not run.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use muster_agent_core::Hook;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::AgentError;
use crate::error::shown;
use crate::store::Enrolled;

const TIME_LIMIT: Duration = Duration::from_secs(30);
const MAX_OUTPUT: u64 = 16 * 1024;

/// A hook to run.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) program: PathBuf,
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) acknowledge: Option<u64>,
}

/// Runs hooks one after the other, beside everything else.
pub(crate) struct Queue {
    jobs: Option<mpsc::UnboundedSender<Job>>,
    done: mpsc::UnboundedReceiver<Option<u64>>,
    worker: JoinHandle<()>,
}

/// The program of a hook, where there is one that may be run.
pub fn check(dir: &Path, hook: Hook) -> Result<Option<PathBuf>, AgentError> {
    let path = dir.join(hook.as_str());
    let found = match std::fs::metadata(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(AgentError::Unreadable { path, source }),
    };
    let own = rustix::process::geteuid().as_raw();
    let refused = |reason: &str, fix: &str| {
        let (reason, fix) = (reason.to_owned(), fix.to_owned());
        Err(AgentError::Permissions { path: path.clone(), reason, fix })
    };
    if !found.is_file() || found.mode() & 0o100 == 0 {
        return refused("is no executable file", "run `chmod 0700` on it, or take it away");
    }
    if found.mode() & 0o022 != 0 || ![0, own].contains(&found.uid()) {
        return refused("could be changed by others", "let root or the agent's user own it, with mode 0700");
    }
    Ok(Some(path))
}

/// What a hook may know.
pub(crate) fn environment(hook: Hook, enrolled: &Enrolled, dir: &Path) -> Vec<(&'static str, String)> {
    let identity = &enrolled.identity;
    let path = |name: &str| dir.join(name).display().to_string();
    vec![
        ("MUSTER_HOOK", hook.as_str().to_owned()),
        ("MUSTER_MACHINE_ID", identity.machine.id.clone()),
        ("MUSTER_MACHINE_NAME", identity.machine.name.clone()),
        ("MUSTER_TENANT", identity.machine.tenant.clone()),
        ("MUSTER_SITE", identity.machine.site.clone()),
        ("MUSTER_STATE", identity.standing.as_str().to_owned()),
        ("MUSTER_SERVER", identity.url.clone()),
        ("MUSTER_CERTIFICATE_FILE", path(identity.slot.certificate_file())),
        ("MUSTER_KEY_FILE", path(identity.slot.key_file())),
        ("MUSTER_CERTIFICATE_NOT_AFTER", identity.life.not_after.to_string()),
    ]
}

impl Queue {
    pub(crate) fn new() -> Self {
        let (jobs, mut next) = mpsc::unbounded_channel::<Job>();
        let (report, done) = mpsc::unbounded_channel();
        let worker = tokio::spawn(async move {
            while let Some(job) = next.recv().await {
                run(&job.program, &job.environment).await;
                if report.send(job.acknowledge).is_err() {
                    return;
                }
            }
        });
        Self { jobs: Some(jobs), done, worker }
    }

    pub(crate) fn push(&self, job: Job) {
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            tracing::warn!("a hook was dropped: the agent stops");
        }
    }

    /// The next order that a finished hook belongs to.
    pub(crate) async fn finished(&mut self) -> u64 {
        loop {
            match self.done.recv().await {
                Some(Some(id)) => return id,
                Some(None) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Waits for everything that was pushed; the orders they belong to come back.
    pub(crate) async fn drain(&mut self) -> Vec<u64> {
        self.jobs = None;
        let mut acknowledged = Vec::new();
        while let Some(id) = self.done.recv().await {
            acknowledged.extend(id);
        }
        acknowledged
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

async fn run(program: &Path, environment: &[(&'static str, String)]) {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", path)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that what the hook starts ends with it.
        .process_group(0)
        .kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return tracing::error!(hook = %program.display(), %error, "the hook cannot be started"),
    };
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let whole = async {
        let (stdout, stderr, status) = tokio::join!(text(stdout), text(stderr), child.wait());
        (stdout, stderr, status)
    };
    let outcome = tokio::time::timeout(TIME_LIMIT, whole).await;
    match outcome {
        Ok((stdout, stderr, status)) => report(program, &[stdout, stderr], status),
        Err(_) => {
            let killed = group.map(|group| kill_process_group(group, Signal::KILL));
            tracing::error!(hook = %program.display(), ?killed, "the hook took longer than 30 s and was ended");
        }
    }
}

async fn text(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut bytes = Vec::new();
    if let Err(error) = (&mut pipe).take(MAX_OUTPUT).read_to_end(&mut bytes).await {
        tracing::debug!(%error, "the hook's output cannot be read");
    }
    // The rest is read and dropped: a full pipe would block the hook.
    if let Err(error) = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await {
        tracing::debug!(%error, "the hook's output cannot be read");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn report(program: &Path, output: &[String], status: std::io::Result<ExitStatus>) {
    let hook = program.display();
    for line in output.iter().flat_map(|text| text.lines()).take(50) {
        tracing::info!(%hook, output = %shown(line), "the hook said");
    }
    match status {
        Ok(status) if status.success() => tracing::info!(%hook, "the hook is done"),
        Ok(status) => tracing::warn!(%hook, %status, "the hook failed"),
        Err(error) => tracing::warn!(%hook, %error, "the hook's end cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn hook(script: &str, mode: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("on_enrolled");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        dir
    }

    fn job(dir: &Path, acknowledge: Option<u64>) -> Job {
        let program = check(dir, Hook::Enrolled).expect("may be run").expect("there");
        Job { program, environment: vec![("MUSTER_MACHINE_ID", "mch_1".into())], acknowledge }
    }

    #[test]
    fn only_hooks_that_nobody_else_can_change_are_run() {
        assert!(check(hook("true", 0o700).path(), Hook::Enrolled).expect("fine").is_some());
        assert!(check(hook("true", 0o700).path(), Hook::Renewed).expect("fine").is_none());
        for mode in [0o600, 0o770, 0o702] {
            let error = check(hook("true", mode).path(), Hook::Enrolled).expect_err("not run");
            assert_eq!(error.exit_code(), 11);
        }
    }

    #[tokio::test]
    async fn hooks_run_in_order_with_a_clean_environment_and_are_acknowledged() {
        let dir = hook("env > \"$(dirname \"$0\")/seen\"", 0o700);
        let mut queue = Queue::new();
        queue.push(job(dir.path(), None));
        queue.push(job(dir.path(), Some(7)));
        assert_eq!(queue.drain().await, [7]);
        let seen = std::fs::read_to_string(dir.path().join("seen")).expect("it ran");
        assert!(seen.contains("MUSTER_MACHINE_ID=mch_1"), "{seen}");
        assert!(!seen.contains("CARGO"), "{seen}");
    }

    #[tokio::test]
    async fn a_failing_hook_is_acknowledged_too() {
        let dir = hook("exit 3", 0o700);
        let mut queue = Queue::new();
        queue.push(job(dir.path(), Some(1)));
        assert_eq!(queue.drain().await, [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_hangs_is_ended_after_its_time_with_what_it_started() {
        let dir = hook("sleep 1000 & wait", 0o700);
        let mut queue = Queue::new();
        let begun = tokio::time::Instant::now();
        queue.push(job(dir.path(), Some(1)));
        assert_eq!(queue.drain().await, [1]);
        assert!(begun.elapsed() >= TIME_LIMIT);
    }
}
