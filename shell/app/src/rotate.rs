//! A machine asks for a certificate for its next key, and what follows from which key it shows.
//!
//! The first use of a next key is written before anything is granted by it.

use data_encoding::HEXLOWER;
use muster_issuer::{MachineIdentity, csr, verify_signature};
use muster_lifecycle::fork::Watch;
use muster_lifecycle::rotate::{self, Facts, Forgotten, Proposal, Right, Shown};
use muster_lifecycle::{Context, Plan, Terms};
use muster_model::{
    Actor, Credential, Deployment, KeyFingerprint, KeyRecord, KeyStanding, Machine, MachineId, Object,
    Refusal, TenantId,
};
use muster_store::{Decision, Lists, Reads, Store, StoreError, Unscoped};
use muster_wire::enroll::Renewed;
use muster_wire::rotate::{RotateFields, RotateRequest, statement};

use crate::App;
use crate::caller::{Caller, MachineCaller, Origin};
use crate::error::Error;
use crate::ports::draw;

/// Credentials of a machine that are looked at to tell how often it changes its key.
const LATELY: u32 = 50;

impl<S: Store> App<S> {
    /// A certificate for the machine's next key. Safe to repeat, each time with a nonce of its own.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is not a rotation of this machine's; the refusals of [`rotate::propose`];
    /// [`Refusal::WrongState`] for a machine without a key, [`Refusal::IdentityMismatch`] for one that does not vouch by the
    /// key in its durable slot, [`Refusal::NonceNeeded`] for a request that is not signed.
    pub async fn rotate(
        &self,
        request: RotateRequest,
        caller: &MachineCaller,
        origin: &Origin,
    ) -> Result<Renewed, Error> {
        let by = caller.proof.key().ok_or(Refusal::WrongState { verb: "rotate", state: "keyless" })?;
        if caller.slot.is_some_and(|slot| slot.base != by) {
            return Err(Refusal::IdentityMismatch.into());
        }
        let fields = RotateFields::try_from(request)?;
        let key = csr::read(&fields.csr).map_err(|error| Error::field("csr", error))?;
        let stated = statement(by, &fields.rotation, &fields.csr);
        if !verify_signature(&key, &stated, &fields.signature) {
            return Err(Error::field("signature", "is not by the key of the CSR over this rotation"));
        }
        // A certificate carries no order: what it vouches for may have been asked long ago.
        let nonce = caller.nonce.ok_or(Refusal::NonceNeeded)?;
        self.hear(caller, false).await;
        let proposal = Proposal { by, key: key.clone(), nonce, credential: draw!(&*self.inner.ports) };
        let decision = Propose {
            machine: caller.machine,
            proposal,
            rotation: fields.rotation,
            context: self.context(origin),
            terms: self.terms(),
            watch: self.watch(),
            // Read beforehand: one more that comes in at the same moment does no harm.
            lately: self.reader().await?.credentials(caller.tenant, caller.machine, LATELY).await?,
        };
        let (machine, credential) = self.settle(origin, decision).await?;
        let minted = self.mint(&machine, credential, Some(key), origin).await;
        let credential = minted.map_err(of_the_next)?;
        Ok(Renewed { credential, trust: self.trust(), server_time: self.now() })
    }

    /// What a key that was proved is good for. Its first use makes a next one the present one; a base that has arrived at
    /// the present one ends the one before it.
    ///
    /// # Errors
    /// The refusals of [`rotate::used`], and what keeps a first use from being written: until then it is none.
    pub(crate) async fn right_of(
        &self,
        machine: &Machine,
        key: &KeyRecord,
        base: Option<KeyFingerprint>,
    ) -> Result<Right, Error> {
        let shown = Shown { key: key.key.fingerprint(), base };
        match key.standing {
            KeyStanding::Current if base == Some(shown.key) => {
                match self.settle_slot(machine, shown).await {
                    // Another key took its place since it was read.
                    Err(Error::Refused(refusal)) => return Err(refusal.into()),
                    // That the one before it may go is worth no refusal: it can be noted with a later request.
                    Err(error) => {
                        tracing::warn!(machine = %machine.id, %error, "the key before the present one is ended later");
                    }
                    Ok(()) => {}
                }
                Ok(Right::Everything)
            }
            KeyStanding::Proposed => self.use_key(machine, shown).await,
            KeyStanding::Previous => Ok(Right::Rotation),
            KeyStanding::Current => Ok(Right::Everything),
            KeyStanding::Superseded => Err(Refusal::Superseded.into()),
            KeyStanding::Revoked => Err(Refusal::Revoked.into()),
        }
    }

    /// Takes a verified certificate that is in no row for what it was, where a restored database has forgotten it.
    ///
    /// # Errors
    /// The refusals of [`rotate::adopt`]; [`Error::Restored`] until an operator has accepted the older database.
    pub(crate) async fn adopt(
        &self,
        der: &[u8],
        identity: &MachineIdentity,
        base: Option<KeyFingerprint>,
    ) -> Result<(), Error> {
        let forgotten = Forgotten {
            credential: identity.credential,
            der: der.to_vec(),
            key: identity.key.clone(),
            base,
            not_before: identity.not_before,
            not_after: identity.not_after,
        };
        let (origin, context) = self.by_itself(identity.tenant, identity.machine);
        let decision = Adopt { machine: identity.machine, forgotten, context };
        self.may_change()?;
        // Whoever is refused is told so, and noted, where everybody is who shows something that does not hold.
        if let Err(error) = self.rehearse(&decision).await {
            self.forgotten_shown(identity.tenant, identity.machine, decision.forgotten).await;
            return Err(error);
        }
        self.settle(&origin, decision).await.map(drop)
    }

    async fn settle_slot(&self, machine: &Machine, shown: Shown) -> Result<(), Error> {
        let keys = self.reader().await?.keys_of_machine(machine.tenant, machine.id).await?;
        if keys.iter().any(|record| record.standing == KeyStanding::Previous) {
            self.use_key(machine, shown).await?;
        }
        Ok(())
    }

    async fn use_key(&self, machine: &Machine, shown: Shown) -> Result<Right, Error> {
        let (origin, context) = self.by_itself(machine.tenant, machine.id);
        let (_, right) =
            self.settle(&origin, UseKey { machine: machine.id, shown, watch: self.watch(), context }).await?;
        Ok(right)
    }

    /// A machine that has proved a key and is not a caller yet.
    pub(crate) fn by_itself(&self, tenant: TenantId, machine: MachineId) -> (Origin, Context) {
        let origin = Origin { caller: Caller::Anonymous, source: None };
        let context = Context { tenant, actor: Actor::Machine(machine), ..self.context(&origin) };
        (origin, context)
    }
}

/// Everything that decides about the keys of a machine. The machine comes first: where a store locks what is read, its
/// lock covers its keys.
pub(crate) async fn facts<R: Reads + Unscoped>(
    reads: &mut R,
    tenant: TenantId,
    machine: MachineId,
    proposed: Option<KeyFingerprint>,
) -> Result<Facts, StoreError> {
    // A key before machines, in the order in which an enrollment reads them.
    let proposed = match proposed {
        Some(key) => reads.key(tenant, key).await?,
        None => None,
    };
    Ok(Facts {
        proposed,
        used: None,
        machine: reads.machine(tenant, machine).await?,
        keys: reads.keys_of_machine(tenant, machine).await?,
        credentials: reads.open_credentials(tenant, machine).await?,
        ..Facts::default()
    })
}

/// The same, with what a copy of the machine shows by.
async fn with_signs<R: Reads + Unscoped>(
    facts: Facts,
    reads: &mut R,
    tenant: TenantId,
) -> Result<Facts, StoreError> {
    let Some(machine) = &facts.machine else { return Ok(facts) };
    let accounts = reads.accounts_of_machine(tenant, machine.id).await?;
    let boots = match machine.key {
        Some(key) => reads.boots(tenant, key).await?,
        None => None,
    };
    Ok(Facts { accounts, boots, ..facts })
}

/// What is said of a next key whose place another one took before it was certified. Whoever vouched would believe it of its
/// own key, and that one it asks about by its next request.
fn of_the_next(error: Error) -> Error {
    match error {
        Error::Refused(Refusal::Revoked | Refusal::Superseded) => Refusal::KeyTaken.into(),
        error => error,
    }
}

struct Propose {
    machine: MachineId,
    proposal: Proposal,
    rotation: [u8; 16],
    context: Context,
    terms: Terms,
    watch: Watch,
    lately: Vec<Credential>,
}

impl Decision for Propose {
    const NAME: &'static str = "key.propose";
    type Facts = Facts;
    type Outcome = (Machine, Credential);

    fn object(&self) -> Object {
        Object::Machine(self.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Facts, StoreError> {
        let tenant = self.context.tenant;
        let used = reads.used_nonces(tenant, self.proposal.by).await?;
        let facts = facts(reads, tenant, self.machine, Some(self.proposal.key.fingerprint())).await?;
        let facts = with_signs(facts, reads, tenant).await?;
        Ok(Facts { used, lately: self.lately.clone(), deployment: reads.deployment().await?, ..facts })
    }

    fn decide(&self, facts: Facts) -> Result<Plan<Self::Outcome>, Refusal> {
        let plan = rotate::propose(facts, &self.proposal, &self.context, &self.terms, &self.watch)?;
        Ok(plan.saying("rotation", HEXLOWER.encode(&self.rotation)))
    }
}

struct UseKey {
    machine: MachineId,
    shown: Shown,
    watch: Watch,
    context: Context,
}

impl Decision for UseKey {
    const NAME: &'static str = "key.use";
    type Facts = Facts;
    type Outcome = (Machine, Right);

    fn object(&self) -> Object {
        Object::Machine(self.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Facts, StoreError> {
        let tenant = self.context.tenant;
        let facts = facts(reads, tenant, self.machine, None).await?;
        let facts = with_signs(facts, reads, tenant).await?;
        Ok(Facts { deployment: reads.deployment().await?, ..facts })
    }

    fn decide(&self, facts: Facts) -> Result<Plan<Self::Outcome>, Refusal> {
        rotate::used(facts, self.shown, &self.watch, &self.context)
    }
}

struct Adopt {
    machine: MachineId,
    forgotten: Forgotten,
    context: Context,
}

impl Decision for Adopt {
    const NAME: &'static str = "key.adopt";
    type Facts = (Facts, Option<Deployment>);
    type Outcome = Machine;

    fn object(&self) -> Object {
        Object::Machine(self.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let key = self.forgotten.key.fingerprint();
        let facts = facts(reads, self.context.tenant, self.machine, Some(key)).await?;
        Ok((facts, reads.deployment().await?))
    }

    fn decide(&self, (facts, deployment): Self::Facts) -> Result<Plan<Machine>, Refusal> {
        rotate::adopt(facts, &self.forgotten, deployment.as_ref(), &self.context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_14_what_became_of_a_next_key_is_never_said_of_the_key_that_vouched_for_it() {
        for end in [Refusal::Revoked, Refusal::Superseded] {
            assert!(matches!(of_the_next(end.into()), Error::Refused(Refusal::KeyTaken)));
        }
        let other = of_the_next(Refusal::UnknownMachine.into());
        assert!(matches!(other, Error::Refused(Refusal::UnknownMachine)));
    }
}
