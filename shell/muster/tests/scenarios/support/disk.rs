//! A small disk of its own, for running out of room. Only root can make one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory, gone with the test.
pub(crate) struct SmallDisk(tempfile::TempDir);

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl SmallDisk {
    /// A disk of this many MiB, or nothing where this process may not make one.
    pub(crate) fn of(mebibytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0700"), "muster-test"])
            .arg(dir.path());
        let mounted = is_root() && mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left.
    pub(crate) fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.path().join("filler");
        let mut file = std::fs::File::options().create(true).append(true).open(&path).expect("a file");
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
