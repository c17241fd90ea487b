//! What the decisions of a transaction ask at the same time, sent together: the locks first, then each text once.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::{join_all, join3};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use crate::connection::Connected;
use crate::failure::Failure;
use crate::locks::{Number, Strength};
use crate::values::Owned;

/// A statement that somebody waits for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) ticket: u64,
    pub(crate) what: &'static str,
    pub(crate) sql: &'static str,
    pub(crate) values: Vec<Owned>,
}

/// A lock that somebody waits to hear of. Nobody waits for the lock itself.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) ticket: u64,
    pub(crate) number: Number,
    pub(crate) strength: Strength,
}

/// What a statement gave one asker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) rows: Arc<Vec<Row>>,
    /// The first columns of each row, which were not asked for.
    pub(crate) skip: usize,
    /// How many rows were touched.
    pub(crate) count: u64,
}

/// What failed, and why.
pub(crate) type Failed = (&'static str, Failure);

/// The answers of a round, by ticket.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) asked: Vec<(u64, Answer)>,
    pub(crate) locks: Vec<(Wanted, bool)>,
}

/// Questions with one text, and how it is asked.
struct Group {
    form: Form,
    asked: Vec<Asked>,
    /// Who asked what somebody before had asked: the place of that one. All of a site's newcomers ask about the site.
    same: Vec<(u64, usize)>,
}

impl Group {
    fn add(&mut self, one: Asked) {
        let before = self.asked.iter().position(|asked| asked.values == one.values);
        match before.filter(|_| matches!(self.form, Form::Once(_))) {
            Some(place) => self.same.push((one.ticket, place)),
            None => self.asked.push(one),
        }
    }
}

enum Form {
    /// Once for all.
    Once(Statement),
    /// One by one.
    Each(Statement),
}

struct Locks {
    statement: Statement,
    wanted: Vec<Wanted>,
}

/// Sends a round in one go and waits for all of its answers. `begin` goes before everything.
pub(crate) async fn send(
    connection: &Connected,
    begin: impl Future<Output = Result<(), Failure>>,
    asked: Vec<Asked>,
    wanted: Vec<Wanted>,
) -> Result<Answers, Failed> {
    let prepared = async { Ok((groups(connection, asked).await?, locks(connection, wanted).await?)) };
    let (groups, locks) =
        connection.bounded(prepared).await.map_err(|failure| ("prepare statements", failure))?;
    // In this order they are sent: what is read is read under the locks.
    let all = join3(
        begin,
        join_all(locks.iter().map(|locks| locks.send(connection))),
        join_all(groups.iter().map(|group| group.send(connection))),
    );
    let all = connection.bounded(async { Ok(all.await) }).await;
    let (begun, locked, answered) = all.map_err(|failure| ("wait for an answer", failure))?;
    begun.map_err(|failure| ("begin", failure))?;
    let mut answers = Answers::default();
    for (locks, granted) in locks.into_iter().zip(locked) {
        let granted = granted.map_err(|failure| ("take a lock", failure))?;
        answers.locks.extend(locks.wanted.into_iter().zip(granted));
    }
    for (group, given) in groups.iter().zip(answered) {
        let given = given.map_err(|failure| (group.asked[0].what, failure))?;
        answers.asked.extend(group.same.iter().map(|(ticket, place)| (*ticket, given[*place].clone())));
        answers.asked.extend(group.asked.iter().map(|asked| asked.ticket).zip(given));
    }
    Ok(answers)
}

async fn groups(connection: &Connected, asked: Vec<Asked>) -> Result<Vec<Group>, Failure> {
    let mut groups: Vec<Group> = Vec::new();
    for one in asked {
        if let Some(group) = groups.iter_mut().find(|group| group.asked[0].sql == one.sql) {
            group.add(one);
            continue;
        }
        let form = match connection.grouped(one.sql).await? {
            Some(statement) => Form::Once(statement),
            None => Form::Each(connection.prepared(one.sql).await?),
        };
        groups.push(Group { form, asked: vec![one], same: Vec::new() });
    }
    Ok(groups)
}

async fn locks(connection: &Connected, wanted: Vec<Wanted>) -> Result<Vec<Locks>, Failure> {
    const SHARED: &str = "SELECT pg_try_advisory_xact_lock_shared(v.k)
        FROM unnest(?1::bigint[]) WITH ORDINALITY AS v (k, i) ORDER BY v.i";
    const EXCLUSIVE: &str = "SELECT pg_try_advisory_xact_lock(v.k)
        FROM unnest(?1::bigint[]) WITH ORDINALITY AS v (k, i) ORDER BY v.i";
    let (shared, exclusive): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|wanted| wanted.strength == Strength::Shared);
    let mut locks = Vec::new();
    for (sql, wanted) in [(SHARED, shared), (EXCLUSIVE, exclusive)] {
        if !wanted.is_empty() {
            locks.push(Locks { statement: connection.prepared(sql).await?, wanted });
        }
    }
    Ok(locks)
}

impl Locks {
    async fn send(&self, connection: &Connected) -> Result<Vec<bool>, Failure> {
        let numbers: Vec<Number> = self.wanted.iter().map(|wanted| wanted.number).collect();
        let rows = connection.query(&self.statement, &[&numbers]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

impl Group {
    /// The answers, in the order of the askers.
    async fn send(&self, connection: &Connected) -> Result<Vec<Answer>, Failure> {
        match &self.form {
            Form::Once(statement) => self.send_once(connection, statement).await,
            Form::Each(statement) => {
                let each = self.asked.iter().map(|asked| one(connection, statement, &asked.values));
                join_all(each).await.into_iter().collect()
            }
        }
    }

    async fn send_once(&self, connection: &Connected, statement: &Statement) -> Result<Vec<Answer>, Failure> {
        let width = self.asked[0].values.len();
        let column = |n: usize| -> Vec<&Owned> { self.asked.iter().map(|asked| &asked.values[n]).collect() };
        let columns: Vec<Vec<&Owned>> = (0..width).map(column).collect();
        let values: Vec<&(dyn ToSql + Sync)> = columns.iter().map(|column| column as _).collect();
        let mut parts: Vec<Vec<Row>> = self.asked.iter().map(|_| Vec::new()).collect();
        for row in connection.query(statement, &values).await? {
            let place = usize::try_from(row.get::<_, i64>(0)).ok().and_then(|i| i.checked_sub(1));
            place.and_then(|place| parts.get_mut(place)).ok_or(Failure::Unclear)?.push(row);
        }
        let answer = |rows: Vec<Row>| Answer { count: rows.len() as u64, rows: Arc::new(rows), skip: 1 };
        Ok(parts.into_iter().map(answer).collect())
    }
}

/// Asks a statement for one asker.
pub(crate) async fn one(
    connection: &Connected,
    statement: &Statement,
    values: &[Owned],
) -> Result<Answer, Failure> {
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
    if statement.columns().is_empty() {
        let count = connection.execute(statement, &values).await?;
        return Ok(Answer { count, ..Answer::default() });
    }
    let rows = connection.query(statement, &values).await?;
    Ok(Answer { count: rows.len() as u64, rows: Arc::new(rows), skip: 0 })
}
