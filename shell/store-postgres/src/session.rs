//! A decision's hands in a transaction: it asks statements, and gathers what is written once for all.

use std::future::{Future, ready};

use muster_model::{Machine, Replica, SiteId, TenantId};
use muster_store::{MachineFilter, MachineRow, PageRequest, StoreError};
use muster_store_sql::cells::Parsed;
use muster_store_sql::words::Words;
use muster_store_sql::{Dialect, Engine, Row, Texts, Value, WriteDialect};

use crate::batch::Batch;
use crate::dialect;
use crate::values::Found;

/// What a decision asks through.
#[derive(Clone, Copy)]
pub(crate) struct Session<'b> {
    batch: &'b Batch<'b>,
    who: usize,
}

impl<'b> Session<'b> {
    pub(crate) fn new(batch: &'b Batch<'b>, who: usize) -> Self {
        Self { batch, who }
    }
}

impl Engine for Session<'_> {
    async fn query<T: Send>(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
        mut parse: impl FnMut(&dyn Row) -> Parsed<T> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let answer = self.batch.ask(what, sql, values).await?;
        answer.rows.iter().map(|row| parse(&Found { row, skip: answer.skip })).collect()
    }

    async fn execute(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, StoreError> {
        self.batch.put(self.who, what, sql, values).await
    }
}

impl Dialect for Session<'_> {
    const TEXTS: &'static Texts = &dialect::TEXTS;

    async fn found(
        &mut self,
        tenant: TenantId,
        filter: &MachineFilter,
        page: PageRequest,
        words: &[String],
    ) -> Result<Vec<MachineRow>, StoreError> {
        dialect::found(self, tenant, filter, page, words).await
    }

    async fn replicas(&mut self) -> Result<Vec<Replica>, StoreError> {
        dialect::replicas(self).await
    }
}

impl WriteDialect for Session<'_> {
    fn note_words(
        &mut self,
        machine: &Machine,
        words: Words,
        _: bool,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.batch.effects(|effects| effects.words(machine.tenant, machine.id, &words));
        ready(Ok(()))
    }

    fn keep_count(
        &mut self,
        tenant: TenantId,
        site: SiteId,
        state: &'static str,
        change: i64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.batch.effects(|effects| effects.count(tenant, site, state, change));
        ready(Ok(()))
    }
}
