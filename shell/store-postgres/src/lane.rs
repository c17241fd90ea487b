//! A connection that writes, and the work it takes from the queue.
//!
//! It takes what is queued, runs it in one transaction, commits, and only then answers. What cannot be done together is
//! done again, each in a transaction of its own, which waits for locks and decides anew when it lost a race.
//!
//! Invariant: nobody is answered before the commit that carries what they were told, not even with a refusal: it may
//! rest on what another job of the same transaction wrote.

use std::sync::Arc;
use std::time::Duration;

use muster_store::StoreError;
use tokio::task::JoinHandle;

use crate::batch::{Batch, End, Line};
use crate::common::{Common, Queued};
use crate::connection::{Connected, connect};
use crate::failure::{Failure, unavailable};
use crate::guard::Deferral;
use crate::job::{Job, Ran};
use crate::locks::{Strength, WAITING};
use crate::recover::{self, Patience};
use crate::round::Failed;
use crate::settings::Dial;

/// The most jobs in one transaction: bounds how long the first of them waits.
const BATCH: usize = 32;
/// So often a job is put off before it is given a transaction of its own, in which it waits.
const PATIENT: u8 = 2;
/// How long a decision alone in its transaction may take.
const ALONE: Duration = Duration::from_secs(20);
/// So often a passing failure is met by doing the same again.
const TRIES: u32 = 5;
/// The same, where a unique index refused: the decision reads what is there now. If it is refused again, that is no race.
const TRIES_UNIQUE: u32 = 2;

pub(crate) struct Lane {
    ledger: Ledger,
    open: Option<Open>,
    /// Whether the last try to connect failed: the next one is not waited for.
    down: bool,
    /// A connection whose server has not answered a commit, as long as it has not.
    lingering: Option<JoinHandle<()>>,
    deferred: Vec<Queued>,
}

/// Which transaction of which lane.
struct Ledger {
    common: Arc<Common>,
    /// Names this lane in the database, for ever.
    id: [u8; 16],
    /// The number of the newest transaction.
    number: i64,
}

struct Open {
    connection: Connected,
    shard: i64,
}

/// What became of a job in a transaction of its own.
enum Attempt {
    /// Answer it as it says.
    Done,
    /// The same again.
    Again(&'static str, StoreError),
    /// The same again, at once: it knows more than before.
    Wiser,
    /// The connection went, and nothing was committed.
    Lost(StoreError),
    /// There is no more to be done.
    Final(StoreError),
}

impl Lane {
    pub(crate) fn new(common: Arc<Common>, id: [u8; 16]) -> Self {
        Self {
            ledger: Ledger { common, id, number: 0 },
            open: None,
            down: false,
            lingering: None,
            deferred: Vec::new(),
        }
    }

    /// Works until the queue ends.
    pub(crate) async fn run(mut self) {
        let mut last = 0;
        loop {
            let mut jobs = std::mem::take(&mut self.deferred);
            if !self.ledger.common.take(&mut jobs, last, BATCH).await && jobs.is_empty() {
                return;
            }
            last = jobs.len();
            let at_work = self.ledger.common.at_work();
            self.work(jobs).await;
            drop(at_work);
        }
    }

    async fn work(&mut self, jobs: Vec<Queued>) {
        if let Err(error) = self.connected().await {
            let error = Arc::new(error);
            return jobs.into_iter().for_each(|queued| queued.job.answer(Some(&error)));
        }
        let (redo, later) = self.together(jobs).await;
        for mut queued in redo {
            // What one cannot have, the others need not wait for.
            let answered = if self.down { Answered(Some(gone())) } else { self.alone(&mut queued.job).await };
            answered.answer(queued.job);
        }
        for mut queued in later {
            queued.deferrals += 1;
            if queued.deferrals < PATIENT {
                self.deferred.push(queued);
            } else {
                self.ledger.common.count(queued.job.name(), "contended");
                self.alone(&mut queued.job).await.answer(queued.job);
            }
        }
    }

    /// Makes a connection where there is none. A server that was there a moment ago is waited for.
    async fn connected(&mut self) -> Result<(), StoreError> {
        if self.open.as_ref().is_some_and(|open| open.connection.is_usable()) {
            return Ok(());
        }
        self.open = None;
        if self.lingering.as_ref().is_some_and(|old| !old.is_finished()) {
            self.down = true;
            return Err(unavailable("write", "an earlier commit was not answered yet"));
        }
        let patience = if self.down { Patience::Once } else { Patience::Long };
        let opened = recover::until(patience, || open(self.ledger.common.dial())).await;
        self.down = opened.is_err();
        self.open = Some(opened.map_err(|failure| failure.told("connect to the database"))?);
        Ok(())
    }

    fn line(&self) -> Result<Line<'_>, StoreError> {
        let open = self.open.as_ref().ok_or_else(|| unavailable("write", "there is no connection"))?;
        let replica = self.ledger.common.replica();
        Ok(Line { connection: &open.connection, shard: open.shard, replica })
    }

    /// Runs jobs in one transaction. Gives back those that must be run again, alone, and those that were put off.
    async fn together(&mut self, mut jobs: Vec<Queued>) -> (Vec<Queued>, Vec<Queued>) {
        self.ledger.number += 1;
        let outcome = match self.line() {
            Ok(line) => {
                let batch = Batch::new(line, true);
                let waves = waves(&batch, &mut jobs).await;
                self.ledger.ended(&batch, waves).await
            }
            Err(_) => Outcome::Redo("connection"),
        };
        match outcome {
            Outcome::Committed { later } => {
                let (later, done) = part(jobs, &later);
                done.into_iter().for_each(|queued| queued.job.answer(None));
                (Vec::new(), later)
            }
            Outcome::Redo(cause) => {
                self.ledger.common.count("batch", cause);
                (jobs, Vec::new())
            }
            Outcome::Uncertain { later } => match self.look_up().await {
                Ok(true) => {
                    let (later, done) = part(jobs, &later);
                    done.into_iter().for_each(|queued| queued.job.answer(None));
                    (Vec::new(), later)
                }
                Ok(false) => (jobs, Vec::new()),
                Err(error) => {
                    let (later, done) = part(jobs, &later);
                    let error = Arc::new(error);
                    done.into_iter().for_each(|queued| queued.job.answer(Some(&error)));
                    (Vec::new(), later)
                }
            },
        }
    }

    /// Whether the newest transaction was committed, asked on a new connection. Where that cannot be told, the old one is
    /// kept until the server has let go of it: one that waits for its standby does not notice that we hung up, and a lane
    /// that dialled again and again would leave it without a place for anybody.
    async fn look_up(&mut self) -> Result<bool, StoreError> {
        let old = self.open.take();
        self.ledger.common.count("batch", "unknown");
        let number = self.ledger.number;
        // The number after it may be taken by the look-up itself.
        self.ledger.number += 1;
        let committed = recover::was_committed(self.ledger.common.dial(), self.ledger.id, number).await;
        if let (Err(_), Some(old)) = (&committed, old) {
            self.lingering = Some(tokio::spawn(async move { old.connection.answered().await }));
        }
        committed
    }

    /// Runs a job in a transaction of its own, again and again where that may help.
    async fn alone(&mut self, job: &mut Box<dyn Job>) -> Answered {
        let (mut tries, mut wiser, mut crowded) = (0, 0, false);
        loop {
            if let Err(error) = self.connected().await {
                return Answered(Some(error));
            }
            let (cause, error, most) = match self.attempt(job, crowded).await {
                Attempt::Done => return Answered(None),
                Attempt::Final(error) => return Answered(Some(error)),
                Attempt::Wiser if wiser < 16 => {
                    wiser += 1;
                    continue;
                }
                Attempt::Wiser => return Answered(Some(unavailable(job.name(), "it is put off for ever"))),
                Attempt::Again("unique", error) => ("unique", error, TRIES_UNIQUE),
                Attempt::Again(cause, error) => (cause, error, TRIES),
                Attempt::Lost(error) => ("connection", error, TRIES),
            };
            tries += 1;
            if tries > most {
                return Answered(Some(error));
            }
            crowded |= matches!(cause, "deadlock" | "lock_timeout");
            self.ledger.common.count(job.name(), cause);
            recover::pause(tries).await;
        }
    }

    /// One transaction of a job. Jobs that are alone in theirs wait for locks, and may wait for each other: the server ends
    /// one of these. That one is the only one that waits when it is run again, so that it is not ended again and again.
    async fn attempt(&mut self, job: &mut Box<dyn Job>, crowded: bool) -> Attempt {
        self.ledger.number += 1;
        let name = job.name();
        let attempt = match self.line() {
            Ok(line) => {
                let batch = Batch::new(line, false);
                let strength = if crowded { Strength::Exclusive } else { Strength::Shared };
                let run = async {
                    match batch.lock(0, WAITING, strength).await {
                        Ok(_) => job.run(&batch, 0).await,
                        Err(_) => Ran::Failed,
                    }
                };
                let ran = tokio::time::timeout(ALONE, run).await;
                self.ledger.judged(&batch, name, ran.ok()).await
            }
            Err(error) => Ok(Attempt::Lost(error)),
        };
        match attempt {
            Ok(attempt) => attempt,
            Err(failure) => match self.look_up().await {
                Ok(true) => Attempt::Done,
                Ok(false) => Attempt::Lost(failure.told(name)),
                Err(error) => Attempt::Final(error),
            },
        }
    }
}

impl Ledger {
    /// Commits, or rolls back.
    async fn ended(&self, batch: &Batch<'_>, waves: Waves) -> Outcome {
        match waves {
            Waves::Failed => {
                let cause = batch.failure().map_or("plan", |(_, failure)| cause(&failure));
                batch.roll_back().await;
                Outcome::Redo(cause)
            }
            Waves::Done { wrote: false, later } => {
                batch.roll_back().await;
                Outcome::Committed { later }
            }
            Waves::Done { wrote: true, later } => match batch.commit(&self.id, self.number).await {
                End::Committed => {
                    self.common.wrote();
                    Outcome::Committed { later }
                }
                End::RolledBack((_, failure)) => {
                    batch.roll_back().await;
                    Outcome::Redo(cause(&failure))
                }
                End::Uncertain(_) => Outcome::Uncertain { later },
            },
        }
    }

    /// What became of a transaction of one job; the failure where that is not known.
    async fn judged(
        &self,
        batch: &Batch<'_>,
        name: &'static str,
        ran: Option<Ran>,
    ) -> Result<Attempt, Failure> {
        let failed = match (batch.failure(), ran) {
            (Some(failed), _) => failed,
            (None, None) => {
                batch.roll_back().await;
                return Ok(Attempt::Final(unavailable(name, "it took too long")));
            }
            (None, Some(Ran::Done { wrote: false })) => {
                batch.roll_back().await;
                return Ok(Attempt::Done);
            }
            (None, Some(Ran::PutOff(_))) => {
                batch.roll_back().await;
                return Ok(Attempt::Wiser);
            }
            (None, Some(Ran::Failed)) => {
                batch.roll_back().await;
                return Ok(Attempt::Done);
            }
            (None, Some(Ran::Done { wrote: true })) => match batch.commit(&self.id, self.number).await {
                End::Committed => {
                    self.common.wrote();
                    return Ok(Attempt::Done);
                }
                End::RolledBack(failed) => failed,
                End::Uncertain(failure) => return Err(failure),
            },
        };
        batch.roll_back().await;
        Ok(self.verdict(failed))
    }

    fn verdict(&self, (what, failure): Failed) -> Attempt {
        if let Some(cause) = failure.is_passing() {
            return Attempt::Again(cause, failure.told(what));
        }
        let lost = failure.is_of_the_line();
        let error = failure.told(what);
        self.common.note(&error);
        if lost { Attempt::Lost(error) } else { Attempt::Final(error) }
    }
}

/// What a job is answered: what it says itself, or this.
struct Answered(Option<StoreError>);

impl Answered {
    fn answer(self, job: Box<dyn Job>) {
        let lost = self.0.map(Arc::new);
        job.answer(lost.as_ref());
    }
}

/// How the jobs of a transaction went.
enum Waves {
    /// One of them failed, and its writes cannot be told from those of the others.
    Failed,
    Done {
        wrote: bool,
        later: Vec<usize>,
    },
}

enum Outcome {
    Committed { later: Vec<usize> },
    Redo(&'static str),
    Uncertain { later: Vec<usize> },
}

/// Runs jobs side by side; those that stand in each other's way once more; what is left, one after the other.
async fn waves(batch: &Batch<'_>, jobs: &mut [Queued]) -> Waves {
    let mut waiting: Vec<usize> = (0..jobs.len()).collect();
    let (mut later, mut wrote, mut turn) = (Vec::new(), false, 0);
    while !waiting.is_empty() {
        let now = if turn < 2 { std::mem::take(&mut waiting) } else { vec![waiting.remove(0)] };
        let chosen = jobs.iter_mut().enumerate().filter(|(who, _)| now.contains(who));
        let ran = batch.wave(chosen.map(|(who, queued)| (who, &mut queued.job)).collect()).await;
        for (who, outcome) in ran {
            match outcome {
                Ran::Done { wrote: something } => wrote |= something,
                Ran::PutOff(Deferral::Within) if turn < 4 * BATCH => waiting.push(who),
                Ran::PutOff(_) => later.push(who),
                Ran::Failed => return Waves::Failed,
            }
        }
        waiting.sort_unstable();
        if !waiting.is_empty() {
            batch.flush().await;
        }
        if batch.has_failed() {
            return Waves::Failed;
        }
        turn += 1;
    }
    Waves::Done { wrote, later }
}

fn gone() -> StoreError {
    unavailable("write", "the database does not answer")
}

/// Parts the jobs that were put off from the others.
fn part(jobs: Vec<Queued>, later: &[usize]) -> (Vec<Queued>, Vec<Queued>) {
    let (put_off, done): (Vec<_>, Vec<_>) =
        jobs.into_iter().enumerate().partition(|(who, _)| later.contains(who));
    let bare = |jobs: Vec<(usize, Queued)>| jobs.into_iter().map(|(_, queued)| queued).collect();
    (bare(put_off), bare(done))
}

fn cause(failure: &Failure) -> &'static str {
    match failure.is_passing() {
        Some(cause) => cause,
        None if failure.is_of_the_line() => "connection",
        None => "plan",
    }
}

/// A connection with a part of the counts of its own: a lock that lives as long as the connection, the first that is free.
async fn open(dial: Dial) -> Result<Open, Failure> {
    const SQL: &str = "SELECT n::bigint FROM generate_series(0, 9999) AS n
        WHERE pg_try_advisory_lock(1297306452, n) LIMIT 1";
    let connection = connect(&dial).await?;
    let row = connection.client.query_opt(SQL, &[]).await?;
    Ok(Open { connection, shard: row.map_or(-1, |row| row.get(0)) })
}
