//! Whether this server may decide: it must have seen its database a moment ago, and the database must know all that
//! this server has seen.
//!
//! Two things are watched, by looking every few seconds. A server that cannot look decides nothing, because what it
//! would decide by may have been undone. A database that was put back to an older day is read and not written until an
//! operator accepts that: it would let in what was revoked since, and disown what came in since.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_lifecycle::{Context, Plan, deployment};
use muster_model::{
    Actor, AuditId, Deployment, Entry, EntryPlace, Gap, IncarnationId, Object, Refusal, SignedDuration,
    TenantId, Timestamp,
};
use muster_store::{Decision, Reads, SettleError, Store, StoreError, Unscoped};

use crate::App;
use crate::error::Error;
use crate::mark::Mark;
use crate::ports::draw;

/// Whoever has not seen the database for longer decides nothing.
const FRESH: SignedDuration = SignedDuration::from_secs(30);

/// What a server may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything.
    Normal,
    /// Only what needs no store, until the store can be read again, and the authority as it is there can be used.
    Stale,
    /// Read and note presence, until an operator accepts the older database.
    Restored,
}

/// What the looks at the store have shown.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: Mutex<Seen>,
    /// The newest entry of this server's own that was committed: it may be younger than the last look.
    own: Mutex<Option<Own>>,
    /// Since when the authority of the database cannot be used here.
    unusable: Mutex<Option<Timestamp>>,
    acceptance: Acceptance,
}

/// The incarnation that began when an older database was last accepted, as far as this server was there; for those who must
/// know of what they began before it.
#[derive(Debug, Clone, Default)]
pub struct Acceptance(Arc<Mutex<Option<IncarnationId>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Own {
    tenant: TenantId,
    object: Object,
    id: AuditId,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    /// The last good look. Before the first one nothing is stale: a start that cannot look does not get this far.
    looked_at: Option<Timestamp>,
    /// What it was a look at.
    mark: Option<Mark>,
    lost: Option<Lost>,
}

/// A database that does not know what this server has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost {
    /// What was seen.
    pub(crate) mark: Mark,
    /// How much of it is missing.
    pub(crate) gap: Gap,
}

/// What a look found.
struct Found<'a> {
    deployment: Option<&'a Deployment>,
    newest: Option<EntryPlace>,
    /// Whether the newest entry that was seen is still there, and the newest of this server's own.
    has_seen: bool,
}

impl Mode {
    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Stale => "stale",
            Self::Restored => "restored",
        }
    }
}

impl Seen {
    /// What may be done at this time. A clock that was set back tells as little of the store as one that ran on.
    fn mode(&self, now: Timestamp) -> Mode {
        match self {
            Self { looked_at: Some(at), .. } if now.duration_since(*at).abs() > FRESH => Mode::Stale,
            Self { lost: Some(_), .. } => Mode::Restored,
            Self { lost: None, .. } => Mode::Normal,
        }
    }
}

/// Whether the database has lost what was seen. One that has gone on under a newer incarnation was accepted by an
/// operator, whatever is missing. What another server has noted counts as seen here.
fn judge(seen: Option<&Mark>, found: &Found<'_>) -> Option<Lost> {
    let noted = found.deployment.and_then(|there| {
        let mark = Mark { deployment: there.id, incarnation: there.incarnation(), newest: found.newest };
        there.gap.map(|gap| Lost { mark: seen.copied().unwrap_or(mark), gap })
    });
    noted.or_else(|| missed(*seen?, found))
}

fn missed(mark: Mark, found: &Found<'_>) -> Option<Lost> {
    let is_same = found.deployment.is_some_and(|there| match there.incarnations.as_slice() {
        _ if there.id != mark.deployment => false,
        [.., present] if *present == mark.incarnation => found.has_seen,
        older => older.contains(&mark.incarnation),
    });
    let place = |entry: Option<EntryPlace>| entry.map_or(0, |entry| entry.seq);
    let gap = Gap { incarnation: mark.incarnation, seen: place(mark.newest), found: place(found.newest) };
    (!is_same).then_some(Lost { mark, gap })
}

impl Acceptance {
    /// The last one.
    pub fn last(&self) -> Option<IncarnationId> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<IncarnationId>> {
        // It is written at once.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    pub(crate) fn lost(&self) -> Option<Lost> {
        self.lock().lost
    }

    /// The older database was accepted, and what this server wrote before is no measure any more.
    pub(crate) fn accepted(&self, incarnation: IncarnationId) {
        self.lock().lost = None;
        *self.own() = None;
        *self.acceptance.lock() = Some(incarnation);
    }

    /// This server wrote something, and the store said that it is there for good.
    pub(crate) fn wrote(&self, entries: &[Entry]) {
        let Some(Entry { tenant, object, id, .. }) = entries.last() else { return };
        *self.own() = Some(Own { tenant: *tenant, object: *object, id: *id });
    }

    fn mode(&self, now: Timestamp) -> Mode {
        if self.lacks_authority(now) { Mode::Stale } else { self.lock().mode(now) }
    }

    /// Notes whether the authority of the database can be used here; tells whether that is news.
    pub(crate) fn followed(&self, usable: bool, now: Timestamp) -> bool {
        let mut unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = usable == unusable.is_some();
        *unusable = if usable { None } else { unusable.or(Some(now)) };
        is_news
    }

    /// Whether it cannot for so long that this server's own is no measure any more: it would sign by one that others have given
    /// up, and let in by one that was declared tainted.
    pub(crate) fn lacks_authority(&self, now: Timestamp) -> bool {
        let since = *self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| now.duration_since(since).abs() > FRESH)
    }

    fn looked(&self, now: Timestamp, mark: Mark, lost: Option<Lost>) {
        *self.lock() = Seen { looked_at: Some(now), mark: Some(mark), lost };
    }

    fn mark(&self) -> Option<Mark> {
        self.lock().mark
    }

    /// The present incarnation, as far as this server knows.
    fn incarnation(&self) -> Option<IncarnationId> {
        self.acceptance.last().or_else(|| self.mark().map(|mark| mark.incarnation))
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // All fields are written at once.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self) -> MutexGuard<'_, Option<Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store> App<S> {
    /// Whether this server decides nothing because it cannot use the authority of the database.
    pub fn lacks_authority(&self) -> bool {
        self.inner.watch.lacks_authority(self.now())
    }

    /// What this server may do now.
    pub fn mode(&self) -> Mode {
        self.inner.watch.mode(self.now())
    }

    /// The present incarnation, as far as this server knows; nothing before its first look.
    pub fn incarnation(&self) -> Option<IncarnationId> {
        self.inner.watch.incarnation()
    }

    /// When an older database is accepted here: what was asked before that is answered no more.
    pub fn acceptance(&self) -> &Acceptance {
        &self.inner.watch.acceptance
    }

    /// Looks at the store, with what was seen of it before, and returns what to remember. Called every few seconds,
    /// and once before anybody is answered: a server that starts on an older database must not answer from it.
    ///
    /// # Errors
    /// What the store says; then this was no look.
    pub async fn look(&self, seen: Option<&Mark>) -> Result<Mark, StoreError> {
        let now = self.now();
        let own = *self.inner.watch.own();
        let mut reads = self.inner.store.reader().await?;
        let deployment = reads.deployment().await?;
        let newest = reads.newest_entry().await?;
        let has_seen = match seen.and_then(|mark| mark.newest) {
            Some(place) if newest != Some(place) => reads.has_entry(place).await?,
            Some(_) | None => true,
        };
        let has_own = match own {
            Some(Own { tenant, object, id }) => reads.has_entry_about(tenant, object, id).await?,
            None => true,
        };
        drop(reads);
        let found = Found { deployment: deployment.as_ref(), newest, has_seen: has_seen && has_own };
        let lost = judge(seen, &found);
        let mark = match (lost, deployment) {
            // What was seen stays seen, so that a restart finds the same.
            (Some(lost), _) => lost.mark,
            (None, Some(there)) => Mark { deployment: there.id, incarnation: there.incarnation(), newest },
            (None, None) => return Err(unfounded()),
        };
        let before = self.inner.watch.mode(now);
        if lost.is_none() && seen.is_some_and(|seen| seen.incarnation != mark.incarnation) {
            self.inner.watch.accepted(mark.incarnation);
        }
        self.inner.watch.looked(now, mark, lost);
        tell(before, lost);
        Ok(mark)
    }

    /// Notes in the database itself that it was put back, where this server noticed that: one that starts anew has seen
    /// nothing of what is missing. Called after looks.
    ///
    /// # Errors
    /// What the store says.
    pub async fn doubt(&self) -> Result<(), StoreError> {
        let Some(lost) = self.inner.watch.lost() else { return Ok(()) };
        let (tenant, now, entry) = (self.inner.tenant, self.now(), draw!(&*self.inner.ports));
        let context = Context { tenant, actor: Actor::System, source: None, now, entry };
        match self.inner.store.settle(Doubt { lost, context }).await {
            Ok(_) => Ok(()),
            Err(SettleError::Store(error)) => Err(error),
            Err(SettleError::Refused(_)) => unreachable!("it refuses nothing"),
        }
    }

    /// Looks again, by what this server has seen itself. For answers that are believed and cannot be taken back: the
    /// database may have been put back since the last look.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn look_again(&self) -> Result<Mode, StoreError> {
        self.look(self.inner.watch.mark().as_ref()).await?;
        Ok(self.mode())
    }

    /// Whether anything may be decided by what the store says.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub(crate) fn fresh(&self) -> Result<(), Error> {
        match self.mode() {
            Mode::Stale => Err(Error::Stale),
            Mode::Normal | Mode::Restored => Ok(()),
        }
    }

    /// Whether anything may be written.
    ///
    /// # Errors
    /// [`Error::Stale`], [`Error::Restored`].
    pub(crate) fn may_change(&self) -> Result<(), Error> {
        match self.mode() {
            Mode::Stale => Err(Error::Stale),
            Mode::Restored => Err(Error::Restored),
            Mode::Normal => Ok(()),
        }
    }

    /// A view for whoever looks how this server stands, also where it decides nothing for want of its authority.
    pub(crate) async fn onlooker(&self) -> Result<S::Reader, Error> {
        if !self.lacks_authority() {
            self.fresh()?;
        }
        Ok(self.inner.store.reader().await?)
    }

    /// A consistent view for a use case. At once an error where the store cannot be trusted to answer.
    pub(crate) async fn reader(&self) -> Result<S::Reader, Error> {
        self.fresh()?;
        Ok(self.inner.store.reader().await?)
    }
}

struct Doubt {
    lost: Lost,
    context: Context,
}

impl Decision for Doubt {
    const NAME: &'static str = "restore.notice";
    type Facts = Option<Deployment>;
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        reads.deployment().await
    }

    fn decide(&self, present: Self::Facts) -> Result<Plan<()>, Refusal> {
        // The database of another deployment is none that was put back.
        let ours = present.filter(|there| there.id == self.lost.mark.deployment);
        Ok(deployment::doubt(&self.lost.gap, ours.as_ref(), &self.context))
    }
}

/// Tells the log what changed.
fn tell(before: Mode, lost: Option<Lost>) {
    match (before, lost) {
        (Mode::Normal | Mode::Stale, Some(Lost { gap, .. })) => tracing::error!(
            seen = gap.seen,
            found = gap.found,
            "the database is older than what this server has seen: nothing is changed until `muster restore accept`"
        ),
        (Mode::Stale, None) => tracing::info!("the store can be read again"),
        (Mode::Restored, None) => tracing::info!("the older database was accepted"),
        (Mode::Normal, None) | (Mode::Restored, Some(_)) => {}
    }
}

fn unfounded() -> StoreError {
    StoreError::Broken { table: "deployment", row: "the one".to_owned(), column: "id" }
}

#[cfg(test)]
mod tests {
    use muster_model::DeploymentId;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).expect("in range")
    }

    fn incarnation(n: u8) -> IncarnationId {
        IncarnationId::new(1, [n; 10])
    }

    fn deployment(id: u8, incarnations: &[u8]) -> Deployment {
        let incarnations = incarnations.iter().map(|n| incarnation(*n)).collect();
        Deployment { id: DeploymentId::new(1, [id; 10]), proof: [0; 32], incarnations, gap: None }
    }

    fn place(seq: u64) -> EntryPlace {
        EntryPlace { seq, id: AuditId::new(seq, [1; 10]) }
    }

    fn mark(n: u8, newest: Option<u64>) -> Mark {
        let (deployment, incarnation) = (DeploymentId::new(1, [1; 10]), incarnation(n));
        Mark { deployment, incarnation, newest: newest.map(place) }
    }

    fn is_lost(seen: Option<Mark>, there: Option<&Deployment>, has_seen: bool) -> bool {
        let found = Found { deployment: there, newest: Some(place(120)), has_seen };
        judge(seen.as_ref(), &found).is_some()
    }

    #[test]
    fn a_database_is_an_older_one_when_it_does_not_know_what_was_seen() {
        let gap = Gap { incarnation: incarnation(1), seen: 150, found: 120 };
        let doubted = Deployment { gap: Some(gap), ..deployment(1, &[1]) };
        let (ours, newer, foreign) = (deployment(1, &[1]), deployment(1, &[1, 2]), deployment(9, &[1]));
        // What was seen, what is there, whether the newest entry seen is there; whether it is an older one.
        let table = [
            (None, Some(&ours), true, false, "nothing was seen yet"),
            (Some(mark(1, None)), Some(&ours), true, false, "seen before anything was told"),
            (Some(mark(1, Some(100))), Some(&ours), true, false, "it went on"),
            (Some(mark(1, Some(150))), Some(&ours), false, true, "the entry is missing"),
            (Some(mark(2, Some(150))), Some(&ours), false, true, "the incarnation is missing"),
            (
                Some(mark(2, Some(100))),
                Some(&ours),
                true,
                true,
                "the incarnation is missing, the entry is not",
            ),
            (Some(mark(1, Some(150))), Some(&newer), false, false, "it was accepted since"),
            (Some(mark(2, Some(150))), Some(&newer), false, true, "it was put back after that"),
            (Some(mark(1, Some(100))), Some(&foreign), true, true, "another deployment"),
            (Some(mark(1, Some(100))), None, false, true, "an empty one"),
            (None, None, true, false, "never founded"),
            (None, Some(&doubted), true, true, "another server noticed, and this one has seen nothing"),
            (Some(mark(1, Some(100))), Some(&doubted), true, true, "another server has seen more"),
        ];
        for (seen, there, has_seen, expected, why) in table {
            assert_eq!(is_lost(seen, there, has_seen), expected, "{why}");
        }
    }

    #[test]
    fn the_gap_tells_both_ends() {
        let there = deployment(1, &[1]);
        let found = Found { deployment: Some(&there), newest: Some(place(120)), has_seen: false };
        let lost = judge(Some(&mark(1, Some(150))), &found).expect("lost");
        assert_eq!(lost.gap, Gap { incarnation: incarnation(1), seen: 150, found: 120 });
    }

    #[test]
    fn a_look_is_good_for_thirty_seconds_either_way() {
        let seen = |looked_at, lost| Seen { looked_at, mark: None, lost };
        let lost = Lost { mark: mark(1, None), gap: Gap { incarnation: incarnation(1), seen: 2, found: 1 } };
        let table = [
            (seen(None, None), 0, Mode::Normal),
            (seen(Some(at(0)), None), 0, Mode::Normal),
            (seen(Some(at(0)), None), 30, Mode::Normal),
            (seen(Some(at(0)), None), 31, Mode::Stale),
            (seen(Some(at(0)), None), -30, Mode::Normal),
            (seen(Some(at(0)), None), -31, Mode::Stale),
            (seen(Some(at(0)), Some(lost)), 5, Mode::Restored),
            (seen(Some(at(0)), Some(lost)), 31, Mode::Stale),
        ];
        for (seen, second, mode) in table {
            assert_eq!(seen.mode(at(second)), mode, "{seen:?} after {second} s");
        }
    }
}
