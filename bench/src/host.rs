//! The machine that a figure was measured on, and what this process takes of it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getpid, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Host {
    /// Processors that this process may use.
    pub(crate) cores: usize,
    /// The processor's name.
    pub(crate) processor: String,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// Operating system and its version.
    pub(crate) kernel: String,
}

impl Host {
    /// The machine this runs on.
    pub(crate) fn this() -> Self {
        let uname = rustix::system::uname();
        let kernel = format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
        Self {
            cores: cores(),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            memory_mib: field("/proc/meminfo", "MemTotal").and_then(|text| kib(&text)).unwrap_or(0) / 1024,
            kernel,
        }
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        let Self { cores, processor, memory_mib, kernel } = self;
        format!("{cores} cores, {processor}, {memory_mib} MiB, {kernel}")
    }
}

/// Processors that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Memory of this process that is resident, in bytes.
pub(crate) fn resident() -> Result<u64> {
    let path = format!("/proc/{}/status", getpid().as_raw_nonzero());
    let text = field(&path, "VmRSS").context("this system does not say how much memory a process takes")?;
    Ok(kib(&text).context("VmRSS is not a number of kB")? * 1024)
}

/// Processor time that this process took so far, client and server together.
pub(crate) fn busy() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// As many open files as the system allows. Gives how many that are.
pub(crate) fn open_files() -> Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("the limit of open files cannot be raised")?;
    Ok(maximum.unwrap_or(u64::MAX))
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

fn kib(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}
