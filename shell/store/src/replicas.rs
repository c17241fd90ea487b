//! What several servers on one database tell each other through it.
//!
//! A replica says that it is alive; while it does, the presence rows that name it count. What a replica commits that
//! concerns machines elsewhere is a *signal*: a hint to look again, never the truth itself. A job that one replica does at
//! a time is done under a *fence*: a number that rises with every new holder, checked in the transaction that writes.

use muster_lifecycle::MachineOrder;
use muster_model::{MachineId, ReplicaId, TenantId, Timestamp};

/// A server process that begins to work on a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// Its identifier.
    pub replica: ReplicaId,
    /// The version it runs.
    pub version: String,
    /// When it started.
    pub now: Timestamp,
}

/// How a replica stands with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They know it.
    Known,
    /// They had given it up: its presence rows are gone, and it must note every channel again.
    Forgotten,
}

/// A hint that a machine is to be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// Its tenant.
    pub tenant: TenantId,
    /// Which.
    pub machine: MachineId,
    /// What it is told to do beyond what its record says.
    pub order: Option<MachineOrder>,
}

/// The right to do a job that one replica does at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The job.
    pub job: &'static str,
    /// Who does it.
    pub holder: ReplicaId,
    /// Rises with every new holder.
    pub token: u64,
}

/// What is old enough to go. Nothing that another row names is among it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prune {
    /// Idempotency keys of management requests that were carried out before this.
    pub remembered_before: Timestamp,
    /// Login links and sessions that ended, or whose life was over, before this.
    pub access_before: Timestamp,
    /// Replicas that were last alive before this, and signals of that age.
    pub replicas_before: Timestamp,
    /// Slots that began before this.
    pub pulses_before: Timestamp,
    /// At most so many rows of each: whoever finds more comes again.
    pub limit: u32,
}
