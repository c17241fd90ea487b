//! Changing the certificate authority, and following what another server did of it.
//!
//! Where it stands is a row. Each server holds the authority as of the newest row that it has seen, in the database or in
//! its own directory: a database that was put back does not bring back an authority that machines have given up.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError, RwLock};

use muster_issuer::Authority;
use muster_lifecycle::ca::{self, Fleet, Step};
use muster_lifecycle::repeat::{self, Mark};
use muster_lifecycle::{Context, MachineOrder, Plan, Remembered};
use muster_model::{Actor, Ca, CaPhase, Machine, MachineId, Refusal, TenantId};
use muster_store::{Behind, Decision, Lists, Reads, SettleError, Store, StoreError, Unscoped};
use muster_wire::ca as wire;
use tokio::sync::watch;

use crate::App;
use crate::act::recalled;
use crate::caller::Origin;
use crate::effects;
use crate::error::Error;
use crate::mode::Mode;
use crate::ports::draw;

/// Machines that are listed as not ready.
const LISTED: u32 = 50;
/// Machines that are told to change their key at a time.
const URGED: usize = 20;

/// The authority as of the newest step that this server has seen.
pub(crate) struct Present {
    authority: RwLock<Arc<Authority>>,
    revision: watch::Sender<u64>,
}

impl Present {
    pub(crate) fn new(authority: Authority) -> Self {
        let revision = watch::Sender::new(authority.ca().revision);
        Self { authority: RwLock::new(Arc::new(authority)), revision }
    }

    pub(crate) fn load(&self) -> Arc<Authority> {
        // One value takes the place of another as a whole.
        Arc::clone(&self.authority.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a newer one. Two that come at once come in the order of their steps.
    fn store(&self, next: Authority) -> bool {
        let mut present = self.authority.write().unwrap_or_else(PoisonError::into_inner);
        if next.ca().revision <= present.ca().revision {
            return false;
        }
        let revision = next.ca().revision;
        *present = Arc::new(next);
        drop(present);
        self.revision.send_replace(revision);
        true
    }
}

impl<S: Store> App<S> {
    /// Where the change of the authority stands, and which machines are not ready for what comes next.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn ca_status(&self, origin: &Origin) -> Result<wire::CaStatus, Error> {
        let authority = self.authority();
        let present = authority.ca().clone();
        let behind = self.behind(&present);
        let mut reads = self.reader().await?;
        let holders = reads.bundle_holders().await?;
        let count = reads.behind(behind).await?;
        let listed = reads.machines_behind(self.tenant_of(&origin.caller), behind, LISTED).await?;
        let not_rotated = match present.rotate_before {
            Some(at) => Some(reads.not_rotated_since(at).await?),
            None => None,
        };
        drop(reads);
        let all = Fleet { behind: count, even_so: Some(count) };
        let follows = |step: &Step| ca::next(&present, *step, all, self.now()).is_ok();
        let next = Step::ALL.into_iter().filter(follows).map(|step| step.as_str().to_owned()).collect();
        let holder = |(bundle, machines)| wire::BundleHolders { bundle, machines };
        let shown = |machine: muster_store::BehindMachine| wire::MachineBehind {
            id: machine.machine.to_string(),
            name: machine.name.to_string(),
            bundle: machine.bundle,
        };
        Ok(wire::CaStatus {
            phase: present.phase.as_str().to_owned(),
            revision: present.revision,
            since: (present.revision > 0).then_some(present.since),
            bundle: present.bundle,
            pin: authority.pin(),
            pins: authority.pins(),
            expires: authority.issuing_not_after(),
            machines: holders.iter().map(|(_, machines)| machines).sum(),
            holders: holders.into_iter().map(holder).collect(),
            behind: count,
            machines_behind: listed.into_iter().map(shown).collect(),
            not_rotated,
            next,
        })
    }

    /// Takes a step. Other servers follow within seconds.
    ///
    /// # Errors
    /// The refusals of [`ca::next`] and [`ca::take`]; [`Refusal::IdempotencyMismatch`]; [`Error::Authority`] where keys could
    /// not be made or sealed.
    pub async fn change_ca(
        &self,
        step: Step,
        request: wire::ChangeCa,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<wire::CaStatus, Error> {
        self.may_change()?;
        self.follow_ca().await?;
        let repeat = self.mark(origin, idempotency_key, &format!("{} {:?}", step.action(), request.even_so));
        let context = self.context(origin);
        let decision = match self.worked_out(step, &request, &context).await {
            Ok((next, fleet)) => Take { step, outcome: Ok((next, fleet)), repeat, context },
            Err(Error::Refused(refusal)) => Take { step, outcome: Err(refusal), repeat, context },
            Err(error) => return Err(error),
        };
        let taken = self.settle(origin, decision).await?;
        self.take_ca(&taken)?;
        self.ca_status(origin).await
    }

    /// Where it stands after a step, with keys made and sealed, outside of any transaction.
    async fn worked_out(
        &self,
        step: Step,
        request: &wire::ChangeCa,
        context: &Context,
    ) -> Result<(Ca, Fleet), Error> {
        let authority = self.authority();
        let present = authority.ca();
        let behind = self.reader().await?.behind(self.behind(present)).await?;
        let fleet = Fleet { behind, even_so: request.even_so };
        let mut next = ca::next(present, step, fleet, context.now)?;
        next.sealed = authority.sealed_for(&next)?;
        Ok((next, fleet))
    }

    /// Who is not ready. Before an activation: who does not hold the roots; before a removal also, whose certificates are
    /// by the one that is to go.
    fn behind(&self, present: &Ca) -> Behind {
        let certified_since = present.signs_since.filter(|_| present.is_active());
        Behind { bundle: present.bundle, certified_since, now: self.now() }
    }

    /// Takes over what another server did of it, and writes down again what a restored database has forgotten. Called
    /// every few seconds, and before the first answer.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Authority`] for a row that this server's keys do not open: the authority stays as it was.
    pub async fn follow_ca(&self) -> Result<(), Error> {
        // Asked of the store itself: who decides nothing for want of its authority must find out when that can be used.
        let there = self.inner.store.reader().await?.ca().await?.unwrap_or_else(Ca::founding);
        let known = self.ca();
        let taken = match there.revision == known.revision {
            true => self.authority().is_as_of(&there).map_err(Error::from),
            false => self.take_ca(&there),
        };
        if self.inner.watch.followed(taken.is_ok(), self.now()) {
            match &taken {
                Ok(()) => tracing::info!("the authority of the database is ours again"),
                Err(error) => tracing::error!(
                    error = error as &dyn std::error::Error,
                    revision = there.revision,
                    "the authority of the database cannot be used: nothing is decided here until it can. Is the seal key another one?"
                ),
            }
        }
        taken?;
        if there.revision < known.revision && self.mode() == Mode::Normal {
            self.recall_ca(known).await?;
        }
        self.tell_of_ca();
        Ok(())
    }

    async fn recall_ca(&self, known: Ca) -> Result<(), Error> {
        let revision = known.revision;
        let (tenant, now, entry) = (self.inner.tenant, self.now(), draw!(&*self.inner.ports));
        let context = Context { tenant, actor: Actor::System, source: None, now, entry };
        match self.inner.store.settle(Recall { known, context }).await {
            Ok(plan) => {
                self.inner.watch.wrote(plan.entries());
                tracing::warn!(
                    revision,
                    "the database had forgotten a step of the authority: it was written again"
                );
                Ok(())
            }
            Err(SettleError::Store(error)) => Err(error.into()),
            Err(SettleError::Refused(_)) => unreachable!("it refuses nothing"),
        }
    }

    /// Takes a step that was seen, in the database or in this server's own directory. An older one is no news.
    ///
    /// # Errors
    /// [`Error::Authority`].
    pub fn take_ca(&self, ca: &Ca) -> Result<(), Error> {
        let present = self.authority();
        if ca.revision <= present.ca().revision {
            return Ok(());
        }
        let was_tainted = present.ca().tainted_at().is_some();
        let next = present.as_of(ca)?;
        if self.inner.authority.store(next) {
            tracing::info!(
                phase = ca.phase.as_str(),
                bundle = ca.bundle,
                "the certificate authority changed"
            );
            if !was_tainted && matches!(ca.phase, CaPhase::Tainted { .. }) {
                let here = self.inner.registry.signals();
                self.urged().extend(here.iter().map(|signal| (signal.machine, signal.tenant)));
            }
        }
        Ok(())
    }

    /// Tells of each step that this server has taken over, and at once that there may have been one.
    pub fn ca_steps(&self) -> watch::Receiver<u64> {
        let mut steps = self.inner.authority.revision.subscribe();
        steps.mark_changed();
        steps
    }

    fn tell_of_ca(&self) {
        let authority = self.authority();
        let left = authority.issuing_not_after().duration_since(self.now());
        metrics::gauge!("muster_ca_days_left").set(left.as_secs_f64() / 86_400.0);
        metrics::gauge!("muster_ca_bundle_version").set(authority.ca().bundle as f64);
    }

    /// Whether a machine's key is from before a taint.
    pub(crate) fn must_rotate(&self, machine: &Machine) -> bool {
        let before = self.authority().ca().rotate_before;
        before.is_some_and(|at| machine.keyed_at().is_none_or(|since| since < at))
    }

    /// Tells some of the machines that are here to change the key that they had at a taint: a few at a time, for each costs
    /// two signatures and a few writes. Called every second; the others have their turn when they come.
    ///
    /// # Errors
    /// What the store says; who could not be looked at is looked at the next time.
    pub async fn urge(&self) -> Result<usize, StoreError> {
        let some: Vec<_> = {
            let mut urged = self.urged();
            std::iter::from_fn(|| urged.pop_first()).take(URGED).collect()
        };
        if some.is_empty() {
            return Ok(0);
        }
        if let Err(error) = self.urge_these(&some).await {
            self.urged().extend(some);
            return Err(error);
        }
        Ok(some.len())
    }

    /// A machine that came is told in its turn: after a restart all come at once.
    pub(crate) fn urge_later(&self, tenant: TenantId, machine: MachineId) {
        self.urged().insert(machine, tenant);
    }

    fn urged(&self) -> MutexGuard<'_, BTreeMap<MachineId, TenantId>> {
        // Whoever is forgotten by a panic is told with its next channel.
        self.inner.urged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn urge_these(&self, some: &[(MachineId, TenantId)]) -> Result<(), StoreError> {
        let mut reads = self.inner.store.reader().await?;
        for (id, tenant) in some {
            let Some(proof) = self.inner.registry.holder(*id) else { continue };
            let machine = reads.machine(*tenant, *id).await?;
            let has_key = proof.key().is_some();
            if has_key && machine.is_some_and(|machine| self.must_rotate(&machine)) {
                let order = effects::ordered(MachineOrder::Rotate);
                self.inner.registry.order_holder(*id, proof, order);
            }
        }
        Ok(())
    }
}

struct Take {
    step: Step,
    /// What was worked out on what this server knows.
    outcome: Result<(Ca, Fleet), Refusal>,
    repeat: Option<Mark>,
    context: Context,
}

impl Decision for Take {
    const NAME: &'static str = "ca.change";
    type Facts = (Option<Remembered>, Option<Ca>);
    type Outcome = Ca;

    fn action(&self) -> &'static str {
        self.step.action()
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let remembered = recalled(reads, self.context.tenant, self.repeat.as_ref(), None).await?;
        Ok((remembered, reads.ca().await?))
    }

    fn decide(&self, (remembered, present): Self::Facts) -> Result<Plan<Ca>, Refusal> {
        let present = present.unwrap_or_else(Ca::founding);
        if repeat::earlier(self.repeat.as_ref(), remembered.as_ref())?.is_some() {
            return Ok(Plan::unchanged(present));
        }
        let (next, fleet) = self.outcome.clone()?;
        let plan = ca::take(&present, self.step, &next, fleet, &self.context)?;
        Ok(repeat::remember(plan, self.repeat.as_ref(), next.revision.to_string(), &self.context))
    }
}

struct Recall {
    known: Ca,
    context: Context,
}

impl Decision for Recall {
    const NAME: &'static str = "ca.recall";
    type Facts = Option<Ca>;
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        reads.ca().await
    }

    fn decide(&self, present: Self::Facts) -> Result<Plan<()>, Refusal> {
        Ok(ca::recall(&present.unwrap_or_else(Ca::founding), &self.known, &self.context))
    }
}
