//! Decisions small enough to see what they should do.

use muster_lifecycle::{Change, GrantChange, MachineChange, Plan};
use muster_model::{
    Entry, Grant, GrantId, HardwareId, KeyFingerprint, Machine, Refusal, TenantId, Timestamp,
};

use super::things::Things;
use crate::{Decision, Reads, SettleError, Store, StoreError, Unscoped};

/// Writes what it is told to.
pub(super) struct Write {
    pub(super) changes: Vec<Change>,
    pub(super) entries: Vec<Entry>,
}

impl Decision for Write {
    const NAME: &'static str = "test.write";
    type Facts = ();
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        let mut entries = self.entries.iter().cloned();
        let Some(first) = entries.next() else { return Ok(Plan::unchanged(())) };
        let plan = Plan::new((), self.changes.clone(), first);
        Ok(entries.fold(plan, Plan::also_told_by))
    }
}

/// Refuses, and tells of it where it has something to tell.
pub(super) struct Refuse {
    pub(super) told: Option<Entry>,
}

impl Decision for Refuse {
    const NAME: &'static str = "test.refuse";
    type Facts = ();
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        Err(Refusal::UnknownMachine)
    }

    fn told(&self, _: &Refusal) -> Option<Entry> {
        self.told.clone()
    }
}

/// Draws on a grant, if it still admits anybody.
pub(super) struct Spend {
    pub(super) tenant: TenantId,
    pub(super) grant: GrantId,
    pub(super) key: KeyFingerprint,
    pub(super) now: Timestamp,
    pub(super) entry: Entry,
}

impl Decision for Spend {
    const NAME: &'static str = "test.spend";
    type Facts = Option<Grant>;
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Grant>, StoreError> {
        reads.grant(self.tenant, self.grant).await
    }

    fn decide(&self, grant: Option<Grant>) -> Result<Plan<()>, Refusal> {
        let grant = grant.filter(|grant| grant.admits(self.now));
        let uses = grant.and_then(|grant| grant.drawn(Some(self.key), self.now));
        let uses = uses.ok_or(Refusal::NotEntitled { cause: "spent" })?;
        let change = GrantChange::Draw { grant: self.grant, uses };
        Ok(Plan::new((), vec![change.into()], self.entry.clone()))
    }
}

/// Makes a machine, unless there is one of its hardware.
pub(super) struct Arrive {
    pub(super) machine: Machine,
    pub(super) hardware: HardwareId,
    pub(super) entry: Entry,
}

impl Decision for Arrive {
    const NAME: &'static str = "test.arrive";
    type Facts = Option<Machine>;
    type Outcome = Machine;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Machine>, StoreError> {
        reads.machine_by_hardware(self.machine.tenant, &self.hardware).await
    }

    fn decide(&self, known: Option<Machine>) -> Result<Plan<Machine>, Refusal> {
        if let Some(known) = known {
            return Ok(Plan::unchanged(known));
        }
        let change = MachineChange::Create(self.machine.clone());
        Ok(Plan::new(self.machine.clone(), vec![change.into()], self.entry.clone()))
    }
}

/// Panics.
pub(super) struct Panic;

impl Decision for Panic {
    const NAME: &'static str = "test.panic";
    type Facts = ();
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        panic!("this decision panics on purpose")
    }
}

/// Writes changes that must succeed.
pub(super) async fn write<S: Store>(store: &S, things: &Things, changes: Vec<Change>) {
    let entries = vec![things.entry()];
    store.settle(Write { changes, entries }).await.expect("a plan that fits the schema");
}

/// Writes changes that must fail as a mistake of ours.
pub(super) async fn write_wrong<S: Store>(store: &S, things: &Things, changes: Vec<Change>) {
    let entries = vec![things.entry()];
    let settled = store.settle(Write { changes, entries }).await;
    assert!(matches!(settled, Err(SettleError::Store(StoreError::Invariant { .. }))), "{settled:?}");
}
