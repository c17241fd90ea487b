//! An export read into an empty database, in one transaction.

use muster_model::{Machine, Replica, SiteId, TenantId};
use muster_store::{MachineFilter, MachineRow, PageRequest, StoreError};
use muster_store_sql::cells::Parsed;
use muster_store_sql::transfer::{self, Head, Incoming, Landing, TransferError};
use muster_store_sql::words::Words;
use muster_store_sql::{Dialect, Engine, Row, Texts, Value, WriteDialect};
use thiserror::Error;
use tokio_postgres::types::ToSql;

use crate::connection::{Connected, connect};
use crate::dialect;
use crate::effects::{Bound, Effects};
use crate::failure::Failure;
use crate::open::{self, OpenError};
use crate::round::{self, Answer};
use crate::settings::{Dial, Settings};
use crate::store::PostgresStore;
use crate::values::{Found, Owned};

const WHAT: &str = "import";

/// Why nothing was imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The database cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The export cannot be taken.
    #[error(transparent)]
    Transfer(#[from] TransferError),
}

impl PostgresStore {
    /// Reads an export into a database that has nothing in it but, at most, Muster's schema. All of it is there
    /// afterwards, or nothing.
    ///
    /// # Errors
    /// Where there is something in it, or the export is not whole. [`StoreError::Unknown`] where the connection was lost
    /// while it was committed.
    pub async fn import<S: transfer::Source>(
        settings: Settings,
        incoming: &mut Incoming<S>,
        told: impl FnMut(&Head, u64) + Send,
    ) -> Result<(), ImportError> {
        let dial = Dial::new(&settings)?;
        match open::create(&dial).await {
            Ok(()) => {}
            Err(OpenError::Exists(_)) => open::open(&dial).await?,
            Err(error) => return Err(error.into()),
        }
        let connection = connect(&dial.patient()).await.map_err(failed)?;
        let mut landing = Importing { connection: &connection, effects: Effects::default() };
        // Nobody founds a deployment in it meanwhile, and a slow source does not end the transaction.
        connection
            .step(
                "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE deployment IN EXCLUSIVE MODE",
            )
            .await
            .map_err(failed)?;
        transfer::import(&mut landing, incoming, told).await?;
        connection.step("COMMIT").await.map_err(unknown)?;
        // The planner's knowledge comes by itself, only later.
        if let Err(failure) = connection.step("ANALYZE").await {
            tracing::warn!(error = %failure, "the statistics of the database were not made");
        }
        Ok(())
    }
}

fn failed(failure: Failure) -> TransferError {
    failure.told(WHAT).into()
}

fn unknown(failure: Failure) -> TransferError {
    match failure.is_of_the_line() {
        true => StoreError::Unknown { what: WHAT, cause: Box::new(failure) }.into(),
        false => failed(failure),
    }
}

/// The one transaction of an import. Nothing bounds how long a statement of it may take.
struct Importing<'c> {
    connection: &'c Connected,
    effects: Effects,
}

impl Importing<'_> {
    async fn ask(
        &self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Answer, StoreError> {
        let values: Vec<Owned> = values.iter().map(|value| Owned::from(*value)).collect();
        let asked = async {
            let statement = self.connection.prepared(sql).await?;
            round::one(self.connection, &statement, &values).await
        };
        asked.await.map_err(|failure| failure.told(what))
    }

    async fn write_gathered(&mut self) -> Result<(), StoreError> {
        for write in self.effects.take(0, None) {
            let values: Vec<&(dyn ToSql + Sync)> = write.values.iter().map(Bound::as_sql).collect();
            let written = async {
                let statement = self.connection.prepared(write.sql).await?;
                self.connection.execute(&statement, &values).await
            };
            written.await.map_err(|failure| failure.told(write.what))?;
        }
        Ok(())
    }
}

impl Engine for Importing<'_> {
    async fn query<T: Send>(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
        mut parse: impl FnMut(&dyn Row) -> Parsed<T> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let answer = self.ask(what, sql, values).await?;
        answer.rows.iter().map(|row| parse(&Found { row, skip: answer.skip })).collect()
    }

    async fn execute(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, StoreError> {
        Ok(self.ask(what, sql, values).await?.count)
    }
}

impl Dialect for Importing<'_> {
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

impl WriteDialect for Importing<'_> {
    async fn note_words(&mut self, machine: &Machine, words: Words, _: bool) -> Result<(), StoreError> {
        self.effects.words(machine.tenant, machine.id, &words);
        Ok(())
    }

    async fn keep_count(
        &mut self,
        tenant: TenantId,
        site: SiteId,
        state: &'static str,
        change: i64,
    ) -> Result<(), StoreError> {
        self.effects.count(tenant, site, state, change);
        Ok(())
    }
}

impl Landing for Importing<'_> {
    async fn words_noted(&mut self) -> Result<(), StoreError> {
        self.write_gathered().await
    }

    async fn landed(&mut self) -> Result<(), StoreError> {
        const MACHINES: &str = "SELECT setval(pg_get_serial_sequence('machines', 'n'), max(n)) FROM machines";
        const AUDIT: &str = "SELECT setval(pg_get_serial_sequence('audit', 'seq'), max(seq)) FROM audit";
        self.write_gathered().await?;
        for sql in [MACHINES, AUDIT] {
            self.ask("go on after the greatest number", sql, &[]).await?;
        }
        Ok(())
    }
}
