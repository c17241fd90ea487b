//! The deployment as a whole: which one it is, and which stretches of history it has had.
//!
//! A database can be put back to an older day. Whoever has seen more of it than it knows itself can tell: by the
//! incarnation, and by the newest audit entry that was seen.

use crate::{AuditId, DeploymentId, IncarnationId, ReplicaId, Timestamp};

/// One database and every server on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its identifier, for ever.
    pub id: DeploymentId,
    /// MAC over the identifier by the pepper: a data directory of another deployment cannot make it.
    pub proof: [u8; 32],
    /// Its incarnations, the first one first. The last is the present one.
    pub incarnations: Vec<IncarnationId>,
    /// What a server has seen that the present incarnation does not know. It counts for every server, also for one that
    /// has not seen it, until an operator accepts.
    pub gap: Option<Gap>,
}

/// What a server has seen of a deployment that its database does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The incarnation that was seen.
    pub incarnation: IncarnationId,
    /// The place of the newest audit entry that was seen.
    pub seen: u64,
    /// The place of the newest audit entry that there was when it was noticed.
    pub found: u64,
}

impl Deployment {
    /// The present incarnation.
    ///
    /// # Panics
    /// Where there is none: a deployment is founded with its first.
    pub fn incarnation(&self) -> IncarnationId {
        *self.incarnations.last().expect("a deployment is founded with an incarnation")
    }

    /// When an operator last accepted a database that was put back, if that ever was.
    pub fn accepted_at(&self) -> Option<Timestamp> {
        match self.incarnations.as_slice() {
            [.., _, present] => Some(present.drawn_at()),
            [_] | [] => None,
        }
    }
}

/// An audit entry by its place and its name. Where several write at once, one that comes before it may appear after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryPlace {
    /// Its place in the log.
    pub seq: u64,
    /// Its identifier.
    pub id: AuditId,
}

/// A server process as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its identifier, drawn at its start.
    pub id: ReplicaId,
    /// The version it runs.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it last said that it is alive, by the clock of the store.
    pub alive_at: Timestamp,
    /// Whether that is recent enough for its presence rows to count.
    pub alive: bool,
    /// How many channels it held then.
    pub channels: u64,
}
