//! Files of the agent's directory: modes and owners checked at every use, writes atomic and durable.
//!
//! A write goes to a temporary file, fsync, rename, fsync of the directory; where any of it fails, what was there
//! before is still there. Nothing is ever deleted but notes that hold no secret, and keys that the server has
//! put out of use.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use atomic_write_file::unix::OpenOptionsExt as _;

use crate::AgentError;

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// No file of ours is larger.
const MAX_FILE: u64 = 256 * 1024;

/// The agent's directory.
#[derive(Debug, Clone)]
pub(crate) struct Dir {
    path: PathBuf,
}

impl Dir {
    /// Makes it if it is missing, and checks it.
    pub(crate) fn create(path: &Path) -> Result<Self, AgentError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| failed_write(parent, source))?;
        }
        match DirBuilder::new().mode(DIR_MODE).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed_write(path, error)),
        }
        Self::open(path)?.ok_or_else(|| AgentError::NotEnrolled { dir: path.to_owned() })
    }

    /// Checks it; nothing where it is missing.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, AgentError> {
        let dir = Self { path: path.to_owned() };
        match fs::symlink_metadata(path) {
            Ok(found) => dir.check_self(&found).map(|()| Some(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed_read(path, error)),
        }
    }

    fn check_self(&self, found: &Metadata) -> Result<(), AgentError> {
        if !found.is_dir() {
            return Err(AgentError::config(format!("{} is not a directory", self.path.display())));
        }
        check(&self.path, found.mode(), found.uid(), DIR_MODE)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file; nothing where it is missing.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, AgentError> {
        let path = self.file(name);
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed_read(&path, error)),
        };
        check_file(&path, &found)?;
        let mut text = String::new();
        let file = File::open(&path).map_err(|source| failed_read(&path, source))?;
        match file.take(MAX_FILE + 1).read_to_string(&mut text) {
            Ok(read) if read as u64 > MAX_FILE => {
                Err(corrupt(&path, "is far larger than any file of the agent"))
            }
            Ok(_) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(corrupt(&path, "is not text")),
            Err(error) => Err(failed_read(&path, error)),
        }
    }

    /// Replaces a file, whole or not at all.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), AgentError> {
        let path = self.file(name);
        let found = fs::symlink_metadata(&self.path).map_err(|source| failed_write(&self.path, source))?;
        self.check_self(&found)?;
        if let Ok(found) = fs::symlink_metadata(&path) {
            check_file(&path, &found)?;
        }
        change(&path, || replace(&path, text).map_err(|source| failed_write(&path, source)))
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.file(name)).is_ok()
    }

    /// Renames a file to `<name>.<why>-<stamp>`; nothing where it is missing.
    pub(crate) fn set_aside(&self, name: &str, why: &str, stamp: i64) -> Result<(), AgentError> {
        let path = self.file(name);
        let aside = |n: u32| match n {
            0 => format!("{name}.{why}-{stamp}"),
            _ => format!("{name}.{why}-{stamp}-{n}"),
        };
        let n = (0..1000).find(|n| !self.exists(&aside(*n))).unwrap_or_default();
        change(&path, || match fs::rename(&path, self.file(&aside(n))) {
            Ok(()) => self.sync(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed_write(&path, error)),
        })
    }

    /// Removes a file: a note that holds no secret, or what a rotation put out of use.
    pub(crate) fn remove(&self, name: &str) -> Result<(), AgentError> {
        let path = self.file(name);
        change(&path, || match fs::remove_file(&path) {
            Ok(()) => self.sync(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed_write(&path, error)),
        })
    }

    fn sync(&self) -> Result<(), AgentError> {
        File::open(&self.path)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| failed_write(&self.path, source))
    }
}

/// Sets the modes that the agent demands, on its directory and everything in it. Returns what was changed.
pub fn repair_permissions(dir: &Path) -> Result<Vec<PathBuf>, AgentError> {
    let mut changed = Vec::new();
    repair(dir, DIR_MODE, &mut changed)?;
    let entries = fs::read_dir(dir).map_err(|source| failed_read(dir, source))?;
    for entry in entries {
        let path = entry.map_err(|source| failed_read(dir, source))?.path();
        let found = fs::symlink_metadata(&path).map_err(|source| failed_read(&path, source))?;
        if found.is_file() {
            repair(&path, FILE_MODE, &mut changed)?;
        }
    }
    Ok(changed)
}

fn repair(path: &Path, mode: u32, changed: &mut Vec<PathBuf>) -> Result<(), AgentError> {
    let found = fs::symlink_metadata(path).map_err(|source| failed_read(path, source))?;
    if found.is_symlink() {
        return Err(AgentError::config(format!("{} is a symbolic link", path.display())));
    }
    let (own, mode_fits) = (own_uid(), found.mode() & 0o777 == mode);
    if found.uid() == own && mode_fits {
        return Ok(());
    }
    if found.uid() != own {
        std::os::unix::fs::chown(path, Some(own), None).map_err(|source| failed_write(path, source))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|source| failed_write(path, source))?;
    changed.push(path.to_owned());
    Ok(())
}

/// Every change of a file, so that a test can end the agent at each.
#[cfg_attr(not(test), expect(unused_variables, reason = "tests alone ask which file it is"))]
fn change(path: &Path, how: impl FnOnce() -> Result<(), AgentError>) -> Result<(), AgentError> {
    #[cfg(test)]
    super::fuse::before(path)?;
    how()?;
    #[cfg(test)]
    super::fuse::after(path);
    Ok(())
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut options = AtomicWriteFile::options();
    options.mode(FILE_MODE).preserve_mode(false).preserve_owner(false);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    // Syncs the file, renames it and syncs the directory. After a failed sync the data counts as not written.
    file.commit()
}

fn check_file(path: &Path, found: &Metadata) -> Result<(), AgentError> {
    if !found.is_file() {
        return Err(corrupt(path, "is not a regular file"));
    }
    check(path, found.mode(), found.uid(), FILE_MODE)
}

/// Whether nobody but us can reach it.
fn check(path: &Path, mode: u32, uid: u32, wanted: u32) -> Result<(), AgentError> {
    let own = own_uid();
    let reason = if uid != own {
        format!("is owned by user {uid}, not by {own}, who runs the agent")
    } else if mode & 0o077 != 0 {
        format!("has mode {:04o}: others can reach it", mode & 0o7777)
    } else {
        return Ok(());
    };
    let fix = format!(
        "run `muster agent run --repair-permissions`, or `chown {own} {0} && chmod {wanted:04o} {0}`",
        path.display()
    );
    Err(AgentError::Permissions { path: path.to_owned(), reason, fix })
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> AgentError {
    AgentError::Corrupt {
        path: path.to_owned(),
        reason: reason.into(),
        fix: "restore it from a backup, or set the identity aside and enroll anew with --reset".into(),
    }
}

fn failed_read(path: &Path, source: io::Error) -> AgentError {
    AgentError::Unreadable { path: path.to_owned(), source }
}

fn failed_write(path: &Path, source: io::Error) -> AgentError {
    if source.kind() == io::ErrorKind::PermissionDenied {
        return AgentError::Permissions {
            path: path.to_owned(),
            reason: format!("cannot be written: {source}"),
            fix: "let the user who runs the agent own the directory".into(),
        };
    }
    AgentError::Disk { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = Dir::create(&temp.path().join("agent")).expect("made");
        (temp, dir)
    }

    #[test]
    fn q_29_what_is_written_is_for_the_owner_alone() {
        let (_temp, dir) = dir();
        dir.write("a", "1").expect("written");
        dir.write("a", "2").expect("replaced");
        assert_eq!(dir.read("a").expect("read").as_deref(), Some("2"));
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(dir.path()), mode(&dir.file("a"))), (0o700, 0o600));
    }

    #[test]
    fn q_29_loose_modes_are_refused_at_read_and_write_and_can_be_repaired() {
        let (_temp, dir) = dir();
        dir.write("a", "1").expect("written");
        for (path, mode) in [(dir.file("a"), 0o640), (dir.path().to_owned(), 0o755)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            let error = dir.write("a", "2").expect_err("others can reach it");
            assert_eq!(error.exit_code(), 11);
            let text = error.to_string();
            assert!(text.contains(&path.display().to_string()) && text.contains("chmod"), "{text}");
            assert_eq!(repair_permissions(dir.path()).expect("repaired"), [path]);
            dir.write("a", "2").expect("written again");
        }
    }

    #[test]
    fn q_29_another_owner_is_refused() {
        let error = check(Path::new("/x"), 0o600, own_uid() + 1, FILE_MODE).expect_err("not ours");
        assert!(error.to_string().contains("is owned by user"), "{error}");
    }

    #[test]
    fn a_write_that_fails_keeps_what_was_there() {
        let (_temp, dir) = dir();
        dir.write("a", "1").expect("written");
        fs::create_dir(dir.file("b")).expect("made");
        assert!(dir.write("b", "2").is_err(), "a directory stands in the way");
        assert_eq!(dir.read("a").expect("read").as_deref(), Some("1"));
        let names = fs::read_dir(dir.path()).expect("list").count();
        assert_eq!(names, 2, "no temporary file stays behind");
    }

    #[test]
    fn links_and_giants_are_not_read() {
        let (_temp, dir) = dir();
        std::os::unix::fs::symlink("/etc/passwd", dir.file("link")).expect("linked");
        assert_eq!(dir.read("link").expect_err("a link").exit_code(), 13);
        dir.write("big", &"x".repeat(MAX_FILE as usize + 1)).expect("written");
        assert_eq!(dir.read("big").expect_err("too large").exit_code(), 13);
    }

    #[test]
    fn setting_aside_never_overwrites() {
        let (_temp, dir) = dir();
        for text in ["1", "2", "3"] {
            dir.write("key", text).expect("written");
            dir.set_aside("key", "retired", 7).expect("renamed");
        }
        assert_eq!(dir.read("key.retired-7").expect("read").as_deref(), Some("1"));
        assert_eq!(dir.read("key.retired-7-2").expect("read").as_deref(), Some("3"));
        assert!(dir.set_aside("key", "retired", 7).is_ok(), "what is missing needs no setting aside");
    }
}
