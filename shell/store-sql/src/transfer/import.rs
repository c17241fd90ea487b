//! Writing everything, and looking whether it arrived.

use std::collections::BTreeMap;

use muster_model::{Machine, SiteId, TenantId};
use muster_store::StoreError;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::format::{Head, parse_row, sum, table_line, tail_line};
use super::table::{ALL, BATCH, Datum, Texts};
use super::{Landing, Source, TransferError};
use crate::cells::Cells;
use crate::engine::{Engine, Row, Value};
use crate::rows::{deployment, machine};
use crate::words::Words;
use crate::{invariant, machine_columns, sql};

const WHAT: &str = "import";
/// How many machines are taken at a time when their words are written.
const MACHINES: i64 = 1000;

/// An export whose head has been read.
pub struct Incoming<S> {
    /// What it says of itself.
    pub head: Head,
    source: S,
    hash: Sha256,
    /// The line that was read last, from 1.
    line: u64,
}

impl<S: Source> Incoming<S> {
    /// Reads the head.
    ///
    /// # Errors
    /// What is no export, or one of another version.
    pub async fn begin(mut source: S) -> Result<Self, TransferError> {
        let what = "there is nothing in it".to_owned();
        let line = source.next().await?.ok_or(TransferError::Damaged { line: 1, what })?;
        let mut hash = Sha256::new();
        sum(&mut hash, &line);
        Ok(Self { head: Head::parse(&line)?, source, hash, line: 1 })
    }

    async fn next(&mut self) -> Result<String, TransferError> {
        self.line += 1;
        self.source.next().await?.ok_or_else(|| self.damaged("the end is missing: it was cut"))
    }

    async fn next_summed(&mut self) -> Result<String, TransferError> {
        let line = self.next().await?;
        sum(&mut self.hash, &line);
        Ok(line)
    }

    fn damaged(&self, what: impl Into<String>) -> TransferError {
        TransferError::Damaged { line: self.line, what: what.into() }
    }

    /// The line that begins a table; its columns must be ours.
    async fn table(&mut self, texts: &Texts) -> Result<(), TransferError> {
        let line = self.next_summed().await?;
        if line == table_line(texts.table) {
            return Ok(());
        }
        let json: Json = serde_json::from_str(&line).unwrap_or_default();
        if json["table"] == texts.table.name {
            let what = format!("{} has other columns", texts.table.name);
            return Err(TransferError::Version { line: self.line, what });
        }
        Err(self.damaged(format!("the table {} should begin here", texts.table.name)))
    }

    /// The tail: as many rows, the same sum, and nothing after it.
    async fn end(&mut self) -> Result<(), TransferError> {
        let line = self.next().await?;
        if line != tail_line(self.head.rows(), self.hash.clone()) {
            return Err(self.damaged("the sum is another one: a line before was changed"));
        }
        self.line += 1;
        match self.source.next().await? {
            None => Ok(()),
            Some(_) => Err(self.damaged("there is something after the end")),
        }
    }
}

/// Writes an export into an empty database and compares. Nothing counts before the caller commits, and only after this
/// returned `Ok` it may. `told` hears how many rows came.
///
/// # Errors
/// What is damaged, cut, refused by the database, or arrived otherwise than it was sent.
pub async fn import<E: Landing, S: Source>(
    engine: &mut E,
    incoming: &mut Incoming<S>,
    mut told: impl FnMut(&Head, u64) + Send,
) -> Result<(), TransferError> {
    if deployment::deployment(engine).await?.is_some() || has_rows(engine).await? {
        return Err(TransferError::NotEmpty);
    }
    let mut rows = 0;
    for texts in ALL.iter() {
        incoming.table(texts).await?;
        let count = incoming.head.counts.iter().find(|(table, _)| *table == texts.table.name);
        let mut left = count.map_or(0, |(_, count)| *count);
        while left > 0 {
            let taken = usize::try_from(left).unwrap_or(BATCH).min(BATCH);
            batch(engine, incoming, texts, taken).await?;
            left -= taken as u64;
            rows += taken as u64;
            told(&incoming.head, rows);
        }
    }
    incoming.end().await?;
    derive(engine).await?;
    engine.landed().await?;
    compare(engine, &incoming.head).await
}

async fn has_rows<E: Engine>(engine: &mut E) -> Result<bool, StoreError> {
    for texts in ALL.iter().filter(|texts| matches!(texts.table.name, "tenants" | "machines" | "audit")) {
        if sql::count(engine, WHAT, &texts.count, &[]).await? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads so many rows and writes them: by one statement where there are enough.
async fn batch<E: Engine, S: Source>(
    engine: &mut E,
    incoming: &mut Incoming<S>,
    texts: &'static Texts,
    count: usize,
) -> Result<(), TransferError> {
    let from = incoming.line + 1;
    let mut rows: Vec<Vec<Datum>> = Vec::with_capacity(count);
    for _ in 0..count {
        let line = incoming.next_summed().await?;
        rows.push(parse_row(texts.table, &line).map_err(|what| incoming.damaged(what))?);
    }
    let refused = |cause| TransferError::Refused { from, to: incoming.line, cause };
    if count == BATCH {
        let values: Vec<Value<'_>> = rows.iter().flatten().map(Datum::value).collect();
        return engine.execute(WHAT, &texts.insert_batch, &values).await.map(drop).map_err(refused);
    }
    for row in &rows {
        let values: Vec<Value<'_>> = row.iter().map(Datum::value).collect();
        engine.execute(WHAT, &texts.insert, &values).await.map_err(refused)?;
    }
    Ok(())
}

/// Makes what is made of other rows: the words that machines are found by, and how many of them stand in which state.
async fn derive<E: Landing>(engine: &mut E) -> Result<(), TransferError> {
    let mut counts: BTreeMap<(TenantId, SiteId, &'static str), i64> = BTreeMap::new();
    let mut after = i64::MIN;
    loop {
        let page: Vec<(Machine, i64)> = numbered(engine, after).await?;
        let Some((_, last)) = page.last() else { break };
        after = *last;
        for (machine, _) in &page {
            // Nothing was indexed yet; but the row was not written just now either.
            engine.note_words(machine, Words::of(machine), true).await?;
            *counts.entry((machine.tenant, machine.site, machine.state.as_str())).or_default() += 1;
        }
        engine.words_noted().await?;
    }
    for ((tenant, site, state), count) in counts {
        engine.keep_count(tenant, site, state, count).await?;
    }
    Ok(())
}

/// Machines that came after a number, with theirs.
async fn numbered<E: Engine>(engine: &mut E, after: i64) -> Result<Vec<(Machine, i64)>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", machine_columns!(), ", m.n FROM machines m WHERE m.n > ?1 ORDER BY m.n LIMIT ?2");
    let parse = |row: &dyn Row| {
        let mut cells = Cells::of(&machine::MACHINES, row);
        Ok((machine::cells(&mut cells)?, cells.get("n")?))
    };
    engine.query(WHAT, SQL, &[Value::Int(after), Value::Int(MACHINES)], parse).await
}

/// Whether everything is there: by number of rows, by deployment, and by the newest audit entry.
async fn compare<E: Engine>(engine: &mut E, head: &Head) -> Result<(), TransferError> {
    let differs = |what: &str| TransferError::Differs { what: what.to_owned() };
    for (texts, (_, sent)) in ALL.iter().zip(&head.counts) {
        let arrived = sql::count(engine, WHAT, &texts.count, &[]).await?;
        if arrived != *sent {
            return Err(differs(&format!("{} has {arrived} rows and not {sent}", texts.table.name)));
        }
    }
    let found = deployment::deployment(engine).await?.ok_or_else(|| invariant(WHAT, "no deployment"))?;
    if (found.id, found.proof) != (head.deployment, head.proof) || found.incarnations.is_empty() {
        return Err(differs("the deployment"));
    }
    if deployment::newest_entry(engine).await? != head.newest {
        return Err(differs("the newest audit entry"));
    }
    Ok(())
}
