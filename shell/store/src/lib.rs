//! The storage port: what Muster asks of a database, and the one way to write.
//!
//! Every write is load → decide → apply in one named transaction: [`Store::settle`] runs a [`Decision`] whose `decide`
//! is a plain function, and applies the plan with its audit entries, or nothing. Reads are many small typed queries,
//! each scoped to a tenant but for the few of [`Unscoped`]. A row is parsed into exactly one state or reported as
//! [`StoreError::Broken`]. Knows no database driver.

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod page;
mod reads;
mod replicas;

use std::future::Future;

use muster_lifecycle::Plan;
use muster_lifecycle::reap::Watched;
use muster_model::{Entry, Object, Refusal, SignedDuration};

pub use error::{SettleError, StoreError};
pub use muster_model::{Presence, SiteUse};
pub use page::{AccountFilter, AuditFilter, AuditRecord, Listed, MachineFilter, PageRequest};
pub use reads::{AgentRow, Answer, Behind, BehindMachine, Lists, MachineRow, QuietRow, Reads, Unscoped};
pub use replicas::{Fence, Joining, Prune, Signal, Standing};

/// So many stretches in which the fleet was watched are kept. Of a server that is stopped every day, those of nearly three
/// years: longer than anybody's silence may last.
pub const STRETCHES: u32 = 1024;

/// So many stretches of what a fleet did are given at once.
pub const PULSES: u32 = 400;

/// A database that keeps what Muster knows.
pub trait Store: Clone + Send + Sync + 'static {
    /// A consistent view for reading.
    type Reader: Reads + Unscoped + Lists;

    /// A consistent view for reading, outside any write.
    fn reader(&self) -> impl Future<Output = Result<Self::Reader, StoreError>> + Send;

    /// Runs a decision: load, decide, apply, in one transaction named [`Decision::NAME`]. Lost races start again.
    ///
    /// When this returns `Ok`, the changes are durable. When the decision refuses, nothing but the entry that
    /// [`Decision::told`] gives is written.
    ///
    /// # Errors
    /// [`SettleError::Refused`] with the decided no; the others tell what failed, and that nothing was written.
    fn settle<D: Decision>(
        &self,
        decision: D,
    ) -> impl Future<Output = Result<Plan<D::Outcome>, SettleError>> + Send;

    /// Notes presence transitions, many at once. They are facts, not decisions: they need no audit entry.
    fn note_presence(&self, notes: Vec<PresenceNote>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Notes what this server counted in a few slots, in rows of its own: noting a slot again takes the place of what was
    /// noted of it before. They are facts, not decisions: they need no audit entry.
    fn note_pulse(&self, notes: Vec<PulseNote>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Adds entries that tell of no change: refusals, coalesced.
    fn tell(&self, entries: Vec<Entry>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Whether the store answers and can be written to.
    fn check(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Begins to work as a replica. Presence that a former process left behind ends here, where the store belongs to
    /// one process alone.
    fn join(&self, joining: Joining) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Says that this replica is alive and holds so many channels. Called every few seconds.
    fn alive(&self, channels: u64) -> impl Future<Output = Result<Standing, StoreError>> + Send;

    /// What other replicas committed since the last call that machines here may have to hear of. Each signal is given
    /// at least once.
    fn signals(&self) -> impl Future<Output = Result<Vec<Signal>, StoreError>> + Send;

    /// Returns when there may be new signals. A hint: it may stay silent, and the caller asks every 2 s anyway.
    fn stirred(&self) -> impl Future<Output = ()> + Send;

    /// Takes or keeps the right to do a job for this span; `None` while another replica has it.
    fn lease(
        &self,
        job: &'static str,
        span: SignedDuration,
    ) -> impl Future<Output = Result<Option<Fence>, StoreError>> + Send;

    /// Notes that the fleet was watched for this stretch: one that began at the same time goes on. Of all there are, the last
    /// [`STRETCHES`] are kept. It is a fact, not a decision: it needs no audit entry.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where the right to do so was lost meanwhile.
    fn note_watched(
        &self,
        fence: Fence,
        watched: Watched,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes what is old enough, and tells how many rows went.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where the right to do so was lost meanwhile: nothing was deleted.
    fn prune(&self, fence: Fence, prune: Prune) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// A write: what it must know, and how it decides.
pub trait Decision: Send + Sync + 'static {
    /// Names the transaction in logs, metrics and SQL comments.
    const NAME: &'static str;
    /// What is read beforehand.
    type Facts: Send;
    /// What the caller is told.
    type Outcome: Send + 'static;

    /// What the audit log calls the act that is refused.
    fn action(&self) -> &'static str {
        Self::NAME
    }

    /// What the act is about, where that is known before it is decided.
    fn object(&self) -> Object {
        Object::Deployment
    }

    /// The right without which this may not be written; checked in the transaction that writes.
    fn fence(&self) -> Option<Fence> {
        None
    }

    /// Reads what must be known. Runs again when a race was lost.
    fn load<R: Reads + Unscoped>(
        &self,
        reads: &mut R,
    ) -> impl Future<Output = Result<Self::Facts, StoreError>> + Send;

    /// Decides. Plain: no I/O, no clock, no randomness.
    fn decide(&self, facts: Self::Facts) -> Result<Plan<Self::Outcome>, Refusal>;

    /// The audit entry that tells of a refusal, where each one is worth an entry of its own.
    fn told(&self, _refusal: &Refusal) -> Option<Entry> {
        None
    }
}

/// A machine came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceNote {
    /// Its tenant.
    pub tenant: muster_model::TenantId,
    /// Which.
    pub machine: muster_model::MachineId,
    /// When it was last heard of.
    pub last_seen: muster_model::Timestamp,
    /// Whether it holds a channel from now on.
    pub online: bool,
    /// The bundle of roots that it says it holds; where it said nothing, what it said before stands.
    pub bundle: Option<u64>,
}

/// What a server counted in a slot so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PulseNote {
    /// The tenant in which it happened.
    pub tenant: muster_model::TenantId,
    /// When the slot begins.
    pub at: muster_model::Timestamp,
    /// Who counted.
    pub replica: muster_model::ReplicaId,
    /// Who was there, where it has looked; else what it saw in this slot before stands.
    pub present: Option<muster_model::Present>,
    /// What happened by this server.
    pub counted: muster_model::Counted,
}
