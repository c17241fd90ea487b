//! Times as people think of them: `3s ago`, `in 23h`.

use jiff::Timestamp;
pub(crate) use muster_console::relative;

/// A time that may be absent.
pub(crate) fn opt_relative(now: Timestamp, time: Option<Timestamp>) -> String {
    time.map_or_else(|| "–".to_owned(), |time| relative(now, time))
}
