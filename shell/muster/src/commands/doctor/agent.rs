//! The agent of this machine: its identity, its credential's life, and the server it belongs to.

use std::path::Path;

use jiff::Timestamp;

use super::report::Check;

/// Looks at an agent's directory and at the server it names.
pub(super) async fn check(_dir: &Path, _now: Timestamp, _checks: &mut Vec<Check>) {}
