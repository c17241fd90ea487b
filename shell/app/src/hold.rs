//! Operators look at holds and decide them; those who wait collect the decision.

use muster_lifecycle::account::Wish;
use muster_lifecycle::enroll::Outcome;
use muster_lifecycle::hold::{self, Choice, CollectFacts, Facts};
use muster_lifecycle::{Context, Plan, Terms};
use muster_model::{
    CredentialId, GrantKind, Hold, HoldId, KeyFingerprint, MachineId, MachineState, Object, PublicKey,
    ReasonText, Refusal,
};
use muster_store::{Decision, Lists, Reads, Store, StoreError, Unscoped};
use muster_wire::enroll::EnrollAnswer;
use muster_wire::{ListQuery, Page, hold as wire};

use crate::App;
use crate::authenticate::SignedCall;
use crate::caller::{Caller, Origin};
use crate::error::Error;
use crate::mint::AtHand;
use crate::ports::draw;

impl<S: Store> App<S> {
    /// A page of holds, the newest first: those that wait, or all with `state=all`.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong filter or cursor.
    pub async fn holds(&self, query: &ListQuery, origin: &Origin) -> Result<Page<wire::Hold>, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let now = self.now();
        let open_at = match query.state.as_deref() {
            None | Some("open") => Some(now),
            Some("all") => None,
            Some(_) => return Err(Error::field("state", "is not one of open, all")),
        };
        let binding = self.binding("holds", query, origin);
        let page = binding.page(query.cursor.as_deref(), query.limit)?;
        let mut reads = self.reader().await?;
        let listed = reads.holds(tenant, open_at, page).await?;
        let mut items = Vec::with_capacity(listed.items.len());
        for hold in &listed.items {
            let site = reads.site(tenant, hold.site).await?;
            items.push(wire::Hold::new(hold, site.as_ref().map_or("", |site| site.code.as_str()), now));
        }
        Ok(Page { items, next: listed.next.map(|after| binding.seal(after)) })
    }

    /// One hold with both claimants.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn hold(&self, id: HoldId, origin: &Origin) -> Result<wire::HoldDetail, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let mut reads = self.reader().await?;
        let hold = reads.hold(tenant, id).await?.ok_or(Refusal::NotFound { what: "hold" })?;
        let site = reads.site(tenant, hold.site).await?;
        let existing = match hold.existing {
            Some(id) => reads.machine_row(tenant, id).await?,
            None => None,
        };
        let key = hold.claimant.key.as_ref().map(PublicKey::fingerprint);
        let key_is_known = match key {
            Some(key) => reads.key(tenant, key).await?.is_some(),
            None => false,
        };
        let may_return = existing.as_ref().is_some_and(|row| row.machine.state.may_return(self.now()));
        Ok(wire::HoldDetail {
            hold: wire::Hold::new(&hold, site.as_ref().map_or("", |site| site.code.as_str()), self.now()),
            existing_words: muster_wire::words(existing.as_ref().and_then(|row| row.machine.key)),
            existing_machine: existing.map(|row| self.view(row)),
            choices: hold::choices(&hold, key_is_known, may_return)
                .iter()
                .map(|choice| wire_choice(*choice))
                .collect(),
        })
    }

    /// Lets a claimant in.
    ///
    /// # Errors
    /// The refusals of [`hold::approve`].
    pub async fn approve(
        &self,
        id: HoldId,
        request: &wire::Approve,
        origin: &Origin,
    ) -> Result<wire::HoldDetail, Error> {
        let choice = request.choice.map(|choice| match choice {
            wire::Choice::Same => Choice::Same,
            wire::Choice::New => Choice::New,
        });
        let context = self.context(origin);
        let machine = draw!(&*self.inner.ports);
        let accounts = self.wishes();
        let decision = Approve { app: self.clone(), hold: id, choice, machine, accounts, context };
        self.settle(origin, decision).await?;
        self.hold(id, origin).await
    }

    /// Turns a claimant away.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::WrongState`].
    pub async fn reject(
        &self,
        id: HoldId,
        reason: Option<ReasonText>,
        origin: &Origin,
    ) -> Result<wire::HoldDetail, Error> {
        let context = self.context(origin);
        self.settle(origin, Reject { hold: id, reason, context }).await?;
        self.hold(id, origin).await
    }

    /// One who waits asks again, proving the key of the hold.
    ///
    /// Whoever names a hold without its key learns nothing of it: not even whether there is one.
    ///
    /// # Errors
    /// [`Refusal::NonceNeeded`], [`Refusal::NotFound`], [`Refusal::Rejected`], [`Refusal::Revoked`].
    pub async fn collect(
        &self,
        id: HoldId,
        call: &SignedCall<'_>,
        source: Option<std::net::IpAddr>,
    ) -> Result<EnrollAnswer, Error> {
        self.may_change()?;
        let origin = Origin { caller: Caller::Anonymous, source };
        if self.plausible(call.header).is_err() {
            return Err(self.refuse(&origin, "hold.collect", Refusal::NonceNeeded).await);
        }
        let hold = self.reader().await?.hold_anywhere(id).await?;
        let key = hold.as_ref().and_then(|hold| hold.claimant.key.as_ref());
        let proved = key.is_some_and(|key| self.verify(call, key).is_ok());
        let Some(hold) = hold.filter(|_| proved) else {
            return Err(self.refuse(&origin, "hold.collect", Refusal::NotFound { what: "hold" }).await);
        };
        let context = Context { tenant: hold.tenant, ..self.context(&origin) };
        let credential = draw!(&*self.inner.ports);
        let decision = Collect { app: self.clone(), hold: id, credential, context, terms: self.terms() };
        let outcome = self.settle(&origin, decision).await?;
        self.answer(outcome, AtHand::default(), &origin).await
    }
}

fn wire_choice(choice: Choice) -> wire::Choice {
    match choice {
        Choice::Same => wire::Choice::Same,
        Choice::New => wire::Choice::New,
    }
}

struct Approve<S> {
    app: App<S>,
    hold: HoldId,
    choice: Option<Choice>,
    machine: MachineId,
    accounts: Vec<Wish>,
    context: Context,
}

impl<S: Store> Approve<S> {
    /// What stands around a hold: its site, its grant, and the machines it touches.
    async fn around<R: Reads>(&self, reads: &mut R, hold: Hold) -> Result<Facts, StoreError> {
        let tenant = self.context.tenant;
        let mut facts = Facts { site: reads.site(tenant, hold.site).await?, ..Facts::default() };
        if let Some(grant) = hold.grant {
            facts.grant = reads.grant(tenant, grant).await?;
        }
        if let Some(GrantKind::Machine(machine)) = facts.grant.as_ref().map(|grant| grant.kind) {
            facts.pending = reads.machine(tenant, machine).await?;
        }
        if let Some(key) = hold.claimant.key.as_ref().map(PublicKey::fingerprint) {
            facts.by_key = known_by_key(&self.app, reads, &self.context, key).await?;
        }
        if let Some(existing) = hold.existing
            && let Some(machine) = reads.machine(tenant, existing).await?
        {
            facts.existing = Some(self.app.known(reads, machine, None).await?);
        }
        if let Some(id) = &hold.claimant.hardware_id {
            let machine = reads.machine_by_hardware(tenant, id).await?;
            facts.by_hardware = machine.filter(|machine| !matches!(machine.state, MachineState::Retired(_)));
        }
        facts.hold = Some(hold);
        Ok(facts)
    }
}

impl<S: Store> Decision for Approve<S> {
    const NAME: &'static str = "hold.approve";
    type Facts = Facts;
    type Outcome = Hold;

    fn object(&self) -> Object {
        Object::Hold(self.hold)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Facts, StoreError> {
        match reads.hold(self.context.tenant, self.hold).await? {
            Some(hold) => self.around(reads, hold).await,
            None => Ok(Facts::default()),
        }
    }

    fn decide(&self, facts: Facts) -> Result<Plan<Hold>, Refusal> {
        hold::approve(facts, self.choice, self.machine, &self.accounts, &self.context)
    }
}

async fn known_by_key<S: Store, R: Reads>(
    app: &App<S>,
    reads: &mut R,
    context: &Context,
    key: KeyFingerprint,
) -> Result<Option<muster_lifecycle::enroll::Known>, StoreError> {
    let Some(record) = reads.key(context.tenant, key).await? else { return Ok(None) };
    let Some(machine) = reads.machine(context.tenant, record.machine).await? else { return Ok(None) };
    app.known(reads, machine, Some(record)).await.map(Some)
}

struct Reject {
    hold: HoldId,
    reason: Option<ReasonText>,
    context: Context,
}

impl Decision for Reject {
    const NAME: &'static str = "hold.reject";
    type Facts = Option<Hold>;
    type Outcome = Hold;

    fn object(&self) -> Object {
        Object::Hold(self.hold)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Hold>, StoreError> {
        reads.hold(self.context.tenant, self.hold).await
    }

    fn decide(&self, hold: Option<Hold>) -> Result<Plan<Hold>, Refusal> {
        hold::reject(hold, self.reason.clone(), &self.context)
    }
}

struct Collect<S> {
    app: App<S>,
    hold: HoldId,
    credential: CredentialId,
    context: Context,
    terms: Terms,
}

impl<S: Store> Decision for Collect<S> {
    const NAME: &'static str = "hold.collect";
    type Facts = CollectFacts;
    type Outcome = Outcome;

    fn object(&self) -> Object {
        Object::Hold(self.hold)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<CollectFacts, StoreError> {
        let hold = reads.hold(self.context.tenant, self.hold).await?;
        let by_key = match hold.as_ref().and_then(|hold| hold.claimant.key.as_ref()) {
            Some(key) => known_by_key(&self.app, reads, &self.context, key.fingerprint()).await?,
            None => None,
        };
        Ok(CollectFacts { hold, by_key })
    }

    fn decide(&self, facts: CollectFacts) -> Result<Plan<Outcome>, Refusal> {
        hold::collect(facts, self.credential, &self.context, &self.terms)
    }
}
