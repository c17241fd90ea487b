//! The one place of the command line that reads the wall clock.

use jiff::Timestamp;

/// Now.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
