//! Where the lines of a transfer go to and come from: files, and a pipe between two databases.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use muster_store_sql::transfer::{Sink, Source, TransferError};
use tokio::sync::mpsc;

/// Longer than any line that is written.
const MAX_LINE: u64 = 16 * 1024 * 1024;
/// Lines on their way between two databases.
const AHEAD: usize = 4096;

/// A file that is being written, beside its place until it is whole.
pub(super) struct Draft {
    file: BufWriter<File>,
    draft: PathBuf,
    path: PathBuf,
}

/// A file that is read.
pub(super) struct Lines {
    file: BufReader<File>,
    path: PathBuf,
    line: u64,
}

fn failed(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> TransferError {
    let what = format!("cannot {what} {}", path.display());
    move |cause| TransferError::Io { what, cause }
}

impl Draft {
    pub(super) fn create(path: &Path) -> Result<Self, TransferError> {
        if path.symlink_metadata().is_ok() {
            return Err(failed("write", path)(std::io::ErrorKind::AlreadyExists.into()));
        }
        let draft = path.with_added_extension("part");
        // What an export that was cut short left behind.
        if draft.symlink_metadata().is_ok() {
            std::fs::remove_file(&draft).map_err(failed("remove", &draft))?;
        }
        let open = File::options().write(true).create_new(true).mode(0o600).open(&draft);
        let file = BufWriter::with_capacity(1 << 20, open.map_err(failed("write", &draft))?);
        Ok(Self { file, draft, path: path.to_owned() })
    }

    /// Puts the whole file in its place, durably; never over another one.
    pub(super) fn finish(self) -> Result<(), TransferError> {
        let Self { file, draft, path } = self;
        let failed = |error| failed("write", &path)(error);
        file.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
        std::fs::hard_link(&draft, &path).map_err(|error| self::failed("write", &path)(error))?;
        std::fs::remove_file(&draft).map_err(self::failed("remove", &draft))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(self::failed("write", parent))
    }
}

impl Sink for Draft {
    async fn put(&mut self, line: String) -> Result<(), TransferError> {
        writeln!(self.file, "{line}").map_err(failed("write", &self.draft))
    }
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, TransferError> {
        let file = File::open(path).map_err(failed("read", path))?;
        Ok(Self { file: BufReader::with_capacity(1 << 20, file), path: path.to_owned(), line: 0 })
    }
}

impl Source for Lines {
    async fn next(&mut self) -> Result<Option<String>, TransferError> {
        self.line += 1;
        let mut bytes = Vec::new();
        let read = (&mut self.file).take(MAX_LINE).read_until(b'\n', &mut bytes);
        if read.map_err(failed("read", &self.path))? == 0 {
            return Ok(None);
        }
        let damaged = |what: &str| TransferError::Damaged { line: self.line, what: what.to_owned() };
        // A line without its end was cut, even where its text is whole.
        if bytes.pop() != Some(b'\n') {
            return Err(damaged("the end of the line is missing: it was cut"));
        }
        String::from_utf8(bytes).map(Some).map_err(|error| damaged(&error.to_string()))
    }
}

/// The sending end of a pipe.
pub(super) struct Into(mpsc::Sender<String>);
/// The receiving end.
pub(super) struct From(mpsc::Receiver<String>);

/// A pipe between two databases.
pub(super) fn pipe() -> (Into, From) {
    let (into, from) = mpsc::channel(AHEAD);
    (Into(into), From(from))
}

impl Sink for Into {
    async fn put(&mut self, line: String) -> Result<(), TransferError> {
        self.0.send(line).await.or(Err(TransferError::Gone))
    }
}

impl Source for From {
    async fn next(&mut self) -> Result<Option<String>, TransferError> {
        Ok(self.0.recv().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_in_its_place_once_it_is_whole_and_never_over_another_one() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("export");
        let mut draft = Draft::create(&path).expect("a draft");
        draft.put("one".to_owned()).await.expect("written");
        assert!(!path.exists());
        drop(draft);
        let mut draft = Draft::create(&path).expect("over what was cut short");
        draft.put("two".to_owned()).await.expect("written");
        draft.finish().expect("whole");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "two\n");
        assert!(Draft::create(&path).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }

    #[tokio::test]
    async fn lines_are_read_one_by_one_and_one_that_was_cut_is_named() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("export");
        std::fs::write(&path, "one\n\ntwo").expect("ours");
        let mut lines = Lines::open(&path).expect("there");
        assert_eq!(lines.next().await.expect("a line").as_deref(), Some("one"));
        assert_eq!(lines.next().await.expect("a line").as_deref(), Some(""));
        assert!(matches!(lines.next().await, Err(TransferError::Damaged { line: 3, .. })));
    }
}
