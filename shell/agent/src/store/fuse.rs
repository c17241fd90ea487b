//! Tests of what a crash or a full disk leaves: the next change of a file ends the agent, or fails. Each thread has its own.

use std::cell::Cell;
use std::io;
use std::path::Path;

use super::STATUS;
use crate::AgentError;

/// What happens at the n-th change from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fuse {
    /// Nothing ever.
    Off,
    /// The agent ends before it.
    Before(u32),
    /// The agent ends after it.
    After(u32),
    /// It fails, and so do others until so many have.
    Fails { skip: u32, times: u32 },
}

thread_local! {
    static FUSE: Cell<Fuse> = const { Cell::new(Fuse::Off) };
}

pub(crate) fn set(fuse: Fuse) {
    FUSE.set(fuse);
}

pub(crate) fn get() -> Fuse {
    FUSE.get()
}

/// The status file says nothing that counts.
fn counts(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name != STATUS)
}

pub(super) fn before(path: &Path) -> Result<(), AgentError> {
    if !counts(path) {
        return Ok(());
    }
    match FUSE.get() {
        Fuse::Before(0) => {
            FUSE.set(Fuse::Off);
            panic!("the agent was killed before {} was changed", path.display());
        }
        Fuse::Before(n) => FUSE.set(Fuse::Before(n - 1)),
        Fuse::Fails { skip: 0, times: 0 } => FUSE.set(Fuse::Off),
        Fuse::Fails { skip: 0, times } => {
            FUSE.set(Fuse::Fails { skip: 0, times: times - 1 });
            let source = io::ErrorKind::StorageFull.into();
            return Err(AgentError::Disk { path: path.to_owned(), source });
        }
        Fuse::Fails { skip, times } => FUSE.set(Fuse::Fails { skip: skip - 1, times }),
        Fuse::Off | Fuse::After(_) => {}
    }
    Ok(())
}

pub(super) fn after(path: &Path) {
    match FUSE.get() {
        Fuse::After(0) if counts(path) => {
            FUSE.set(Fuse::Off);
            panic!("the agent was killed after {} was changed", path.display());
        }
        Fuse::After(n) if counts(path) => FUSE.set(Fuse::After(n - 1)),
        _ => {}
    }
}
