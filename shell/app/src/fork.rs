//! Signs of a copied machine: the lives that agents name, and keys that come back (see [`muster_lifecycle::fork`]).
//!
//! Heard where a machine opens its channel, renews and rotates. Only the start of an agent is written, and an alarm.
//! Whatever was told of a copy is counted and logged where it was committed, whoever found it.

use muster_lifecycle::fork::{self, Boots, Evidence, Facts, Heard, Said, Watch};
use muster_lifecycle::rotate::{self, Forgotten};
use muster_lifecycle::{Context, Plan};
use muster_model::{Deployment, Entry, KeyFingerprint, Machine, MachineId, Object, Refusal, TenantId};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};

use crate::App;
use crate::caller::MachineCaller;
use crate::error::Error;
use crate::ports::draw;
use crate::rotate::facts;

/// What was told of copies in a transaction goes into the log and the figures.
pub(crate) fn follow(entries: &[Entry]) {
    for entry in entries.iter().filter(|entry| entry.action == "machine.forked") {
        let cause = entry.detail.iter().find(|(name, _)| *name == "cause");
        let cause = cause.map_or_else(String::new, |(_, cause)| cause.clone());
        tracing::warn!(machine = %entry.object, cause, "a machine may have been copied");
        metrics::counter!("muster_forks_total", "cause" => cause).increment(1);
    }
}

impl<S: Store> App<S> {
    /// What is done about a sign of a copy, should one show.
    pub(crate) fn watch(&self) -> Watch {
        Watch { on_copy: self.inner.settings.on_copy, alarm: draw!(&*self.inner.ports) }
    }

    /// A machine says which life of its agent this is; `repeated` where it counted something twice in it. Worth no refusal:
    /// what could not be written now shows again the next time.
    pub(crate) async fn hear(&self, caller: &MachineCaller, repeated: bool) {
        let Some(key) = caller.proof.key() else { return };
        let said = Said { key, boot: caller.slot.map(|slot| slot.boot), repeated };
        if let Err(error) = self.hear_said(caller, said).await {
            tracing::warn!(machine = %caller.machine, %error, "the life of an agent is noted later");
        }
    }

    async fn hear_said(&self, caller: &MachineCaller, said: Said) -> Result<(), Error> {
        let known = self.reader().await?.boots(caller.tenant, said.key).await?;
        let heard = known.map(|boots: Boots| boots.hear(said.boot, said.repeated, self.now()));
        match heard {
            Some(Heard::Known) => return Ok(()),
            None if said.boot.is_none() => return Ok(()),
            _ => {}
        }
        let (_, context) = self.by_itself(caller.tenant, caller.machine);
        self.settle_news(Hear { machine: caller.machine, said, watch: self.watch(), context }).await
    }

    /// A key was proved whose place a newer one of its machine took. Worth no more than what is said to it anyway.
    pub(crate) async fn superseded_shown(&self, tenant: TenantId, machine: MachineId, key: KeyFingerprint) {
        let (_, context) = self.by_itself(tenant, machine);
        self.told_later(ShowSuperseded { machine, key, watch: self.watch(), context }).await;
    }

    /// A certificate of ours was refused that is in no row. Worth no more than that, either.
    pub(crate) async fn forgotten_shown(&self, tenant: TenantId, machine: MachineId, forgotten: Forgotten) {
        let (_, context) = self.by_itself(tenant, machine);
        self.told_later(ShowForgotten { machine, forgotten, watch: self.watch(), context }).await;
    }

    /// What cannot be told now shows again.
    async fn told_later<D: Decision<Outcome = ()>>(&self, sign: D) {
        let machine = sign.object();
        if let Err(error) = self.settle_news(sign).await {
            tracing::warn!(%machine, %error, "that a key was shown which counts no more is told later");
        }
    }

    /// Settles a decision that has mostly nothing to write, and looks first whether it has.
    async fn settle_news<D: Decision<Outcome = ()>>(&self, decision: D) -> Result<(), Error> {
        self.may_change()?;
        let mut reads = self.reader().await?;
        let facts = decision.load(&mut reads).await?;
        drop(reads);
        if decision.decide(facts)?.is_unchanged() {
            return Ok(());
        }
        self.settle_and_follow(decision).await.map_err(Error::from)
    }
}

struct Hear {
    machine: MachineId,
    said: Said,
    watch: Watch,
    context: Context,
}

impl Decision for Hear {
    const NAME: &'static str = "machine.boot";
    type Facts = Facts;
    type Outcome = ();

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

    fn decide(&self, facts: Facts) -> Result<Plan<()>, Refusal> {
        Ok(fork::hear(facts, self.said, &self.watch, &self.context))
    }
}

struct ShowSuperseded {
    machine: MachineId,
    key: KeyFingerprint,
    watch: Watch,
    context: Context,
}

impl Decision for ShowSuperseded {
    const NAME: &'static str = "machine.forked";
    type Facts = Option<Machine>;
    type Outcome = ();

    fn object(&self) -> Object {
        Object::Machine(self.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Machine>, StoreError> {
        reads.machine(self.context.tenant, self.machine).await
    }

    fn decide(&self, machine: Option<Machine>) -> Result<Plan<()>, Refusal> {
        Ok(fork::outlived(machine, self.key, Evidence::SupersededKey, &self.watch, &self.context))
    }
}

struct ShowForgotten {
    machine: MachineId,
    forgotten: Forgotten,
    watch: Watch,
    context: Context,
}

impl Decision for ShowForgotten {
    const NAME: &'static str = "machine.forked";
    type Facts = (rotate::Facts, Option<Deployment>);
    type Outcome = ();

    fn object(&self) -> Object {
        Object::Machine(self.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let key = self.forgotten.key.fingerprint();
        let facts = facts(reads, self.context.tenant, self.machine, Some(key)).await?;
        Ok((facts, reads.deployment().await?))
    }

    fn decide(&self, (facts, deployment): Self::Facts) -> Result<Plan<()>, Refusal> {
        if !rotate::is_shut_out(&facts, &self.forgotten, deployment.as_ref()) {
            return Ok(Plan::unchanged(()));
        }
        let key = self.forgotten.key.fingerprint();
        Ok(fork::outlived(facts.machine, key, Evidence::ForgottenKey, &self.watch, &self.context))
    }
}
