//! Where PostgreSQL's programs are, and as whom they run: they refuse to run as root.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The directory of PostgreSQL's programs: `MUSTER_TEST_POSTGRES_BIN`, else what `pg_config` says.
pub fn programs() -> Option<PathBuf> {
    let named = std::env::var_os("MUSTER_TEST_POSTGRES_BIN").filter(|value| !value.is_empty());
    let directory = match named {
        Some(directory) => PathBuf::from(directory),
        None => {
            let told = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output().ok()?;
            PathBuf::from(String::from_utf8(told.stdout).ok()?.trim())
        }
    };
    ["initdb", "pg_ctl", "postgres"].iter().all(|name| directory.join(name).is_file()).then_some(directory)
}

/// Whom the programs run as: us, or somebody without rights where we are root.
#[derive(Debug, Clone, Copy)]
pub(super) struct User(Option<(u32, u32)>);

impl User {
    pub(super) fn fit() -> Self {
        let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        if !root {
            return Self(None);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let named = |name: &str| {
            let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        Self(named("postgres").or_else(|| named("nobody")).or(Some((65534, 65534))))
    }

    /// A program that runs as this user, in a group of processes of its own, and says nothing.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.process_group(0).current_dir("/").env("LC_ALL", "C");
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }

    /// Gives a file or directory to this user.
    pub(super) fn own(self, path: &Path) {
        if let Some((user, group)) = self.0 {
            chown(path, Some(user), Some(group)).expect("root gives away what it likes");
        }
    }
}
