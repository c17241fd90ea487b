//! A machine asks for its next certificate, looks at itself, or signs itself off.

use std::collections::BTreeMap;

use muster_lifecycle::credential::{RenewFacts, renew};
use muster_lifecycle::{Context, Plan, Terms, machine};
use muster_model::{
    Attributes, Credential, CredentialId, Hostname, KeyFingerprint, Machine, MachineId, Object, PublicKey,
    Refusal, RetireCause, TextError,
};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};
use muster_wire::enroll::Renewed;

use crate::App;
use crate::caller::{Caller, MachineCaller, Origin};
use crate::error::Error;
use crate::machine::{self as acts, MachineAct};
use crate::ports::draw;

impl<S: Store> App<S> {
    /// A new certificate for the machine's present key.
    ///
    /// # Errors
    /// The refusals of [`renew`]; [`Refusal::WrongState`] for a machine without a key.
    pub async fn renew(&self, caller: &MachineCaller, origin: &Origin) -> Result<Renewed, Error> {
        let key = caller.proof.key().ok_or(Refusal::WrongState { verb: "renew", state: "keyless" })?;
        self.hear(caller, false).await;
        let context = self.context(origin);
        let decision = Renew {
            machine: caller.machine,
            key,
            credential: draw!(&*self.inner.ports),
            context,
            terms: self.terms(),
        };
        let (machine, credential, key) = self.settle(origin, decision).await?;
        let credential = self.mint(&machine, credential, key, origin).await?;
        Ok(Renewed { credential, trust: self.trust(), server_time: self.now() })
    }

    /// The machine signs itself off.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn leave(&self, caller: &MachineCaller, origin: &Origin) -> Result<(), Error> {
        let act = MachineAct::new(self, caller.machine, origin, acts::NAME_LEAVE, |facts, context| {
            machine::retire(facts, RetireCause::Left, context)
        });
        let act = act.with_keys(self.keys_of(caller.machine, origin).await?);
        self.settle(origin, act).await.map(drop)
    }

    /// The machine tells what it says of itself by now.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what does not fit a record; [`Refusal::NotFound`].
    pub async fn describe(
        &self,
        caller: &MachineCaller,
        hostname: Option<String>,
        attributes: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let origin = Origin { caller: Caller::Machine(*caller), source: None };
        let hostname: Option<Hostname> = hostname
            .map(|name| name.parse())
            .transpose()
            .map_err(|error: TextError| Error::field("hostname", error))?;
        let attributes =
            Attributes::new(attributes).or(Err(Error::field("attributes", "do not fit a record")))?;
        let act =
            MachineAct::new(self, caller.machine, &origin, "machine.describe", move |facts, context| {
                machine::describe(facts, hostname.clone(), &attributes, context)
            });
        self.settle(&origin, act).await.map(drop)
    }

    /// The machine looks at itself.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn self_view(&self, caller: &MachineCaller) -> Result<muster_wire::machine::Machine, Error> {
        self.machine_view(caller.tenant, caller.machine).await
    }
}

struct Renew {
    machine: MachineId,
    key: KeyFingerprint,
    credential: CredentialId,
    context: Context,
    terms: Terms,
}

impl Decision for Renew {
    const NAME: &'static str = "credential.renew";
    type Facts = RenewFacts;
    type Outcome = (Machine, Credential, Option<PublicKey>);

    fn object(&self) -> Object {
        Object::Machine(self.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<RenewFacts, StoreError> {
        let tenant = self.context.tenant;
        // The key before its machine, in the order in which an enrollment reads them: where a store locks what is read,
        // no two of these wait for each other.
        let key = reads.key(tenant, self.key).await?;
        let machine = reads.machine(tenant, self.machine).await?;
        Ok(RenewFacts { machine, key, credentials: reads.open_credentials(tenant, self.machine).await? })
    }

    fn decide(&self, facts: RenewFacts) -> Result<Plan<Self::Outcome>, Refusal> {
        let key = facts.key.as_ref().map(|record| record.key.clone());
        let plan = renew(facts, self.credential, &self.context, &self.terms)?;
        Ok(plan.map(|(machine, credential)| (machine, credential, key)))
    }
}
