//! What a replica says and asks beside its work: that it is alive, what others committed, who does a job.
//!
//! On a connection of its own, so that neither a queue of writes nor a crowd of readers keeps it from saying so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use muster_lifecycle::MachineOrder;
use muster_model::{MachineId, SignedDuration, TenantId};
use muster_store::{Fence, Joining, Signal, Standing, StoreError};
use muster_store_sql::cells::millis;
use muster_store_sql::{invariant, values};
use tokio::sync::Mutex;

use crate::common::Common;
use crate::connection::{Connected, connect};
use crate::effects::now;
use crate::failure::{Failure, unavailable};
use crate::round::{self, Answer};
use crate::values::Owned;

/// How long one question may take, waiting for its turn included.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Control {
    common: Arc<Common>,
    open: Mutex<Option<Connected>>,
    heard: Mutex<Heard>,
    joining: std::sync::OnceLock<Joining>,
}

/// How far signals were heard.
#[derive(Debug, Default)]
struct Heard {
    /// Every transaction before this one had ended when signals were read last.
    horizon: i64,
    /// What was given already of those that had not.
    given: BTreeSet<i64>,
}

impl Control {
    pub(crate) fn new(common: Arc<Common>) -> Self {
        Self { common, open: Mutex::default(), heard: Mutex::default(), joining: std::sync::OnceLock::new() }
    }

    /// Asks a statement that may be asked twice: a connection that lay idle may have died unnoticed.
    async fn ask(
        &self,
        what: &'static str,
        sql: &'static str,
        values: &[Owned],
    ) -> Result<Answer, StoreError> {
        let asked = async {
            let mut open = self.open.lock().await;
            let idle = open.is_some();
            match self.try_ask(&mut open, sql, values).await {
                Err(failure) if idle && failure.is_of_the_line() => {
                    self.try_ask(&mut open, sql, values).await
                }
                answer => answer,
            }
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answer) => answer.map_err(|failure| failure.told(what)),
            Err(_) => Err(unavailable(what, "it took too long")),
        }
    }

    async fn try_ask(
        &self,
        open: &mut Option<Connected>,
        sql: &'static str,
        values: &[Owned],
    ) -> Result<Answer, Failure> {
        let connection = match open.take().filter(Connected::is_usable) {
            Some(connection) => connection,
            None => connect(&self.common.dial()).await?,
        };
        let asked = async {
            let statement = connection.prepared(sql).await?;
            round::one(&connection, &statement, values).await
        };
        let answer = connection.bounded(asked).await;
        // A question that is dropped before its answer takes the connection with it.
        *open = Some(connection);
        answer
    }

    /// Whether the store answers and takes writes.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        const SQL: &str =
            "SELECT CASE WHEN pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'
            THEN 1::bigint ELSE 0::bigint END";
        const WHAT: &str = "check the store";
        let answer = self.ask(WHAT, SQL, &[]).await?;
        if answer.rows.first().is_some_and(|row| row.get::<_, i64>(0) == 1) {
            return Err(unavailable(WHAT, "the server takes no writes"));
        }
        if !self.common.is_full() {
            return Ok(());
        }
        self.find_room().await
    }

    /// Takes as many pages as a transaction may need, and gives them back: fails where there is no room.
    async fn find_room(&self) -> Result<(), StoreError> {
        const SQL: &str =
            "INSERT INTO room (filler) SELECT convert_to(repeat(md5(clock_timestamp()::text), 8192), 'UTF8');
            DELETE FROM room";
        let mut open = self.open.lock().await;
        let connection = match open.take().filter(Connected::is_usable) {
            Some(connection) => connection,
            None => connect(&self.common.dial()).await.map_err(|failure| failure.told("find room"))?,
        };
        let found = connection.bounded(connection.step(SQL)).await;
        *open = Some(connection);
        found.map_err(|failure| failure.told("find room"))?;
        self.common.found_room();
        Ok(())
    }

    /// Begins to work as this replica.
    pub(crate) async fn join(&self, joining: Joining) -> Result<(), StoreError> {
        if !self.common.join(joining.replica) || self.joining.set(joining).is_err() {
            return Err(invariant("join", "it joined before"));
        }
        // Asked on a connection that bears its name.
        drop(self.open.lock().await.take());
        self.enter(0).await?;
        self.signals().await.map(drop)
    }

    /// Lets go of the connection.
    pub(crate) async fn close(&self) {
        drop(self.open.lock().await.take());
    }

    fn joined(&self) -> Result<&Joining, StoreError> {
        self.joining.get().ok_or_else(|| invariant("work as a replica", "it did not join"))
    }

    async fn enter(&self, channels: u64) -> Result<(), StoreError> {
        const SQL: &str = concat!(
            "INSERT INTO replicas (id, version, started_at, alive_at, alive_until, channels)
                SELECT ?1::bytea, ?2::text, ?3::bigint, t.now, t.now + 10000, ?4::bigint FROM (SELECT ",
            now!(),
            " AS now) AS t
            ON CONFLICT (id) DO UPDATE SET alive_at = excluded.alive_at, alive_until = excluded.alive_until,
                channels = excluded.channels"
        );
        let Joining { replica, version, now } = self.joined()?;
        let channels = i64::try_from(channels).unwrap_or(i64::MAX);
        let values = values![replica.as_bytes(), version, millis(*now), channels].map(Owned::from);
        self.ask("enter as a replica", SQL, &values).await.map(drop)
    }

    /// Says that this replica is alive.
    pub(crate) async fn alive(&self, channels: u64) -> Result<Standing, StoreError> {
        const SQL: &str = concat!(
            "UPDATE replicas SET alive_at = t.now, alive_until = t.now + 10000, channels = ?2::bigint FROM (SELECT ",
            now!(),
            " AS now) AS t WHERE id = ?1"
        );
        let replica = self.joined()?.replica;
        let count = i64::try_from(channels).unwrap_or(i64::MAX);
        let values = values![replica.as_bytes(), count].map(Owned::from);
        if self.ask("say that it is alive", SQL, &values).await?.count == 1 {
            return Ok(Standing::Known);
        }
        self.enter(channels).await?;
        Ok(Standing::Forgotten)
    }

    /// What others committed since the last call. Numbers come to light out of order, so that what is new is told by the
    /// transactions that had not ended the last time. A horizon that fell back is that of another server: everything is
    /// new there.
    pub(crate) async fn signals(&self) -> Result<Vec<Signal>, StoreError> {
        const SQL: &str = "SELECT h.xmin, s.seq, s.tenant_id, s.machine_id, s.ord, CASE
                WHEN s.replica IS DISTINCT FROM ?2 THEN 1::bigint ELSE 0::bigint END,
                CASE WHEN s.xid < h.at THEN 0::bigint ELSE 1::bigint END
            FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS at,
                    CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS xmin) AS h
            LEFT JOIN signals s ON s.xid >= least(h.at, CAST(CAST(?1::bigint AS text) AS xid8))";
        let mut heard = self.heard.lock().await;
        let replica = self.common.replica().map_or(Owned::Null, |id| Owned::Bytes(id.as_bytes()[..].into()));
        let answer = self.ask("read signals", SQL, &[Owned::Int(heard.horizon), replica]).await?;
        let mut signals = Vec::new();
        let mut pending = BTreeSet::new();
        for row in answer.rows.iter() {
            let horizon: i64 = row.get(0);
            if horizon < heard.horizon {
                heard.given.clear();
            }
            heard.horizon = horizon;
            let Some(seq) = row.get::<_, Option<i64>>(1) else { continue };
            let known = heard.given.remove(&seq);
            if row.get::<_, i64>(6) == 1 {
                pending.insert(seq);
            }
            if !known && row.get::<_, i64>(5) == 1 {
                signals.push(signal(row)?);
            }
        }
        heard.given = pending;
        Ok(signals)
    }

    /// Takes or keeps the right to do a job.
    pub(crate) async fn lease(
        &self,
        job: &'static str,
        span: SignedDuration,
    ) -> Result<Option<Fence>, StoreError> {
        const SQL: &str = concat!(
            "INSERT INTO leases AS l (job, holder, token, until)
                SELECT ?1::text, ?2::bytea, 1, t.now + ?3::bigint FROM (SELECT ",
            now!(),
            " AS now) AS t
            ON CONFLICT (job) DO UPDATE SET holder = excluded.holder, until = excluded.until,
                token = CASE WHEN l.holder = excluded.holder AND l.until > excluded.until - ?3
                    THEN l.token ELSE l.token + 1 END
                WHERE l.holder = excluded.holder OR l.until <= excluded.until - ?3
            RETURNING token"
        );
        let holder = self.joined()?.replica;
        let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let values = values![job, holder.as_bytes(), span].map(Owned::from);
        let answer = self.ask("take a lease", SQL, &values).await?;
        let Some(row) = answer.rows.first() else { return Ok(None) };
        let token = u64::try_from(row.get::<_, i64>(0)).unwrap_or_default();
        Ok(Some(Fence { job, holder, token }))
    }
}

fn signal(row: &tokio_postgres::Row) -> Result<Signal, StoreError> {
    let broken = |column| StoreError::Broken {
        table: "signals",
        row: row.get::<_, Option<i64>>(1).unwrap_or_default().to_string(),
        column,
    };
    let id = |index, column| {
        let bytes: &[u8] = row.get(index);
        <[u8; 16]>::try_from(bytes).ok().ok_or_else(|| broken(column))
    };
    // An order that a newer version gave is a hint to look, as any signal is.
    let order = row.get::<_, Option<&str>>(4);
    let order = MachineOrder::ALL.into_iter().find(|known| Some(known.as_str()) == order);
    Ok(Signal {
        tenant: TenantId::from_bytes(id(2, "tenant_id")?),
        machine: MachineId::from_bytes(id(3, "machine_id")?),
        order,
    })
}
