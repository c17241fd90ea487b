//! A transaction, and what its decisions ask of it.
//!
//! In a transaction of several decisions these go on in step: each goes as far as it gets without an answer; what all of
//! them asked meanwhile is sent together, each text once; and so on until all are done. None of them waits for a lock
//! there: what another transaction holds, its decision is put off for. A decision alone in its transaction asks and waits
//! by itself.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::future::{BoxFuture, join, join_all};
use muster_model::ReplicaId;
use muster_store::StoreError;
use muster_store_sql::Value;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use crate::connection::Connected;
use crate::effects::{Bound, Effects, Write, now};
use crate::failure::{Failure, unavailable};
use crate::job::{Job, Ran};
use crate::locks::{Claim, Claims, Number, Strength};
use crate::puts::Puts;
use crate::round::{self, Answer, Answers, Asked, Failed, Wanted};
use crate::shape;
use crate::values::Owned;

/// What is read under a lock must be what is there once the lock is: a snapshot of the whole transaction would be older,
/// whatever the database's default is.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
const BEGIN_ANEW: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; DISCARD PLANS";

/// A transaction that is open, or about to be.
pub(crate) struct Batch<'l> {
    line: Line<'l>,
    /// Whether several decisions share it.
    pub(crate) shared: bool,
    state: Mutex<State>,
}

/// What a transaction is made on.
#[derive(Clone, Copy)]
pub(crate) struct Line<'l> {
    pub(crate) connection: &'l Connected,
    /// The part of the counts that is this connection's own.
    pub(crate) shard: i64,
    pub(crate) replica: Option<ReplicaId>,
}

#[derive(Default)]
struct State {
    begun: bool,
    asked: Vec<Asked>,
    wanted: Vec<Wanted>,
    answers: HashMap<u64, Answer>,
    granted: HashMap<u64, bool>,
    tickets: u64,
    claims: Claims,
    puts: Puts,
    effects: Effects,
    /// The first failure: the transaction is of no use any more.
    failure: Option<Failed>,
}

impl State {
    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }
}

/// Who has a lock that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    /// The asker.
    Yes,
    /// Another decision of this transaction.
    Within,
    /// Another transaction.
    Elsewhere,
}

/// How a transaction ended.
#[derive(Debug)]
pub(crate) enum End {
    Committed,
    RolledBack(Failed),
    /// The connection went while it was being committed.
    Uncertain(Failure),
}

impl<'l> Batch<'l> {
    pub(crate) fn new(line: Line<'l>, shared: bool) -> Self {
        Self { line, shared, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole at every point where a panic could have happened.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the failure that ended it, if one did.
    pub(crate) fn failure(&self) -> Option<Failed> {
        self.state().failure.take()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.state().failure.is_some()
    }

    fn fail(&self, what: &'static str, failure: Failure) -> StoreError {
        self.state().failure.get_or_insert((what, failure));
        unavailable(what, "the transaction failed")
    }

    /// What is gathered for all decisions.
    pub(crate) fn effects<T>(&self, with: impl FnOnce(&mut Effects) -> T) -> T {
        with(&mut self.state().effects)
    }

    /// Gives up what a decision that is put off had claimed.
    pub(crate) fn give_up(&self, who: usize) {
        self.state().claims.give_up(who);
    }

    pub(crate) fn has(&self, who: usize, number: Number, strength: Strength) -> bool {
        self.state().claims.has(who, number, strength)
    }

    /// Asks a statement.
    pub(crate) async fn ask(
        &self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Answer, StoreError> {
        let values = values.iter().map(|value| Owned::from(*value)).collect();
        if !self.shared {
            return self.ask_alone(what, sql, values).await;
        }
        let ticket = {
            let mut state = self.state();
            let ticket = state.ticket();
            state.asked.push(Asked { ticket, what, sql, values });
            ticket
        };
        self.told(what, |state| state.answers.remove(&ticket)).await
    }

    /// Writes a row that must be there, or a new one. In a transaction of several it waits to be sent with others, and is
    /// taken to be done: if it turns out not to be, the transaction is rolled back.
    pub(crate) async fn put(
        &self,
        who: usize,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, StoreError> {
        if !self.shared || !shape::writes_for_many(sql) {
            return Ok(self.ask(what, sql, values).await?.count);
        }
        let values = values.iter().map(|value| Owned::from(*value)).collect();
        self.state().puts.push(who, what, sql, values);
        Ok(1)
    }

    async fn ask_alone(
        &self,
        what: &'static str,
        sql: &'static str,
        values: Vec<Owned>,
    ) -> Result<Answer, StoreError> {
        let asked = async {
            self.begin().await?;
            let statement = self.line.connection.prepared(sql).await?;
            round::one(self.line.connection, &statement, &values).await
        };
        self.line.connection.bounded(asked).await.map_err(|failure| self.fail(what, failure))
    }

    async fn begin(&self) -> Result<(), Failure> {
        let begun = std::mem::replace(&mut self.state().begun, true);
        if begun { Ok(()) } else { self.line.connection.begin([BEGIN, BEGIN_ANEW]).await }
    }

    /// Waits for the round that brings an answer. Nobody is woken: who drives the round looks after all.
    async fn told<T>(
        &self,
        what: &'static str,
        mut take: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, StoreError> {
        poll_fn(|_| {
            let mut state = self.state();
            match take(&mut state) {
                Some(answer) => Poll::Ready(Ok(answer)),
                None if state.failure.is_some() => {
                    Poll::Ready(Err(unavailable(what, "the transaction failed")))
                }
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Takes a lock for a decision.
    pub(crate) async fn lock(
        &self,
        who: usize,
        number: Number,
        strength: Strength,
    ) -> Result<Locked, StoreError> {
        const WHAT: &str = "take a lock";
        let claim = self.state().claims.claim(who, number, strength);
        match claim {
            Claim::Held => return Ok(Locked::Yes),
            Claim::Taken => return Ok(Locked::Within),
            Claim::Ask if self.shared => {}
            Claim::Ask => {
                let sql = match strength {
                    Strength::Shared => "SELECT CAST(pg_advisory_xact_lock_shared(?1) AS text)",
                    Strength::Exclusive => "SELECT CAST(pg_advisory_xact_lock(?1) AS text)",
                };
                self.ask_alone(WHAT, sql, vec![Owned::Int(number)]).await?;
                self.state().claims.granted(number, strength);
                return Ok(Locked::Yes);
            }
        }
        let ticket = {
            let mut state = self.state();
            let ticket = state.ticket();
            state.wanted.push(Wanted { ticket, number, strength });
            ticket
        };
        let granted = self.told(WHAT, |state| state.granted.remove(&ticket)).await?;
        Ok(if granted { Locked::Yes } else { Locked::Elsewhere })
    }

    /// Runs jobs side by side until each is done, or as far as it gets.
    pub(crate) async fn wave(&self, jobs: Vec<(usize, &mut Box<dyn Job>)>) -> Vec<(usize, Ran)> {
        let mut ran = Vec::with_capacity(jobs.len());
        let mut running: Vec<(usize, BoxFuture<'_, Ran>)> =
            jobs.into_iter().map(|(who, job)| (who, job.run(self, who))).collect();
        loop {
            running.retain_mut(|(who, job)| {
                let polled = job.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                if let Poll::Ready(outcome) = polled {
                    ran.push((*who, outcome));
                    return false;
                }
                true
            });
            if running.is_empty() {
                self.state().claims.settle();
                return ran;
            }
            self.round().await;
        }
    }

    /// Sends what is asked, and hands the answers out. What was written goes before what is read after it.
    async fn round(&self) {
        if !self.state().puts.is_empty() {
            self.flush().await;
        }
        let (asked, wanted) = {
            let mut state = self.state();
            (std::mem::take(&mut state.asked), std::mem::take(&mut state.wanted))
        };
        if asked.is_empty() && wanted.is_empty() {
            self.fail("run a decision", Failure::Idle);
            return;
        }
        match round::send(self.line.connection, self.begin(), asked, wanted).await {
            Ok(Answers { asked, locks }) => {
                let mut state = self.state();
                state.answers.extend(asked);
                for (Wanted { ticket, number, strength }, granted) in locks {
                    if granted {
                        state.claims.granted(number, strength);
                    }
                    state.granted.insert(ticket, granted);
                }
            }
            Err((what, failure)) => drop(self.fail(what, failure)),
        }
    }

    /// Writes what was gathered so far, so that decisions that follow see it.
    pub(crate) async fn flush(&self) {
        let writes = self.gathered();
        let written = self.line.connection.bounded(async {
            self.begin().await?;
            let writes = self.ready(writes).await?;
            Ok(join_all(writes.iter().map(|write| self.write(write))).await)
        });
        match written.await {
            Ok(written) => {
                if let Some((what, failure)) = written.into_iter().find_map(Result::err) {
                    self.fail(what, failure);
                }
            }
            Err(failure) => drop(self.fail("write what was gathered", failure)),
        }
    }

    /// What waits to be written: what each decision wrote, then what they have in common.
    fn gathered(&self) -> Vec<Write> {
        let Line { shard, replica, .. } = self.line;
        let mut state = self.state();
        let mut writes = state.puts.take();
        writes.extend(state.effects.take(shard, replica));
        writes
    }

    async fn ready(&self, writes: Vec<Write>) -> Result<Vec<(Statement, Write)>, Failure> {
        let mut ready = Vec::with_capacity(writes.len());
        for write in writes {
            let statement = match write.for_many {
                true => self.line.connection.grouped(write.sql).await?.ok_or(Failure::Unclear)?,
                false => self.line.connection.prepared(write.sql).await?,
            };
            ready.push((statement, write));
        }
        Ok(ready)
    }

    async fn write(&self, (statement, write): &(Statement, Write)) -> Result<(), Failed> {
        let values: Vec<&(dyn ToSql + Sync)> = write.values.iter().map(Bound::as_sql).collect();
        let written = self.line.connection.execute(statement, &values).await;
        written.map(drop).map_err(|failure| (write.what, failure))
    }

    /// Lets go of everything. A connection that cannot even do that is not used again.
    pub(crate) async fn roll_back(&self) {
        let connection = self.line.connection;
        let begun = self.state().begun;
        if begun && connection.is_usable() && connection.bounded(connection.step("ROLLBACK")).await.is_err() {
            connection.spoil();
        }
    }

    /// Writes what was gathered and the number of this transaction, and commits: sent in one go. The commit of a
    /// transaction in which a statement failed is none, and is not taken for one.
    pub(crate) async fn commit(&self, lane: &[u8; 16], number: i64) -> End {
        let mut writes = self.gathered();
        writes.push(note(lane, number));
        let ready = self.line.connection.bounded(async {
            self.begin().await?;
            self.ready(writes).await
        });
        let writes = match ready.await {
            Ok(writes) => writes,
            Err(failure) => return End::RolledBack(("prepare to commit", failure)),
        };
        let all = async {
            let written = join_all(writes.iter().map(|write| self.write(write)));
            Ok(join(written, self.line.connection.step("COMMIT")).await)
        };
        let (written, committed) = match self.line.connection.bounded(all).await {
            Ok(ended) => ended,
            Err(failure) => return End::Uncertain(failure),
        };
        match (written.into_iter().find_map(Result::err), committed) {
            (None, Ok(())) => End::Committed,
            (Some((_, failure)), _) if failure.is_of_the_line() => End::Uncertain(failure),
            (Some(failed), _) => End::RolledBack(failed),
            (None, Err(failure)) => End::Uncertain(failure),
        }
    }
}

/// Notes the number of a transaction. One that was given up on meanwhile has had its number raised by whoever looked:
/// then this fails, and the transaction with it.
fn note(lane: &[u8; 16], number: i64) -> Write {
    const SQL: &str = concat!(
        "INSERT INTO lanes AS l (id, batch, at) VALUES (?1, ?2, ",
        now!(),
        ") ON CONFLICT (id) DO UPDATE SET at = excluded.at, batch = CASE WHEN l.batch < excluded.batch
            THEN excluded.batch ELSE excluded.batch / (l.batch - l.batch) END"
    );
    let values = vec![Bound::One(Owned::Bytes(lane[..].into())), Bound::One(Owned::Int(number))];
    Write { what: "note the transaction", sql: SQL, values, for_many: false }
}
