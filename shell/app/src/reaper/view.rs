//! What people are told of the reaper: how it stands, who would be taken now, and what a machine's silence leads to.

use muster_lifecycle::reap::{self, Patience, Run, Stop, Traces, Watched};
use muster_model::{Machine, SignedDuration, TenantId, Timestamp};
use muster_store::{Lists, Reads, Store, StoreError};
use muster_wire::machine::Silence;
use muster_wire::reaper as wire;

use super::Look;
use crate::App;
use crate::caller::Origin;
use crate::error::Error;

/// Machines that are due are told one by one up to so many, those first who were silent longest.
const TOLD: usize = 500;

impl<S: Store> App<S> {
    /// How the reaper stands, and who is due now. What it says of a run is decided by the same function over the same facts.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn reaper(&self, origin: &Origin) -> Result<wire::Reaper, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let _turn = self.inner.reaper.asks.lock().await;
        let mut reads = self.reader().await?;
        let stretches = reads.watched().await?;
        let stop = reads.reaper_stop(tenant).await?;
        let paused = reads.count_silenced(tenant, Timestamp::MIN).await?;
        drop(reads);
        let look = self.silent(tenant, &stretches).await?;
        let patience = self.patience();
        let is_settling = self.inner.reaper.is_settling(&stretches, self.now());
        Ok(wire::Reaper {
            standing: standing(patience, stop, &look, is_settling).to_owned(),
            pause_after: patience.pause_after.map(seconds),
            retire_after: patience.retire_after.map(seconds),
            watched_until: stretches.iter().map(|stretch| stretch.until).max(),
            watched_for: seconds(reap::silence(&stretches, Timestamp::MIN, self.now())),
            stopped_at: stop.map(|stop| stop.since),
            fleet: look.fleet,
            share: reap::share(look.fleet) as u64,
            paused_lately: look.lately,
            paused,
            due: look.due.len() as u64,
            machines: machines(look),
        })
    }

    /// What the silence of a machine leads to, where it is silent.
    pub(crate) async fn silence_of(
        &self,
        machine: &Machine,
        traces: Traces,
    ) -> Result<Option<Silence>, StoreError> {
        let stretches = self.inner.store.reader().await?.watched().await?;
        Ok(silence(machine, traces, self.patience(), (&stretches, self.now())))
    }

    /// What an operator is warned of.
    pub(crate) async fn reaper_warning(&self, tenant: TenantId) -> Result<Option<String>, StoreError> {
        let stop = self.inner.store.reader().await?.reaper_stop(tenant).await?;
        Ok(stop.map(|Stop { since, due, fleet }| {
            format!(
                "the reaper takes nobody since {since}: {due} of {fleet} machines were silent at once, and the fault may be \
                 ours; see: muster reaper status"
            )
        }))
    }
}

fn standing(patience: Patience, stop: Option<Stop>, look: &Look, is_settling: bool) -> &'static str {
    match (patience.pause_after, stop, &look.run) {
        (None, ..) => "off",
        (Some(_), Some(_), _) | (Some(_), _, Run::Alarm { .. }) => "stopped",
        (Some(_), None, Run::Take(_)) if is_settling => "settling",
        (Some(_), None, Run::Take(_)) => "at_work",
    }
}

fn machines(look: Look) -> Vec<wire::Silent> {
    let Look { mut due, run, .. } = look;
    let taken = match run {
        Run::Take(taken) => taken,
        Run::Alarm { .. } => Vec::new(),
    };
    due.sort_by_key(|silent| (silent.heard, silent.id));
    let told = due.into_iter().take(TOLD);
    told.map(|silent| wire::Silent {
        taken: taken.iter().any(|(id, _)| *id == silent.id),
        id: silent.id.to_string(),
        name: silent.name,
        what: silent.what.as_str().to_owned(),
        last_heard: silent.heard,
    })
    .collect()
}

fn silence(
    machine: &Machine,
    traces: Traces,
    patience: Patience,
    at: (&[Watched], Timestamp),
) -> Option<Silence> {
    let restorable_until = machine.state.undone_until().filter(|until| *until >= at.1);
    let is_paused = machine.state.is_silenced();
    let due_at = reap::due_at(machine, traces, patience, at);
    if restorable_until.is_none() && !is_paused && due_at.is_none() {
        return None;
    }
    Some(Silence {
        last_heard: reap::last_heard(machine, traces),
        paused_at: is_paused.then(|| machine.state.since()),
        pauses_at: due_at.filter(|_| !is_paused),
        retires_at: due_at.filter(|_| is_paused),
        restorable_until,
    })
}

fn seconds(span: SignedDuration) -> u64 {
    u64::try_from(span.as_secs()).unwrap_or(0)
}
