//! What is SQLite's own among the statements: the order in which tables are joined, the index of words, and lists that
//! get out of the way of other tasks.

use std::future::{Future, poll_fn, ready};
use std::pin::pin;

use muster_model::{Machine, Replica, SiteId, TenantId};
use muster_store::{Answer, MachineFilter, MachineRow, PageRequest, StoreError};
use muster_store_sql::words::Words;
use muster_store_sql::{
    Cell, Dialect, Row, Texts, WriteDialect, invariant, machine_row, place, sql, texts, values,
};
use rusqlite::Connection;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use crate::engine::{Source, Sqlite, execute, first, query};
use crate::search::{self, Pending};

/// CROSS JOIN keeps the order of the tables as it is written: the page drives, the rest is looked up row by row.
macro_rules! select {
    ($from:expr, $tail:expr) => {
        muster_store_sql::select_machine_rows!(
            "CROSS JOIN",
            "p.last_seen, coalesce(p.online, 0) AS online",
            "",
            $from,
            $tail
        )
    };
}

impl<S: Source> Dialect for Sqlite<S> {
    const TEXTS: &'static Texts = &texts!(
        "CROSS JOIN",
        "p.last_seen, coalesce(p.online, 0) AS online",
        "",
        "json_extract(attributes, '$.agent_version'), json_extract(attributes, '$.version')"
    );

    async fn found(
        &mut self,
        tenant: TenantId,
        filter: &MachineFilter,
        page: PageRequest,
        words: &[String],
    ) -> Result<Vec<MachineRow>, StoreError> {
        // In the order of the index of words.
        const SQL: &str = select!(
            "machine_search w CROSS JOIN machines m ON m.n = w.rowid",
            "WHERE w.machine_search MATCH ?2 AND w.rowid > ?4 AND m.tenant_id = ?1
                AND (?5 IS NULL OR m.state = ?5) AND (?6 IS NULL OR m.site_id = ?6)
                ORDER BY w.rowid LIMIT ?3"
        );
        let start = place(self, tenant, page).await?;
        let asked = search::query_of(tenant, words);
        let site = filter.site.as_ref().map(SiteId::as_bytes);
        let values = values![tenant.as_bytes(), &asked, sql::probe(page), start, filter.state, site];
        let parse = |row: &dyn Row| machine_row(row).map(|(_, row)| row);
        query(self.db(), "search machines", SQL, &values, parse)
    }

    /// A file belongs to one process, which knows itself.
    fn replicas(&mut self) -> impl Answer<Vec<Replica>> {
        ready(Ok(Vec::new()))
    }

    /// A list reads many rows within the call: meanwhile the other tasks of this thread go to another.
    async fn aside<F: Future + Send>(work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| match Handle::try_current().map(|handle| handle.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => block_in_place(|| work.as_mut().poll(context)),
            Ok(_) | Err(_) => work.as_mut().poll(context),
        })
        .await
    }
}

/// The connection of the writer, within its transaction.
#[derive(Debug)]
pub(crate) struct Writing<'b> {
    pub(crate) db: &'b mut Connection,
    /// What the index of words learns with the commit.
    pub(crate) words: &'b mut Pending,
}

impl Source for Writing<'_> {
    fn connection(&mut self) -> &Connection {
        self.db
    }
}

impl WriteDialect for Sqlite<Writing<'_>> {
    fn note_words(
        &mut self,
        machine: &Machine,
        words: Words,
        known: bool,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        let number = if known { number(self.0.db, machine) } else { Ok(self.0.db.last_insert_rowid()) };
        let indexed = search::indexed(machine.tenant, &words);
        ready(number.map(|n| self.0.words.note(n, indexed, known)))
    }

    fn keep_count(
        &mut self,
        tenant: TenantId,
        site: SiteId,
        state: &'static str,
        change: i64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        const SQL: &str = "INSERT INTO machine_counts (tenant_id, site_id, state, n) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO UPDATE SET n = n + excluded.n";
        let values = values![tenant.as_bytes(), site.as_bytes(), state, change];
        ready(execute(self.0.db, "keep the count of machines", SQL, &values).map(drop))
    }
}

fn number(db: &Connection, machine: &Machine) -> Result<i64, StoreError> {
    const SQL: &str = "SELECT n FROM machines WHERE tenant_id = ?1 AND id = ?2";
    let values = values![machine.tenant.as_bytes(), machine.id.as_bytes()];
    let parse = |row: &dyn Row| match row.cell(0) {
        Cell::Int(n) => Ok(n),
        other => Err(invariant("find a machine", format!("its number is {other:?}"))),
    };
    let found = first(db, "find a machine", SQL, &values, parse)?;
    found.ok_or_else(|| invariant("find a machine", "there is no such machine"))
}
