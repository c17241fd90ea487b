//! Private files: directories of mode 0700, files of mode 0600, ours alone, written so that a crash leaves the old or
//! the new content and never half of either (temporary file, fsync, rename, fsync of the directory; ).
//!
//! Mode and owner are checked at every read and write. What cannot be read is reported with its path, the cause and
//! what a person can do; it is never made anew.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use atomic_write_file::unix::OpenOptionsExt as _;
use rustix::fs::OFlags;
use thiserror::Error;
use zeroize::Zeroizing;

/// Longest private file read, in bytes. Keys and certificates are far shorter.
pub const MAX_FILE: u64 = 64 * 1024;

/// What is wrong with which file, and what to do about it.
#[derive(Debug, Error)]
#[error("{}: {problem}. {}", path.display(), problem.fix())]
pub struct FileError {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: FileProblem,
}

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum FileProblem {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// Something is there already.
    #[error("is there already")]
    Exists,
    /// The operating system refused.
    #[error("cannot be used: {0}")]
    Io(#[source] io::Error),
    /// It is a symbolic link, a device, a directory where a file is expected, or the like.
    #[error("is not a {expected}")]
    Kind {
        /// What it should be.
        expected: &'static str,
    },
    /// Others may read or write it.
    #[error("has mode {found:04o} instead of {expected:04o}")]
    Mode {
        /// The permission bits found.
        found: u32,
        /// The permission bits demanded.
        expected: u32,
    },
    /// It belongs to somebody else.
    #[error("belongs to user {found}, but this process runs as user {expected}")]
    Owner {
        /// The user id found.
        found: u32,
        /// The user id of this process.
        expected: u32,
    },
    /// Its content is not what was written.
    #[error("is damaged ({0})")]
    Damaged(&'static str),
    /// It is intact, but sealed under another key.
    #[error("is sealed under another seal key")]
    Seal,
    /// Two files that belong together do not.
    #[error("does not fit {other}")]
    Mismatch {
        /// The other file.
        other: String,
    },
}

impl FileProblem {
    /// What a person can do about it, as a sentence.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Missing | Self::Damaged(_) | Self::Mismatch { .. } => {
                "Restore it from a backup, together with the files beside it"
            }
            Self::Exists => "Use another directory, or open what is there",
            Self::Io(_) => "Check the disk, the path and its permissions, then start again",
            Self::Kind { .. } => "Put the real one in its place",
            Self::Mode { expected: 0o700, .. } => "Run: chmod 0700 on it",
            Self::Mode { .. } => "Run: chmod 0600 on it",
            Self::Owner { .. } => "Run as its owner, or chown it to the user this process runs as",
            Self::Seal => "Restore the seal key that belongs to it, or give the right one",
        }
    }

    pub(crate) fn at(self, path: &Path) -> FileError {
        FileError { path: path.to_owned(), problem: self }
    }
}

/// Makes a directory of mode 0700, or takes an empty one that is already so.
pub fn make_dir(path: &Path) -> Result<(), FileError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => check_dir(path).and_then(|()| sync_parent(path)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => check_empty(path),
        Err(e) => Err(io_problem(e).at(path)),
    }
}

/// Checks that a directory is one, ours and of mode 0700 or narrower.
pub fn check_dir(path: &Path) -> Result<(), FileError> {
    let found = fs::symlink_metadata(path).map_err(|e| io_problem(e).at(path))?;
    if !found.is_dir() {
        return Err(FileProblem::Kind { expected: "directory" }.at(path));
    }
    check_private(&found, 0o700).map_err(|p| p.at(path))
}

/// Checks that nothing is at a path, or an empty directory of ours.
pub fn check_empty(path: &Path) -> Result<(), FileError> {
    match check_dir(path) {
        Err(FileError { problem: FileProblem::Missing, .. }) => return Ok(()),
        other => other?,
    }
    let mut entries = fs::read_dir(path).map_err(|e| io_problem(e).at(path))?;
    if entries.next().is_none() { Ok(()) } else { Err(FileProblem::Exists.at(path)) }
}

/// Reads a private file whole. The bytes are wiped when dropped.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = open(path)?;
    // Room for all of it: a buffer that grows leaves copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 2));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| io_problem(e).at(path))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(FileProblem::Damaged("it is longer than any file of its kind").at(path));
    }
    Ok(bytes)
}

/// Writes a private file whole and durably; refuses when something is there already.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    match fs::symlink_metadata(path) {
        Ok(_) => return Err(FileProblem::Exists.at(path)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(io_problem(e).at(path)),
    }
    write(path, bytes).map_err(|e| io_problem(e).at(path))
}

/// Writes a private file whole and durably, in the place of one that may be there.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write(path, bytes).map_err(|e| io_problem(e).at(path))
}

/// Puts a finished directory in its place, durably. What is there may only be an empty directory.
pub fn publish_dir(from: &Path, to: &Path) -> Result<(), FileError> {
    match fs::rename(from, to) {
        Ok(()) => sync_parent(to),
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Err(FileProblem::Exists.at(to)),
        Err(e) => Err(io_problem(e).at(to)),
    }
}

/// The atomic writer syncs the file before and the directory after its rename.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = atomic_write_file::OpenOptions::new();
    options.mode(0o600).preserve_mode(false).preserve_owner(false);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.commit()
}

/// Neither follows a link nor waits for the other end of a pipe that somebody put in the place of a file.
fn open(path: &Path) -> Result<File, FileError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).expect("open flags are small");
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|e| {
        let is_link = e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
        if is_link { FileProblem::Kind { expected: "regular file" } } else { io_problem(e) }.at(path)
    })?;
    let found = file.metadata().map_err(|e| io_problem(e).at(path))?;
    if !found.is_file() {
        return Err(FileProblem::Kind { expected: "regular file" }.at(path));
    }
    check_private(&found, 0o600).map_err(|p| p.at(path))?;
    Ok(file)
}

fn check_private(found: &fs::Metadata, expected: u32) -> Result<(), FileProblem> {
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        return Err(FileProblem::Owner { found: found.uid(), expected: me });
    }
    let mode = found.mode() & 0o7777;
    if mode & !expected == 0 { Ok(()) } else { Err(FileProblem::Mode { found: mode, expected }) }
}

fn sync_parent(path: &Path) -> Result<(), FileError> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(|e| io_problem(e).at(parent))
}

fn io_problem(error: io::Error) -> FileProblem {
    match error.kind() {
        io::ErrorKind::NotFound => FileProblem::Missing,
        _ => FileProblem::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .expect("a temporary directory")
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("own file");
    }

    #[test]
    fn q_29_a_written_file_is_private_and_reads_back() {
        let dir = dir();
        let path = dir.path().join("x");
        write_new(&path, b"secret").expect("written");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o600);
        assert_eq!(read(&path).expect("read").as_slice(), b"secret");
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "no temporary file is left");
        assert!(matches!(write_new(&path, b"other"), Err(FileError { problem: FileProblem::Exists, .. })));
        assert_eq!(read(&path).expect("read").as_slice(), b"secret");
        chmod(&path, 0o644);
        replace(&path, b"other").expect("written");
        assert_eq!(read(&path).expect("private again").as_slice(), b"other");
    }

    #[test]
    fn q_29_a_file_or_directory_that_others_may_read_is_refused_with_the_fix() {
        let dir = dir();
        let path = dir.path().join("x");
        write_new(&path, b"secret").expect("written");
        for mode in [0o640, 0o604, 0o620, 0o4600] {
            chmod(&path, mode);
            let error = read(&path).expect_err("not private");
            assert!(matches!(error.problem, FileProblem::Mode { found, expected: 0o600 } if found == mode));
            let text = error.to_string();
            assert!(text.contains(path.to_str().expect("text")) && text.contains("chmod 0600"), "{text}");
        }
        chmod(dir.path(), 0o750);
        let error = check_dir(dir.path()).expect_err("not private");
        assert!(error.to_string().contains("chmod 0700"), "{error}");
    }

    #[test]
    fn links_pipes_and_directories_are_not_files() {
        let dir = dir();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        write_new(&real, b"secret").expect("written");
        symlink(&real, &link).expect("linked");
        let pipe = dir.path().join("pipe");
        let made =
            std::process::Command::new("mkfifo").arg("-m600").arg(&pipe).status().expect("mkfifo runs");
        assert!(made.success());
        for odd in [&link, &pipe, &dir.path().to_owned()] {
            assert!(matches!(read(odd).expect_err("odd").problem, FileProblem::Kind { .. }), "{odd:?}");
        }
        assert!(matches!(check_dir(&real).expect_err("a file").problem, FileProblem::Kind { .. }));
        assert!(matches!(write_new(&link, b"x").expect_err("there").problem, FileProblem::Exists));
        assert!(matches!(read(&dir.path().join("no")).expect_err("absent").problem, FileProblem::Missing));
    }

    #[test]
    fn q_46_a_file_is_read_up_to_its_bound_and_no_further() {
        let dir = dir();
        for (name, len, fits) in [("at", MAX_FILE, true), ("over", MAX_FILE + 1, false)] {
            let path = dir.path().join(name);
            write_new(&path, &vec![7; len as usize]).expect("written");
            assert_eq!(read(&path).is_ok(), fits, "{name}");
        }
    }
}
