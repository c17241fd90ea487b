//! Which faults can strike which sort of step, and why the others cannot.

use super::steps::Column;
use Column as C;

/// What strikes a request of a machine. It writes nothing, so nothing that is the matter with files does; what is the matter
/// with the store reaches it as an answer.
pub(super) const SENT: &[Column] = &[
    C::CrashBefore,
    C::CrashAfter,
    C::ReplyLost,
    C::Duplicate,
    C::Late,
    C::ClockAhead,
    C::ClockBehind,
    C::StoreDown,
    C::StoreRestart,
    C::Failover,
    C::Partition,
];
/// What strikes a transaction. Torn, damaged and open files of a database are not among it: the store here has none.
pub(super) const SERVED: &[Column] = &[
    C::CrashBefore,
    C::CrashAfter,
    C::ReplyLost,
    C::Duplicate,
    C::Late,
    C::DiskFull,
    C::ReadOnly,
    C::FsyncError,
    C::ClockAhead,
    C::ClockBehind,
    C::StoreDown,
    C::StoreRestart,
    C::Failover,
    C::Partition,
];
/// What strikes a file. It is written by one process on its own disk: no answer is lost or late, no clock and no store matter.
pub(super) const WRITTEN: &[Column] = &[
    C::CrashBefore,
    C::CrashAfter,
    C::DiskFull,
    C::ReadOnly,
    C::FsyncError,
    C::PartialWrite,
    C::Corrupt,
    C::Permissions,
];
/// What strikes a channel: it has no duplicate, for it is one connection, and it is opened by reads alone, so neither a disk
/// nor a restart in the middle of a transaction matters.
pub(super) const CHANNEL: &[Column] = &[
    C::CrashBefore,
    C::CrashAfter,
    C::ReplyLost,
    C::Late,
    C::ClockAhead,
    C::ClockBehind,
    C::StoreDown,
    C::Failover,
    C::Partition,
];
/// What strikes files that are set aside: nobody reads them again, so nobody meets damage or modes.
pub(super) const ASIDE: &[Column] =
    &[C::CrashBefore, C::CrashAfter, C::DiskFull, C::ReadOnly, C::FsyncError, C::PartialWrite];

/// What strikes the removal of files: it needs no room, and leaves nothing to be torn or damaged.
pub(super) const REMOVED: &[Column] = &[C::CrashBefore, C::CrashAfter, C::ReadOnly, C::FsyncError];
/// What strikes the adoption of what a failover took back. It is part of whichever request comes first, whose own row has the
/// faults of the way there; here are those of its own transaction.
pub(super) const ADOPTED: &[Column] = &[C::CrashBefore, C::CrashAfter, C::StoreRestart, C::Failover];
/// What strikes both slots at once: everything else strikes one write after the other.
pub(super) const LOST: &[Column] = &[C::Corrupt];
