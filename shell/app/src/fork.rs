//! Agents name the life they are in; where two of them hold one key, that shows (see [`muster_lifecycle::fork`]).
//!
//! Heard where a machine opens its channel, renews and rotates. Only the start of an agent is written, and an alarm.

use muster_lifecycle::fork::{self, Boots, Evidence, Facts, Heard, OnCopy, Said};
use muster_lifecycle::{Context, Plan};
use muster_model::{MachineId, Object, Refusal};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};

use crate::App;
use crate::caller::MachineCaller;
use crate::error::Error;

impl<S: Store> App<S> {
    /// A machine says which life of its agent this is; `repeated` where it counted something twice in it. Worth no refusal:
    /// what could not be written now shows again the next time.
    pub(crate) async fn hear(&self, caller: &MachineCaller, repeated: bool) {
        let (Some(key), Some(slot)) = (caller.proof.key(), caller.slot) else { return };
        let said = Said { key, boot: slot.boot, repeated };
        match self.hear_said(caller, said).await {
            Ok(None) => {}
            Ok(Some(evidence)) => {
                let cause = evidence.as_str();
                tracing::warn!(machine = %caller.machine, %key, cause, "two hold the key of one machine");
                metrics::counter!("muster_forks_total", "cause" => cause).increment(1);
            }
            Err(error) => {
                tracing::warn!(machine = %caller.machine, %error, "the life of an agent is noted later");
            }
        }
    }

    async fn hear_said(&self, caller: &MachineCaller, said: Said) -> Result<Option<Evidence>, Error> {
        let known = self.reader().await?.boots(caller.tenant, said.key).await?;
        let heard = known.map(|boots: Boots| boots.hear(said.boot, said.repeated, self.now()));
        if heard == Some(Heard::Known) {
            return Ok(None);
        }
        let (origin, context) = self.by_itself(caller.tenant, caller.machine);
        let policy = self.inner.settings.on_copy;
        self.settle(&origin, Hear { machine: caller.machine, said, policy, context }).await
    }
}

struct Hear {
    machine: MachineId,
    said: Said,
    policy: OnCopy,
    context: Context,
}

impl Decision for Hear {
    const NAME: &'static str = "machine.boot";
    type Facts = Facts;
    type Outcome = Option<Evidence>;

    fn object(&self) -> Object {
        Object::Machine(self.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Facts, StoreError> {
        let tenant = self.context.tenant;
        Ok(Facts {
            machine: reads.machine(tenant, self.machine).await?,
            accounts: reads.accounts_of_machine(tenant, self.machine).await?,
            boots: reads.boots(tenant, self.said.key).await?,
        })
    }

    fn decide(&self, facts: Facts) -> Result<Plan<Option<Evidence>>, Refusal> {
        Ok(fork::hear(facts, self.said, self.policy, &self.context))
    }
}
