//! libFuzzer drives the targets, for as long as somebody likes: it sees which branches an input reaches.
//!
//! The program is built once more, with counters in every branch, by the stable compiler: LLVM's own pass puts them in, and
//! no sanitizer is asked for, since no code of ours is `unsafe`. What it keeps lies in `target/fuzz`: its corpora, what broke a
//! promise, and how much time of a processor each target has had, so that a run goes on where the last one ended.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{TARGETS, Target, corpus};

/// What puts the counters in.
const FLAGS: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// The variable that names the target to the program.
pub const TARGET: &str = "MUSTER_FUZZ_TARGET";
/// A target is given this many seconds at a time: then another one is behind it.
const TURN: u64 = 60;
/// A target that needs more memory than this has broken a promise.
const MEMORY_MB: u64 = 2_048;
/// Ticks of a second in which the system counts the time of a processor (`proc_pid_stat(5)`).
const TICKS: f64 = 100.0;

/// Where everything is.
pub struct Guided {
    home: PathBuf,
    program: PathBuf,
    spent: BTreeMap<String, f64>,
}

impl Guided {
    /// Builds the program, and reads how far the runs before have come.
    ///
    /// # Errors
    /// What cargo or the file system say.
    pub fn prepared() -> io::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
        let home = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let home = home.join("fuzz");
        let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.current_dir(&root).args(["build", "--release", "-p", "muster-fuzz", "--bin", "guided"]);
        // With a target of its own, build scripts and macros get no counters.
        build.args(["--features", "guided", "--target", &host, "--target-dir"]).arg(home.join("build"));
        build.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
        build.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
        build.env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
        build.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_STRIP", "none");
        if !build.status()?.success() {
            return Err(io::Error::other("the program with counters cannot be built"));
        }
        let program = home.join("build").join(&host).join("release/guided");
        let ledger = fs::read(home.join("spent.json")).unwrap_or_default();
        let spent = serde_json::from_slice(&ledger).unwrap_or_default();
        Ok(Self { home, program, spent })
    }

    /// Gives each of these targets its turns, whoever had least first, until all of them have had so many seconds of a
    /// processor. Tells each turn. Gives what broke a promise.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn run(
        &mut self,
        targets: &[&'static Target],
        seconds: u64,
        mut told: impl FnMut(&Target, f64),
    ) -> io::Result<Vec<PathBuf>> {
        let mut broken: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
        loop {
            let left =
                |target: &&&Target| self.spent(target) < seconds as f64 && !broken.contains_key(target.name);
            let least = |a: &&&'static Target, b: &&&'static Target| self.spent(a).total_cmp(&self.spent(b));
            let Some(target) = targets.iter().filter(left).min_by(least).copied() else { break };
            let found = self.turn(target, TURN.min(seconds))?;
            told(target, self.spent(target));
            if !found.is_empty() {
                broken.insert(target.name, found);
            }
        }
        Ok(broken.into_values().flatten().collect())
    }

    /// Seconds of a processor that the target has had.
    pub fn spent(&self, target: &Target) -> f64 {
        self.spent.get(target.name).copied().unwrap_or_default()
    }

    /// One turn; what it found.
    fn turn(&mut self, target: &'static Target, seconds: u64) -> io::Result<Vec<PathBuf>> {
        let [own, found] = ["corpus", "found"].map(|word| self.home.join(word).join(target.name));
        fs::create_dir_all(&own)?;
        fs::create_dir_all(&found)?;
        let before = listed(&found)?;
        let mut program = Command::new(&self.program);
        program.arg(format!("-max_total_time={seconds}")).arg(format!("-rss_limit_mb={MEMORY_MB}"));
        program.args(["-timeout=30", "-max_len=16384", "-print_final_stats=0", "-verbosity=0"]);
        program.arg(format!("-artifact_prefix={}/", found.display()));
        program.arg(&own).arg(corpus::home().join(target.name)).env(TARGET, target.name);
        let log = fs::File::create(self.home.join(format!("{}.log", target.name)))?;
        let (start, ended) = (children()?, program.stdout(Stdio::null()).stderr(log).status()?);
        let took = children()? - start;
        *self.spent.entry(target.name.to_owned()).or_default() += took;
        fs::write(self.home.join("spent.json"), serde_json::to_vec_pretty(&self.spent)?)?;
        let mut new = listed(&found)?;
        new.retain(|path| !before.contains(path));
        if new.is_empty() && !ended.success() {
            return Err(io::Error::other(format!("{}: {ended}, see {}.log", target.name, target.name)));
        }
        Ok(new)
    }
}

/// Every target, or those of these names.
///
/// # Errors
/// A name that is none.
pub fn named(names: &[String]) -> Result<Vec<&'static Target>, String> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    names
        .iter()
        .map(|name| crate::target(name).ok_or_else(|| format!("there is no target `{name}`")))
        .collect()
}

fn listed(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

/// Seconds of a processor that programs which this one started have had and that are over.
fn children() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks = after.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS)
}
