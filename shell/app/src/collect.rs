//! Collecting without a key: by the secret that the client drew for itself, of which it gave the hash when it asked.
//!
//! The bearer key is derived from the hold, so that a lost answer is repaired by asking again, for as long as the right
//! to collect lasts.

use muster_lifecycle::enroll::Outcome;
use muster_lifecycle::hold::{KeylessFacts, Shown, collect_keyless};
use muster_lifecycle::{Context, Plan, Terms};
use muster_model::{CredentialKind, Hold, HoldId, HoldState, Object, Refusal, Secret, SecretKind};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};
use muster_wire::enroll::EnrollAnswer;

use crate::App;
use crate::caller::{Caller, Origin};
use crate::error::Error;
use crate::mint::AtHand;
use crate::mode::Mode;
use crate::ports::draw;

const ACTION: &str = "hold.collect";

impl<S: Store> App<S> {
    /// One who waits asks again, showing the secret whose hash it gave.
    ///
    /// Whoever names a hold without its secret learns nothing of it: not even whether there is one.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for an unknown hold, another secret, and whatever cannot be collected any more;
    /// [`Refusal::Rejected`]; [`Error::Restored`] where an older database may not know it.
    pub async fn collect_by_secret(
        &self,
        id: HoldId,
        secret: &str,
        source: Option<std::net::IpAddr>,
    ) -> Result<EnrollAnswer, Error> {
        self.may_change()?;
        let origin = Origin { caller: Caller::Anonymous, source };
        let verifier = self.inner.pepper.verifier_of(secret);
        let hold = self.reader().await?.hold_anywhere(id).await?;
        let Some(hold) = hold.filter(|hold| hold.claimant.verifier == Some(verifier)) else {
            return Err(self.no_such_hold(&origin).await);
        };
        let context = Context { tenant: hold.tenant, ..self.context(&origin) };
        let bearer = self.bearer_of(&hold);
        let decision = CollectKeyless {
            hold: id,
            shown: Shown { verifier, bearer: self.kept(&bearer), credential: draw!(&*self.inner.ports) },
            bearer,
            context,
            terms: self.terms(),
        };
        let bearer = decision.bearer.clone();
        let outcome = self.settle(&origin, decision).await?;
        self.answer(outcome, AtHand { secret: Some(bearer), ..AtHand::default() }, &origin).await
    }

    /// A client believes this and starts over, so there is another look first: the database may have been put back to a
    /// day before it asked.
    async fn no_such_hold(&self, origin: &Origin) -> Error {
        match self.look_again().await {
            Ok(Mode::Restored) => Error::Restored,
            Ok(Mode::Normal | Mode::Stale) => {
                self.refuse(origin, ACTION, Refusal::NotFound { what: "hold" }).await
            }
            Err(error) => error.into(),
        }
    }

    /// The bearer key that belongs to a hold.
    fn bearer_of(&self, hold: &Hold) -> Secret {
        self.derived(SecretKind::Bearer, hold.id.as_bytes())
    }

    fn kept(&self, bearer: &Secret) -> CredentialKind {
        CredentialKind::Bearer { secret: bearer.id(), hash: self.inner.pepper.hash(bearer) }
    }
}

struct CollectKeyless {
    hold: HoldId,
    shown: Shown,
    bearer: Secret,
    context: Context,
    terms: Terms,
}

impl Decision for CollectKeyless {
    const NAME: &'static str = ACTION;
    type Facts = KeylessFacts;
    type Outcome = Outcome;

    fn object(&self) -> Object {
        Object::Hold(self.hold)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<KeylessFacts, StoreError> {
        let hold = reads.hold(self.context.tenant, self.hold).await?;
        let mut facts = KeylessFacts::default();
        if let Some(HoldState::Approved { machine, .. }) = hold.as_ref().map(|hold| &hold.state) {
            facts.machine = reads.machine(self.context.tenant, *machine).await?;
            facts.given = reads.credential_by_secret(self.bearer.id()).await?;
        }
        Ok(KeylessFacts { hold, ..facts })
    }

    fn decide(&self, facts: KeylessFacts) -> Result<Plan<Outcome>, Refusal> {
        collect_keyless(facts, self.shown.clone(), &self.context, &self.terms)
    }
}
