//! The store as one replica reaches it: the reference store, with everything that can go wrong on the way to it.
//!
//! Every write waits for its turn in the world's queue, so that writes of several requests and replicas interleave as the
//! seed has it. What was committed is held against the laws at once.

use std::future::pending;

use muster_lifecycle::reap::Watched;
use muster_lifecycle::{Change, MachineChange, Plan};
use muster_model::{Entry, Object, Refusal, SignedDuration};
use muster_store::{
    Decision, Fence, Joining, PresenceNote, Prune, PulseNote, Reads, SettleError, Signal, Standing, Store,
    StoreError, Unscoped,
};
use muster_testkit::reference::{Moment, ReferenceStore, Snapshot};
use tokio::sync::oneshot;

use super::fate::Fate;
use super::hub::{Condition, Hub, Lost, SECOND, Wait};
use super::plant::Plant;
use super::{bend, laws};

/// The store of one replica.
#[derive(Clone)]
pub(super) struct SeatStore {
    pub(super) inner: ReferenceStore,
    pub(super) hub: Hub,
    pub(super) seat: usize,
    pub(super) incarnation: u32,
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { what: "reach the store", cause: "the simulation has it so".into() }
}

fn unknown() -> StoreError {
    StoreError::Unknown { what: "settle", cause: "the simulation has it so".into() }
}

impl SeatStore {
    /// Waits for its turn; for ever, where the process dies meanwhile.
    async fn turn(&self) {
        let (go, turn) = oneshot::channel();
        {
            let mut inside = self.hub.lock();
            let after = inside.between(1, 30);
            inside.waits.push(Wait { seat: self.seat, incarnation: self.incarnation, after, go });
        }
        if turn.await.is_err() {
            pending::<()>().await;
        }
    }

    fn reached(&self) -> Result<(), StoreError> {
        if self.hub.lock().reaches(self.seat) { Ok(()) } else { Err(unavailable()) }
    }

    /// What is not told by an audit entry: it needs the store to be there, and room.
    fn noted(&self) -> Result<(), StoreError> {
        self.reached()?;
        match self.hub.lock().condition {
            Condition::Full => Err(StoreError::Full { cause: "the simulation has it so".into() }),
            Condition::ReadOnly => Err(unavailable()),
            _ => Ok(()),
        }
    }

    fn has(&self, plant: Plant) -> bool {
        self.hub.lock().setup.plant == Some(plant)
    }

    /// Whether what was read last is older than a planted mistake keeps it.
    fn is_stale(&self) -> bool {
        let inside = self.hub.lock();
        inside.now - inside.seats[self.seat].read_at > 30 * SECOND
    }

    /// Decides and writes nothing, as a planted mistake does.
    async fn pretend<D: Decision>(&self, decision: D) -> Result<Plan<D::Outcome>, SettleError> {
        let mut moment = self.inner.reader().await?;
        let facts = decision.load(&mut moment).await?;
        Ok(decision.decide(facts)?)
    }

    async fn die(&self) -> ! {
        self.hub.lock().seats[self.seat].dying = true;
        pending().await
    }

    /// Commits, and holds what was committed against the laws.
    async fn commit<D: Decision>(&self, decision: D) -> Result<Plan<D::Outcome>, SettleError> {
        let before = self.inner.snapshot();
        let planted = bend::Planted { decision, plant: self.hub.lock().setup.plant, before: before.clone() };
        let settled = self.inner.settle(planted).await;
        let after = self.inner.snapshot();
        if let Err(SettleError::Store(error)) = &settled {
            self.hub.lock().wrong(format!("{}: {error:?}", D::NAME));
        }
        if !after.is(&before) {
            self.committed(D::NAME, before, &after, settled.as_ref().ok().map(Plan::changes));
        }
        settled
    }

    fn committed(&self, name: &'static str, before: Snapshot, after: &Snapshot, changes: Option<&[Change]>) {
        let found = laws::moved(name, &before, after, changes.is_some_and(|changes| !changes.is_empty()));
        let signals: Vec<Signal> =
            changes.into_iter().flatten().filter_map(|change| signal(after, change)).collect();
        let mut inside = self.hub.lock();
        inside.remember(before);
        inside.stirred = true;
        inside.tell(|| format!("replica {} committed {name}", self.seat));
        found.into_iter().for_each(|what| inside.wrong(what));
        if name == "key.adopt" && inside.lost.is_empty() {
            inside.wrong("something was adopted and nothing was ever forgotten (I-2)".to_owned());
        }
        for (seat, other) in inside.seats.iter_mut().enumerate() {
            if seat != self.seat {
                other.signals.extend(&signals);
            }
        }
    }

    /// A standby takes over that lacks the newest commits.
    fn fail_over(&self, lacking: usize) {
        let mut inside = self.hub.lock();
        inside.condition = Condition::FailingOver;
        inside.failing_over = true;
        if lacking == 0 || inside.history.is_empty() {
            return;
        }
        let at = inside.history.len().saturating_sub(lacking);
        let newest = self.inner.snapshot();
        let earlier = inside.history[at].clone();
        inside.history.truncate(at);
        let told = earlier.told();
        inside.facts.retain(|(seq, _)| *seq <= told);
        let lost = lost(&newest, &earlier);
        inside.tell(|| format!("a standby without the entries after {told} takes over: {lost:?}"));
        inside.lost.extend(lost);
        inside.lost_at = Some(inside.now);
        drop(inside);
        self.inner.put_back(&earlier);
    }
}

/// What the later one knows otherwise than the earlier one.
fn lost(later: &Snapshot, earlier: &Snapshot) -> Vec<Lost> {
    let machines =
        later.machines().filter(|machine| earlier.machine(machine.tenant, machine.id) != Some(machine));
    let keys = later.keys().filter(|(name, record)| !earlier.keys().any(|known| known == (*name, *record)));
    let credentials =
        later.credentials().filter(|credential| !earlier.credentials().any(|known| known == *credential));
    let machines = machines.map(|machine| machine.id).chain(credentials.map(|credential| credential.machine));
    machines.map(Lost::Machine).chain(keys.map(|(name, _)| Lost::Key(*name))).collect()
}

fn signal(after: &Snapshot, change: &Change) -> Option<Signal> {
    let tenant = after.machines().next()?.tenant;
    match change {
        Change::Machine(MachineChange::Update(machine)) => {
            Some(Signal { tenant, machine: machine.id, order: None })
        }
        Change::Machine(MachineChange::Order { machine, order }) => {
            Some(Signal { tenant, machine: *machine, order: Some(*order) })
        }
        _ => None,
    }
}

impl Store for SeatStore {
    type Reader = Moment;

    async fn reader(&self) -> Result<Moment, StoreError> {
        let cached = self.hub.lock().seats[self.seat].last_read.clone();
        if let Some(cached) =
            cached.clone().filter(|_| self.has(Plant::CutOffReadsOn) && self.reached().is_err())
        {
            return Ok(cached.moment());
        }
        self.reached()?;
        if let Some(cached) = cached.filter(|_| self.has(Plant::ReadsFromCache) && !self.is_stale()) {
            return Ok(cached.moment());
        }
        {
            let mut inside = self.hub.lock();
            let now = inside.now;
            let at = &mut inside.seats[self.seat];
            (at.last_read, at.read_at) = (Some(self.inner.snapshot()), now);
        }
        self.inner.reader().await
    }

    async fn settle<D: Decision>(&self, decision: D) -> Result<Plan<D::Outcome>, SettleError> {
        self.turn().await;
        let fate = self.hub.lock().judge(self.seat, D::NAME);
        match fate {
            Fate::Go => self.commit(decision).await,
            Fate::Dead => pending().await,
            Fate::Unavailable if self.has(Plant::AnsweredUnwritten) => self.pretend(decision).await,
            Fate::Unknown(false) if self.has(Plant::UnknownCountsAsDone) => self.pretend(decision).await,
            Fate::Unavailable => Err(unavailable().into()),
            Fate::Full => Err(StoreError::Full { cause: "the simulation has it so".into() }.into()),
            Fate::DieBefore => self.die().await,
            Fate::DieAfter | Fate::Stopped(true) => {
                // Nobody is told, not even of a refusal.
                drop(self.commit(decision).await);
                self.die().await
            }
            Fate::Stopped(false) => self.die().await,
            Fate::Unknown(committed) => {
                if committed {
                    drop(self.commit(decision).await);
                }
                Err(unknown().into())
            }
            Fate::Failover(lacking) => {
                drop(self.commit(decision).await);
                self.fail_over(lacking);
                Err(unknown().into())
            }
        }
    }

    async fn note_presence(&self, notes: Vec<PresenceNote>) -> Result<(), StoreError> {
        self.noted()?;
        self.inner.note_presence(notes).await
    }

    async fn note_pulse(&self, notes: Vec<PulseNote>) -> Result<(), StoreError> {
        self.noted()?;
        self.inner.note_pulse(notes).await
    }

    async fn tell(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        self.noted()?;
        self.inner.tell(entries).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.noted()
    }

    async fn join(&self, _: Joining) -> Result<(), StoreError> {
        // The reference belongs to one process and would end the presence of the other replicas' machines.
        self.reached()
    }

    async fn alive(&self, _: u64) -> Result<Standing, StoreError> {
        self.noted()?;
        let forgotten = std::mem::take(&mut self.hub.lock().seats[self.seat].forgotten);
        Ok(if forgotten { Standing::Forgotten } else { Standing::Known })
    }

    async fn signals(&self) -> Result<Vec<Signal>, StoreError> {
        self.reached()?;
        Ok(std::mem::take(&mut self.hub.lock().seats[self.seat].signals))
    }

    async fn stirred(&self) {
        pending::<()>().await;
    }

    async fn lease(&self, _: &'static str, _: SignedDuration) -> Result<Option<Fence>, StoreError> {
        Ok(None)
    }

    async fn note_watched(&self, _: Fence, _: Watched) -> Result<(), StoreError> {
        // No lease is given, so nobody reaps.
        self.noted()
    }

    async fn prune(&self, _: Fence, _: Prune) -> Result<u64, StoreError> {
        Ok(0)
    }
}

impl<D: Decision> Decision for bend::Planted<D> {
    const NAME: &'static str = D::NAME;
    type Facts = D::Facts;
    type Outcome = D::Outcome;

    fn action(&self) -> &'static str {
        self.decision.action()
    }

    fn object(&self) -> Object {
        self.decision.object()
    }

    fn fence(&self) -> Option<Fence> {
        self.decision.fence()
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<D::Facts, StoreError> {
        self.decision.load(reads).await
    }

    fn decide(&self, facts: D::Facts) -> Result<Plan<D::Outcome>, Refusal> {
        let plan = self.decision.decide(facts)?;
        Ok(match self.plant {
            Some(plant) => plant.bend(D::NAME, plan, &self.before),
            None => plan,
        })
    }

    fn told(&self, refusal: &Refusal) -> Option<Entry> {
        self.decision.told(refusal)
    }
}
