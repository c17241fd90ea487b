//! The decisions of the reaper: each machine that is taken, each that comes back, each stop.

use muster_lifecycle::machine::Facts;
use muster_lifecycle::reap::{self, Due, Patience, Stop, Traces, Watched};
use muster_lifecycle::{Context, Plan};
use muster_model::{Machine, MachineId, Object, ReasonText, Refusal, TenantId};
use muster_store::{Decision, Fence, Reads, StoreError, Unscoped};

/// Takes one machine, where it is due still.
pub(super) struct Take {
    pub(super) fence: Fence,
    pub(super) machine: MachineId,
    pub(super) patience: Patience,
    pub(super) stretches: Box<[Watched]>,
    pub(super) context: Context,
}

impl Decision for Take {
    const NAME: &'static str = "machine.reap";
    type Facts = (Facts, Traces);
    type Outcome = Option<Due>;

    fn object(&self) -> Object {
        Object::Machine(self.machine)
    }

    fn fence(&self) -> Option<Fence> {
        Some(self.fence)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let facts = facts(reads, tenant, self.machine).await?;
        let presence = reads.presence(tenant, self.machine).await?;
        let credentials = reads.open_credentials(tenant, self.machine).await?;
        let issued = credentials.iter().map(|credential| credential.not_before).max();
        Ok((facts, Traces { presence, issued }))
    }

    fn decide(&self, (facts, traces): Self::Facts) -> Result<Plan<Option<Due>>, Refusal> {
        reap::reap(facts, traces, self.patience, &self.stretches, &self.context)
    }
}

/// Stops the reaper for a tenant, or lets it go on. Tells whether that is news.
pub(super) struct Halt {
    pub(super) fence: Fence,
    /// How many are due, out of so many.
    pub(super) stop: Option<(u64, u64)>,
    pub(super) context: Context,
}

impl Decision for Halt {
    const NAME: &'static str = "reaper.stop";
    type Facts = Option<Stop>;
    type Outcome = bool;

    fn fence(&self) -> Option<Fence> {
        Some(self.fence)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        reads.reaper_stop(self.context.tenant).await
    }

    fn decide(&self, present: Self::Facts) -> Result<Plan<bool>, Refusal> {
        Ok(match self.stop {
            Some((due, fleet)) => reap::stop(present, due, fleet, &self.context),
            None => reap::go(present, &self.context),
        })
    }
}

/// How a machine comes back.
pub(super) enum Way {
    Heard,
    Restored(Option<ReasonText>),
}

/// A machine comes back.
pub(super) struct Back {
    pub(super) machine: MachineId,
    pub(super) way: Way,
    pub(super) context: Context,
}

impl Decision for Back {
    const NAME: &'static str = "machine.back";
    type Facts = (Facts, Option<Machine>);
    type Outcome = Machine;

    fn action(&self) -> &'static str {
        match self.way {
            Way::Heard => "machine.resume",
            Way::Restored(_) => "machine.restore",
        }
    }

    fn object(&self) -> Object {
        Object::Machine(self.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let facts = facts(reads, tenant, self.machine).await?;
        // Whoever is heard of stands in nobody's way, and another row would be locked after its own for nothing.
        let hardware = match self.way {
            Way::Heard => None,
            Way::Restored(_) => facts.machine.as_ref().and_then(|machine| machine.hardware_id.as_ref()),
        };
        let of_its_hardware = match hardware {
            Some(id) => reads.machine_by_hardware(tenant, id).await?,
            None => None,
        };
        Ok((facts, of_its_hardware))
    }

    fn decide(&self, (facts, of_its_hardware): Self::Facts) -> Result<Plan<Machine>, Refusal> {
        match &self.way {
            Way::Heard => reap::heard(facts, &self.context),
            Way::Restored(said) => {
                reap::restore(facts, of_its_hardware.as_ref(), said.clone(), &self.context)
            }
        }
    }
}

/// What follows a machine that is taken or comes back.
async fn facts<R: Reads>(reads: &mut R, tenant: TenantId, machine: MachineId) -> Result<Facts, StoreError> {
    Ok(Facts {
        machine: reads.machine(tenant, machine).await?,
        agent: reads.software_agent(tenant, machine).await?,
        accounts: reads.accounts_of_machine(tenant, machine).await?,
        ..Facts::default()
    })
}
