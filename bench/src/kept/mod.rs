//! The stores that servers are measured on: how a database of each is made, opened, looked at and closed.

pub(crate) mod postgres;
pub(crate) mod sqlite;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use muster_app::Store;
use tempfile::TempDir;

/// A store that can be measured.
pub(crate) trait Kept: Store + Sized {
    /// How people call it.
    const NAME: &'static str;
    /// What its writes are counted in.
    const WRITES: &'static str;
    /// How late a write may be counted.
    const COUNTED_WITHIN: Duration;
    /// Where a database is. Goes when it is dropped, with everything in it.
    type Home: Home;

    /// A place for one in this directory. Where the database can, and is asked to, it tells in the end what it did.
    fn home(dir: TempDir, told: bool) -> impl Future<Output = Result<Self::Home>> + Send;

    /// Makes the database there, or opens what was made before.
    fn open(home: &Self::Home, is_new: bool) -> impl Future<Output = Result<Self>> + Send;

    /// What was written since the beginning.
    fn written(&self, home: &Self::Home) -> impl Future<Output = Result<Written>> + Send;

    /// Does what the database does by itself in the hours after so much came in.
    fn settle_down(home: &Self::Home) -> impl Future<Output = Result<()>> + Send;

    /// Finishes what is under way and closes it.
    fn finish(&self) -> impl Future<Output = ()> + Send;
}

/// Where a database is, and the server's directory beside it.
pub(crate) trait Home: Send + Sync {
    /// The server's directory: its authority, and whatever a reference keeps in a file.
    fn dir(&self) -> &Path;
}

/// What was written to a database, and what else it counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Writes that tell of machines, in [`Kept::WRITES`].
    pub(crate) of_machines: u64,
    /// Anything else, by what it is.
    pub(crate) beside: Vec<(&'static str, u64)>,
}

impl Written {
    /// What came since then.
    pub(crate) fn since(self, before: &Self) -> Self {
        let beside = self.beside.into_iter().zip(&before.beside);
        Self {
            of_machines: self.of_machines - before.of_machines,
            beside: beside.map(|((what, after), (_, before))| (what, after - before)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_told_from_a_point_on() {
        let before = Written { of_machines: 5, beside: vec![("leases", 7), ("transactions", 20)] };
        let after = Written { of_machines: 5, beside: vec![("leases", 27), ("transactions", 60)] };
        let since = Written { of_machines: 0, beside: vec![("leases", 20), ("transactions", 40)] };
        assert_eq!(after.since(&before), since);
    }
}
