//! Operators have machines do something: get the next certificate, make the next key.

use muster_lifecycle::machine::Facts;
use muster_lifecycle::repeat::{self, Mark};
use muster_lifecycle::{Context, Plan, Remembered, order};
use muster_model::{Machine, MachineId, Object, Refusal};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};
use muster_wire::machine as wire;

use crate::App;
use crate::act::recalled;
use crate::caller::Origin;
use crate::error::Error;
use crate::machine::MachineAct;

type Ordered = fn(Facts, &Context) -> Result<Plan<Machine>, Refusal>;

impl<S: Store> App<S> {
    /// Tells a machine to get its next certificate now, whichever server holds its channel. One that holds none hears
    /// nothing of it: it renews by itself in time.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::WrongState`], [`Refusal::IdempotencyMismatch`].
    pub async fn order_renewal(
        &self,
        id: MachineId,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<wire::Machine, Error> {
        self.have(id, idempotency_key, ("machine.renew", order::renewal), origin).await
    }

    /// Tells a machine to make its next key now, whichever server holds its channel. One that holds none is told when it
    /// opens the next one.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::WrongState`], [`Refusal::IdempotencyMismatch`].
    pub async fn order_rotation(
        &self,
        id: MachineId,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<wire::Machine, Error> {
        self.have(id, idempotency_key, ("machine.rotate", order::rotation), origin).await
    }

    async fn have(
        &self,
        id: MachineId,
        idempotency_key: Option<&str>,
        (action, decide): (&'static str, Ordered),
        origin: &Origin,
    ) -> Result<wire::Machine, Error> {
        let mark = self.mark(origin, idempotency_key, &format!("{action} {id}"));
        let act = MachineAct::new(self, id, origin, action, decide);
        let machine = self.settle(origin, Repeatable { act, mark }).await?;
        self.machine_view(machine.tenant, machine.id).await
    }
}

/// An act that does something anew each time, unless it is recognised as a repetition.
struct Repeatable {
    act: MachineAct<Ordered>,
    mark: Option<Mark>,
}

impl Decision for Repeatable {
    const NAME: &'static str = "machine.act";
    type Facts = (Option<Remembered>, Facts);
    type Outcome = Machine;

    fn action(&self) -> &'static str {
        self.act.action()
    }

    fn object(&self) -> Object {
        self.act.object()
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let remembered = recalled(reads, self.act.context.tenant, self.mark.as_ref(), None).await?;
        Ok((remembered, self.act.load(reads).await?))
    }

    fn decide(&self, (remembered, facts): Self::Facts) -> Result<Plan<Machine>, Refusal> {
        if repeat::earlier(self.mark.as_ref(), remembered.as_ref())?.is_some() {
            return facts.machine.map(Plan::unchanged).ok_or(Refusal::NotFound { what: "machine" });
        }
        let plan = self.act.decide(facts)?;
        let object = self.act.machine.to_string();
        Ok(repeat::remember(plan, self.mark.as_ref(), object, &self.act.context))
    }
}
