//! An operator accepts a database that was put back to an older day.

use muster_lifecycle::repeat::{self, Mark as Repeat};
use muster_lifecycle::{Context, Plan, Remembered, deployment};
use muster_model::{Deployment, IncarnationId, Refusal};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};
use muster_wire::replica as wire;

use crate::App;
use crate::act::recalled;
use crate::caller::Origin;
use crate::error::Error;
use crate::mode::{Lost, Mode};
use crate::ports::draw;

impl<S: Store> App<S> {
    /// Goes on from what the database knows. Other servers go on at their next look.
    ///
    /// # Errors
    /// [`Refusal::WrongState`] where there is nothing to accept, or the database is one of another deployment;
    /// [`Refusal::IdempotencyMismatch`].
    pub async fn accept_restore(
        &self,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<wire::RestoreAccepted, Error> {
        self.fresh()?;
        let decision = AcceptRestore {
            new: draw!(&*self.inner.ports),
            lost: self.inner.watch.lost(),
            mode: self.mode(),
            repeat: self.mark(origin, idempotency_key, "restore.accept"),
            context: self.context(origin),
        };
        // The one write that a database put back to an older day takes.
        let accepted = self.settle_anyway(origin, decision).await?;
        self.inner.watch.accepted(accepted.incarnation);
        Ok(wire::RestoreAccepted {
            incarnation: accepted.incarnation.to_string(),
            seen: accepted.seen,
            found: accepted.found,
        })
    }
}

struct AcceptRestore {
    new: IncarnationId,
    lost: Option<Lost>,
    mode: Mode,
    repeat: Option<Repeat>,
    context: Context,
}

#[derive(Clone, Copy)]
struct Accepted {
    incarnation: IncarnationId,
    seen: u64,
    found: u64,
}

impl Accepted {
    /// As it is remembered, so that a repetition is answered alike.
    fn text(&self) -> String {
        format!("{} {} {}", self.incarnation, self.seen, self.found)
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let incarnation = words.next()?.parse().ok()?;
        let mut number = || words.next()?.parse().ok();
        Some(Self { incarnation, seen: number()?, found: number()? })
    }
}

impl Decision for AcceptRestore {
    const NAME: &'static str = "restore.accept";
    type Facts = (Option<Remembered>, Option<Deployment>);
    type Outcome = Accepted;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let remembered = recalled(reads, self.context.tenant, self.repeat.as_ref(), None).await?;
        Ok((remembered, reads.deployment().await?))
    }

    fn decide(&self, (remembered, present): Self::Facts) -> Result<Plan<Accepted>, Refusal> {
        let nothing = Refusal::WrongState { verb: "restore.accept", state: self.mode.as_str() };
        if let Some(earlier) = repeat::earlier(self.repeat.as_ref(), remembered.as_ref())? {
            return Accepted::read(earlier).map(Plan::unchanged).ok_or(nothing);
        }
        let Lost { mark, gap } = self.lost.ok_or(nothing)?;
        if present.as_ref().is_some_and(|there| there.id != mark.deployment) {
            return Err(Refusal::WrongState { verb: "restore.accept", state: "another deployment" });
        }
        let plan = deployment::accept_restore(self.new, &gap, present.as_ref(), &self.context)?;
        let plan = plan.map(|incarnation| Accepted { incarnation, seen: gap.seen, found: gap.found });
        let text = plan.outcome().text();
        Ok(repeat::remember(plan, self.repeat.as_ref(), text, &self.context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_accepted_is_remembered_whole() {
        let accepted = Accepted { incarnation: IncarnationId::new(1, [1; 10]), seen: 150, found: 120 };
        let back = Accepted::read(&accepted.text()).expect("its own text");
        assert_eq!((back.incarnation, back.seen, back.found), (accepted.incarnation, 150, 120));
        assert!(Accepted::read("mch_1 150 120").is_none());
    }
}
