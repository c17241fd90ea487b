//! The machine that a figure was measured on, and what this process takes of it.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::param::clock_ticks_per_second;
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

/// The first process of the database server whose time counts along; 0 where there is none.
static DATABASE: AtomicU32 = AtomicU32::new(0);

/// From now on, the processes of the PostgreSQL in this directory count along.
pub(crate) fn count_along(data: &Path) -> Result<()> {
    let path = data.join("postmaster.pid");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let first = text.lines().next().context("it names no process")?;
    DATABASE.store(first.trim().parse()?, Ordering::Relaxed);
    Ok(())
}

/// Processor time that was taken so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Busy {
    /// By client and server.
    own: Duration,
    /// By a database server.
    database: Duration,
}

/// Processor time that one thing took, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Cpu {
    /// Client, server and database together.
    pub(crate) all: f64,
    /// Of that, in processes of a database server.
    pub(crate) database: f64,
}

impl Busy {
    /// What came since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            own: self.own.saturating_sub(before.own),
            database: self.database.saturating_sub(before.database),
        }
    }

    /// The share of each of so many.
    pub(crate) fn each(self, count: f64) -> Cpu {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count;
        Cpu { all: each(self.own + self.database), database: each(self.database) }
    }
}

/// Processor time that was taken so far.
pub(crate) fn busy() -> Busy {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let own = Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default());
    Busy { own, database: database_busy() }
}

fn database_busy() -> Duration {
    let first = DATABASE.load(Ordering::Relaxed);
    if first == 0 {
        return Duration::ZERO;
    }
    let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
    let children = children.unwrap_or_default();
    let stat = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The first process has the time of those that ended.
    let ticks = ticks(&stat(&first.to_string()), 4)
        + children.split_whitespace().map(|pid| ticks(&stat(pid), 2)).sum::<u64>();
    Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)
}

/// The first so many of: time in user mode, in the kernel, and both of children that ended. In ticks, of proc(5) `stat`.
fn ticks(stat: &str, columns: usize) -> u64 {
    // The name of the program is in brackets and may hold anything.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    after.split_whitespace().skip(11).take(columns).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_share_of_the_time_since_a_point() {
        let busy = |own, database| Busy {
            own: Duration::from_micros(own),
            database: Duration::from_micros(database),
        };
        assert_eq!(busy(700, 300).since(busy(100, 100)).each(4.0), Cpu { all: 200.0, database: 50.0 });
    }

    #[test]
    fn times_of_a_process_are_read_whatever_it_is_called() {
        let stat = "42 (a (b) 7 8) S 1 42 42 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 1 0 100";
        assert_eq!((ticks(stat, 2), ticks(stat, 4)), (33, 110));
        assert_eq!(ticks("", 4), 0);
    }
}
