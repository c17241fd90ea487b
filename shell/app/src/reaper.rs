//! Watches the fleet, and takes those who are silent for too long: one replica does so at a time, each machine by a decision
//! of its own.
//!
//! That somebody watched is noted every few minutes, also where nobody is ever taken: silence that nobody watched is none.
//! Whoever begins to watch takes nobody for a while, and begins anew after a jump of the clock, a time without the store, or
//! another one's watch.

use std::sync::{Mutex, MutexGuard, PoisonError};

use muster_lifecycle::Context;
use muster_lifecycle::reap::{self, Due, Patience, Run, Watched};
use muster_model::{Actor, Machine, MachineId, ReasonText, SignedDuration, TenantId, Timestamp};
use muster_store::{Fence, Lists, PageRequest, Store, StoreError, Unscoped};
use muster_wire::machine as wire;

use self::acts::{Back, Halt, Take, Way};
use crate::App;
use crate::caller::{Caller, Origin};
use crate::error::Error;
use crate::ports::draw;

mod acts;
mod view;

const JOB: &str = "reaper";
/// Whoever watches looks more often than this. The next one looks soon enough after it for the watch to go on.
const LEASE: SignedDuration = SignedDuration::from_mins(9);
/// Machines that are read at a time.
const PAGE: u32 = 500;

/// How this server watches.
#[derive(Debug, Default)]
pub(crate) struct Reaper {
    own: Mutex<Option<Own>>,
    /// Whose turn it is to be told who is due: where many ask, the fleet is walked by one of them at a time.
    asks: tokio::sync::Mutex<()>,
}

/// The watch of this server, without a break.
#[derive(Debug, Clone, Copy)]
struct Own {
    token: u64,
    watched: Watched,
    ran_at: Option<Timestamp>,
}

/// What a look at the fleet led to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Whether it was the turn of a run: most looks only note that somebody watched.
    pub ran: bool,
    /// Machines that were due.
    pub due: u64,
    /// Machines that were paused.
    pub paused: u64,
    /// Machines that were ended.
    pub retired: u64,
    /// Tenants of whom nobody was taken, because too many were due at once.
    pub stopped: u64,
    /// Machines, and whole tenants, that were passed over because something of them cannot be read.
    pub broken: u64,
}

/// A machine that is due.
#[derive(Debug, Clone)]
struct Silent {
    id: MachineId,
    name: String,
    what: Due,
    heard: Timestamp,
}

/// What is due in a tenant, and what a run may do about it.
struct Look {
    due: Vec<Silent>,
    lately: u64,
    fleet: u64,
    run: Run,
}

impl Reaper {
    /// Nobody watches here.
    fn rest(&self) {
        *self.lock() = None;
    }

    /// Somebody looked. Tells whether it is time for a run.
    fn looked(&self, token: u64, now: Timestamp) -> bool {
        let mut own = self.lock();
        let same = own.filter(|own| own.token == token);
        let watched = reap::watched(same.map(|own| own.watched).as_slice(), now);
        // A watch that was broken off is another one: it waits again.
        let ran_at = same.filter(|own| own.watched.began == watched.began).and_then(|own| own.ran_at);
        let is_time = ran_at.is_none_or(|at| now.duration_since(at) >= reap::EVERY);
        let runs = is_time && reap::is_settled(watched);
        *own = Some(Own { token, watched, ran_at: if runs { Some(now) } else { ran_at } });
        runs
    }

    /// Whether whoever watches does so not for long enough yet to take anybody. Of another server only the stretch is known
    /// that it goes on with.
    fn is_settling(&self, stretches: &[Watched], now: Timestamp) -> bool {
        let watched = self.lock().map_or_else(|| reap::watched(stretches, now), |own| own.watched);
        !reap::is_settled(watched)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Own>> {
        // It is written at once.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store> App<S> {
    /// Looks at the fleet, where no other server does so: notes that somebody watches, and when it is time takes those who
    /// have been silent for too long. Called every few minutes.
    ///
    /// # Errors
    /// What the store says. What was done until then is done.
    pub async fn reap(&self) -> Result<Reaped, Error> {
        // Who may not decide has not seen the fleet, or sees that of another day.
        if self.may_change().is_err() {
            self.inner.reaper.rest();
            return Ok(Reaped::default());
        }
        let Some(fence) = self.inner.store.lease(JOB, LEASE).await? else {
            self.inner.reaper.rest();
            return Ok(Reaped::default());
        };
        let now = self.now();
        let mut stretches = self.reader().await?.watched().await?;
        let watched = reap::watched(&stretches, now);
        self.inner.store.note_watched(fence, watched).await?;
        stretches.push(watched);
        if !self.inner.reaper.looked(fence.token, now) {
            return Ok(Reaped::default());
        }
        let tenants = self.reader().await?.tenants().await?;
        let mut reaped = Reaped { ran: true, ..Reaped::default() };
        for tenant in tenants {
            if let Err(error) = self.run(fence, tenant.id, &stretches, &mut reaped).await {
                passed_over(error, &tenant.id, &mut reaped)?;
            }
        }
        metrics::gauge!("muster_reaper_due").set(reaped.due as f64);
        metrics::gauge!("muster_reaper_stopped").set(reaped.stopped as f64);
        Ok(reaped)
    }

    async fn run(
        &self,
        fence: Fence,
        tenant: TenantId,
        stretches: &[Watched],
        reaped: &mut Reaped,
    ) -> Result<(), Error> {
        let look = self.silent(tenant, stretches).await?;
        reaped.due += look.due.len() as u64;
        let taken = match look.run {
            Run::Take(taken) => taken,
            Run::Alarm { due, fleet } => {
                reaped.stopped += 1;
                let stop = Halt { fence, stop: Some((due, fleet)), context: self.reaper_in(tenant) };
                if self.settle(&nobody(), stop).await? {
                    tracing::error!(
                        due,
                        fleet,
                        "so many machines are silent at once that the fault may be ours: nobody is taken. See muster reaper status"
                    );
                }
                return Ok(());
            }
        };
        if self.settle(&nobody(), Halt { fence, stop: None, context: self.reaper_in(tenant) }).await? {
            tracing::info!("the reaper goes on");
        }
        for (machine, _) in taken {
            match self.take(fence, machine, stretches, tenant).await {
                Ok(Some(Due::Pause)) => reaped.paused += 1,
                Ok(Some(Due::Retire)) => reaped.retired += 1,
                Ok(None) => {}
                Err(error) => passed_over(error, &machine, reaped)?,
            }
        }
        Ok(())
    }

    async fn take(
        &self,
        fence: Fence,
        machine: MachineId,
        stretches: &[Watched],
        tenant: TenantId,
    ) -> Result<Option<Due>, Error> {
        let registry = &self.inner.registry;
        // It came a moment ago, and that is perhaps not written yet.
        if registry.holder(machine).is_some() || registry.beat_heard(machine, self.now()).is_some() {
            return Ok(None);
        }
        let context = self.reaper_in(tenant);
        let decision =
            Take { fence, machine, patience: self.patience(), stretches: stretches.into(), context };
        let done = self.settle(&nobody(), decision).await?;
        if let Some(what) = done {
            tracing::info!(%machine, what = what.as_str(), "nothing was heard of a machine for too long");
            metrics::counter!("muster_reaper_total", "what" => what.as_str()).increment(1);
        }
        Ok(done)
    }

    fn patience(&self) -> Patience {
        self.inner.settings.patience
    }

    /// Who is due in a tenant, and what a run may do about it.
    async fn silent(&self, tenant: TenantId, stretches: &[Watched]) -> Result<Look, Error> {
        let (now, patience) = (self.now(), self.patience());
        let mut due = Vec::new();
        for what in [Due::Pause, Due::Retire] {
            let patience = match what {
                Due::Pause => patience.pause_after,
                Due::Retire => patience.pause_after.and(patience.retire_after),
            };
            // Where less was watched than that, it is nobody's turn.
            let watched = reap::silence(stretches, Timestamp::MIN, now);
            let since = patience.filter(|long| watched >= *long).and_then(|long| now.checked_sub(long).ok());
            if let Some(since) = since {
                self.due(tenant, (what, since), (stretches, now), &mut due).await?;
            }
        }
        let mut reads = self.reader().await?;
        let lately = now.checked_sub(reap::CREEPING).unwrap_or(Timestamp::MIN);
        let lately = reads.count_silenced(tenant, lately).await?;
        let [_, active, suspended, _] = reads.machine_counts(tenant).await?;
        let fleet = active + suspended;
        let all = due.iter().map(|silent| (silent.id, silent.what, silent.heard)).collect();
        Ok(Look { run: reap::run(all, lately, fleet), due, lately, fleet })
    }

    async fn due(
        &self,
        tenant: TenantId,
        (what, since): (Due, Timestamp),
        at: (&[Watched], Timestamp),
        found: &mut Vec<Silent>,
    ) -> Result<(), Error> {
        let mut after = None;
        loop {
            // A view of its own for each page: others wait for one.
            let listed =
                self.reader().await?.quiet(tenant, what, since, PageRequest { after, limit: PAGE }).await?;
            for row in listed.items {
                let due = reap::due(&row.machine, row.traces, self.patience(), at);
                found.extend(due.map(|(what, heard)| Silent {
                    id: row.machine.id,
                    name: row.machine.name.to_string(),
                    what,
                    heard,
                }));
            }
            after = listed.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// A machine showed a credential that counts. Where it was paused because nothing was heard of it, that is over: its key
    /// was under no suspicion.
    pub(crate) async fn heard_again(&self, machine: Machine) -> Result<Machine, Error> {
        // While nothing can be changed it stays paused; it shows its credential again.
        if !machine.state.is_silenced() || self.may_change().is_err() {
            return Ok(machine);
        }
        let (origin, context) = self.by_itself(machine.tenant, machine.id);
        let act = Back { machine: machine.id, way: Way::Heard, context };
        self.settle(&origin, act).await
    }

    /// Undoes a reaping.
    ///
    /// # Errors
    /// [`NotFound`](muster_model::Refusal::NotFound), [`WrongState`](muster_model::Refusal::WrongState).
    pub async fn restore(
        &self,
        id: MachineId,
        reason: Option<ReasonText>,
        origin: &Origin,
    ) -> Result<wire::Machine, Error> {
        let act = Back { machine: id, way: Way::Restored(reason), context: self.context(origin) };
        let machine = self.settle(origin, act).await?;
        self.machine_view(machine.tenant, machine.id).await
    }

    /// The reaper at work in a tenant.
    fn reaper_in(&self, tenant: TenantId) -> Context {
        let entry = draw!(&*self.inner.ports);
        Context { tenant, actor: Actor::System, source: None, now: self.now(), entry }
    }
}

/// What is broken of one machine or one tenant is no concern of the others. What the next one would meet as well ends the run.
fn passed_over(error: Error, whose: &dyn std::fmt::Display, reaped: &mut Reaped) -> Result<(), Error> {
    match error {
        Error::Stale
        | Error::Restored
        | Error::Store(
            StoreError::Unavailable { .. }
            | StoreError::Full { .. }
            | StoreError::Unknown { .. }
            | StoreError::Fenced { .. },
        ) => Err(error),
        error => {
            reaped.broken += 1;
            metrics::counter!("muster_reaper_broken_total").increment(1);
            tracing::error!(%whose, error = &error as &dyn std::error::Error, "the reaper passes it over");
            Ok(())
        }
    }
}

fn nobody() -> Origin {
    Origin { caller: Caller::Anonymous, source: None }
}
