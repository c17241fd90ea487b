//! What every use case that writes has in common: its context, its mark, its secrets, settling and what follows.

use muster_lifecycle::repeat::Mark;
use muster_lifecycle::{Context, Plan, Remembered, access};
use muster_model::{
    AccessToken, AccessTokenId, Entry, Operator, OperatorRole, Reason, Refusal, Secret, SecretForm, SecretId,
    SecretKind, SiteCode, TenantId, Timestamp,
};
use muster_store::{Decision, Fence, Reads, SettleError, Store, StoreError, Unscoped};

use crate::App;
use crate::caller::{Caller, Origin};
use crate::effects;
use crate::error::Error;
use crate::fork;
use crate::ports::draw;
use crate::refusals::{count, refused_because};

impl<S: Store> App<S> {
    /// Who acts, when, and the identifier of the act's audit entry.
    pub(crate) fn context(&self, origin: &Origin) -> Context {
        Context {
            tenant: self.tenant_of(&origin.caller),
            actor: origin.caller.actor(),
            source: origin.source,
            now: self.now(),
            entry: draw!(&*self.inner.ports),
        }
    }

    /// The tenant that a caller acts in.
    pub(crate) fn tenant_of(&self, caller: &Caller) -> TenantId {
        match caller {
            Caller::Operator(operator) => operator.tenant,
            Caller::Machine(machine) => machine.tenant,
            Caller::Anonymous => self.inner.tenant,
        }
    }

    /// Settles a decision and acts on what was committed. A refusal is told in the audit log: that of somebody who has
    /// shown who they are by an entry of its own, in the transaction that refused.
    ///
    /// # Errors
    /// [`Error::Stale`], [`Error::Restored`]; what was decided, or what the store says.
    pub(crate) async fn settle<D: Decision>(
        &self,
        origin: &Origin,
        decision: D,
    ) -> Result<D::Outcome, Error> {
        self.may_change()?;
        self.settle_anyway(origin, decision).await
    }

    /// The same in whatever mode: for the one act that ends a mode.
    pub(crate) async fn settle_anyway<D: Decision>(
        &self,
        origin: &Origin,
        decision: D,
    ) -> Result<D::Outcome, Error> {
        let action = decision.action();
        let known = origin.caller.is_person();
        let entry = known.then(|| self.context(origin).entry(action, decision.object(), ""));
        let by =
            origin.caller.shown().map(|(tenant, shown, role)| By { tenant, shown, role, now: self.now() });
        match self.settle_and_follow(Witnessed { decision, by, entry }).await {
            Ok(outcome) => Ok(outcome),
            Err(SettleError::Refused(refusal)) if known => {
                count(&refusal);
                self.count_refused(self.tenant_of(&origin.caller));
                Err(refusal.into())
            }
            Err(SettleError::Refused(refusal)) => Err(self.refuse(origin, action, refusal).await),
            Err(error) => Err(error.into()),
        }
    }

    /// What was committed is followed even where the caller has hung up meanwhile: in a task of its own, which nobody
    /// drops.
    pub(crate) async fn settle_and_follow<D: Decision>(
        &self,
        decision: D,
    ) -> Result<D::Outcome, SettleError> {
        let app = self.clone();
        let task = tokio::spawn(async move {
            let settled = app.inner.store.settle(decision).await;
            match &settled {
                Ok(plan) => {
                    app.inner.watch.wrote(plan.entries());
                    fork::follow(plan.entries());
                    app.count_plan(plan);
                    effects::follow(&app.inner.registry, plan.changes());
                }
                // It may have been committed: every machine that holds a channel here is looked at anew.
                Err(SettleError::Store(StoreError::Unknown { .. })) => app.inner.registry.look_again(),
                Err(_) => {}
            }
            settled
        });
        match task.await {
            Ok(settled) => settled.map(|plan| plan.into_parts().0),
            Err(ended) => Err(StoreError::Invariant { what: D::NAME, cause: Box::new(ended) }.into()),
        }
    }

    /// Tells of a refusal and gives it back.
    pub(crate) async fn refuse(&self, origin: &Origin, action: &'static str, refusal: Refusal) -> Error {
        self.tell_refusal(origin, action, &refusal).await;
        refusal.into()
    }

    /// How a request is recognised when it is repeated: a MAC over caller and idempotency key, one over what is asked.
    pub(crate) fn mark(&self, origin: &Origin, idempotency_key: Option<&str>, asked: &str) -> Option<Mark> {
        // Two tokens of one operator are two callers: neither may learn or block what the other makes.
        let caller = match &origin.caller {
            Caller::Operator(operator) => format!("{} {:?}", operator.operator, operator.token),
            Caller::Machine(_) | Caller::Anonymous => origin.caller.actor().to_string(),
        };
        let key = idempotency_key?.as_bytes();
        let pepper = &self.inner.pepper;
        Some(Mark {
            key: pepper.mac(&[b"idempotency", caller.as_bytes(), key]).0,
            request: pepper.mac(&[b"request", asked.as_bytes()]).0,
        })
    }

    /// A new secret. That of a marked request is derived from its mark, so that repeating it gives the same.
    pub(crate) fn secret(&self, kind: SecretKind, mark: Option<&Mark>) -> Secret {
        self.formed_secret(SecretForm::Native, kind, mark)
    }

    /// The same, written in this form.
    pub(crate) fn formed_secret(&self, form: SecretForm, kind: SecretKind, mark: Option<&Mark>) -> Secret {
        let Some(mark) = mark else {
            return Secret::formed(form, kind, self.inner.ports.random(), self.inner.ports.random());
        };
        self.derived_in(form, kind, &mark.key)
    }

    /// The secret that belongs to a name: the same whenever it is asked for, and kept nowhere.
    pub(crate) fn derived(&self, kind: SecretKind, name: &[u8]) -> Secret {
        self.derived_in(SecretForm::Native, kind, name)
    }

    fn derived_in(&self, form: SecretForm, kind: SecretKind, name: &[u8]) -> Secret {
        let derive = |part: &[u8]| self.inner.pepper.mac(&[b"secret", kind.word().as_bytes(), part, name]).0;
        let id = derive(b"id");
        Secret::formed(form, kind, std::array::from_fn(|i| id[i]), derive(b"bytes"))
    }

    /// The site of that code, or the only one.
    ///
    /// # Errors
    /// A wrong field, where there is no such site or a choice to make.
    pub(crate) async fn site_named(
        &self,
        tenant: TenantId,
        code: Option<&SiteCode>,
    ) -> Result<muster_model::Site, Error> {
        let mut reads = self.reader().await?;
        match code {
            Some(code) => reads
                .site_by_code(tenant, code)
                .await?
                .ok_or_else(|| Refusal::NotFound { what: "site" }.into()),
            None => reads
                .only_site(tenant)
                .await?
                .ok_or_else(|| Error::field("site", "is needed: there are several sites")),
        }
    }
}

/// What is remembered under a mark. The memory of a request goes after a while, and what it made stays, under the secret
/// that was derived from the mark: from then on the mark counts as used for something else, because deriving the same
/// secret twice would make two things of one name.
pub(crate) async fn recalled<R: Reads + Unscoped>(
    reads: &mut R,
    tenant: TenantId,
    mark: Option<&Mark>,
    derived: Option<SecretId>,
) -> Result<Option<Remembered>, StoreError> {
    let Some(mark) = mark else { return Ok(None) };
    if let Some(known) = reads.remembered(tenant, &mark.key).await? {
        return Ok(Some(known));
    }
    let Some(secret) = derived else { return Ok(None) };
    let is_taken = reads.grant_by_secret(secret).await?.is_some()
        || reads.access_by_secret(secret).await?.is_some()
        || reads.credential_by_secret(secret).await?.is_some();
    // No request has this MAC.
    let forgotten =
        || Remembered { key: mark.key, request: [0; 32], object: String::new(), at: Timestamp::UNIX_EPOCH };
    Ok(is_taken.then(forgotten))
}

/// By what an operator acts, and as what it was let in.
struct By {
    tenant: TenantId,
    shown: AccessTokenId,
    role: OperatorRole,
    now: Timestamp,
}

impl By {
    /// Whether it is worth as much still. It may have ended while the body of the request was on its way.
    fn holds(&self, shown: Option<&(AccessToken, Operator)>, action: &'static str) -> Result<(), Refusal> {
        let (token, operator) = shown.ok_or(Refusal::NotAuthenticated { cause: "secret_ended" })?;
        match access::worth(token, operator, self.now)? < self.role {
            true => Err(Refusal::Forbidden { action }),
            false => Ok(()),
        }
    }
}

/// A decision of somebody who has shown who they are: whether that counts is asked again where it is decided, and its refusal
/// is told by this entry.
struct Witnessed<D> {
    decision: D,
    by: Option<By>,
    entry: Option<Entry>,
}

impl<D: Decision> Decision for Witnessed<D> {
    const NAME: &'static str = D::NAME;
    type Facts = (D::Facts, Option<(AccessToken, Operator)>);
    type Outcome = D::Outcome;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let facts = self.decision.load(reads).await?;
        let shown = match &self.by {
            Some(by) => reads.acting_by(by.tenant, by.shown).await?,
            None => None,
        };
        Ok((facts, shown))
    }

    fn decide(&self, (facts, shown): Self::Facts) -> Result<Plan<D::Outcome>, Refusal> {
        if let Some(by) = &self.by {
            by.holds(shown.as_ref(), D::NAME)?;
        }
        self.decision.decide(facts)
    }

    fn fence(&self) -> Option<Fence> {
        self.decision.fence()
    }

    fn told(&self, refusal: &Refusal) -> Option<Entry> {
        let entry = self.entry.clone()?;
        Some(Entry { reason: Reason(refusal.code()), detail: refused_because(refusal), ..entry })
    }
}
