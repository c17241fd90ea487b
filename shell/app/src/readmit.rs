//! An operator permits that the hardware of a retired machine comes back as it, once.

use muster_lifecycle::{Context, Plan, readmit};
use muster_model::{Machine, MachineId, Object, ReasonText, Refusal, SignedDuration, Timestamp};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};
use muster_wire::ending as wire;
use muster_wire::machine::Machine as Shown;

use crate::App;
use crate::caller::Origin;
use crate::error::Error;

impl<S: Store> App<S> {
    /// Permits that the hardware of a retired machine comes back as it, once and for a while.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong span; [`Refusal::NotFound`], [`Refusal::WrongState`].
    pub async fn readmit(
        &self,
        id: MachineId,
        request: wire::Readmit,
        origin: &Origin,
    ) -> Result<Shown, Error> {
        let (expires_in, said): (u32, Option<ReasonText>) = request.try_into()?;
        let context = self.context(origin);
        let until = context.now + SignedDuration::from_secs(i64::from(expires_in));
        let machine = self.settle(origin, Permit { machine: id, until, said, context }).await?;
        self.machine_view(machine.tenant, machine.id).await
    }
}

struct Permit {
    machine: MachineId,
    until: Timestamp,
    said: Option<ReasonText>,
    context: Context,
}

impl Decision for Permit {
    const NAME: &'static str = "machine.readmit";
    type Facts = (Option<Machine>, Option<Machine>);
    type Outcome = Machine;

    fn object(&self) -> Object {
        Object::Machine(self.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let machine = reads.machine(tenant, self.machine).await?;
        let of_its_hardware = match machine.as_ref().and_then(|machine| machine.hardware_id.as_ref()) {
            Some(id) => reads.machine_by_hardware(tenant, id).await?,
            None => None,
        };
        Ok((machine, of_its_hardware))
    }

    fn decide(&self, (machine, of_its_hardware): Self::Facts) -> Result<Plan<Machine>, Refusal> {
        readmit::permit(machine, of_its_hardware.as_ref(), self.until, self.said.clone(), &self.context)
    }
}
