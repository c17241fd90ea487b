//! What is old enough to go, and what a replica that is gone for good left behind.

use futures_util::future::BoxFuture;
use muster_store::{Fence, Prune, StoreError};
use muster_store_sql::cells::{FromCell, millis};
use muster_store_sql::{Engine, invariant, values};

use crate::batch::Batch;
use crate::effects::now;
use crate::fence;
use crate::job::Write;
use crate::session::Session;

/// Deletes what is old, under a lease.
pub(crate) struct Pruning {
    pub(crate) fence: Fence,
    pub(crate) prune: Prune,
}

impl Write for Pruning {
    const NAME: &'static str = "prune";

    fn write<'w>(&'w self, batch: &'w Batch<'_>, who: usize) -> BoxFuture<'w, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut session = Session::new(batch, who);
            fence::check(&mut session, self.fence).await?;
            let rows = muster_store_sql::prune(&mut session, &self.prune).await?;
            Ok(rows + forget(&mut session, &self.prune).await?)
        })
    }
}

fn no_time() -> StoreError {
    invariant("tell the time", "the server gave none")
}

/// Replicas that were last alive too long ago: their machines are plainly offline, and then they are forgotten. Signals
/// and lanes of that age tell nobody anything. All of these bear the server's time: a replica whose clock is ahead must not
/// forget those that are alive.
async fn forget<E: Engine>(db: &mut E, prune: &Prune) -> Result<u64, StoreError> {
    const OFFLINE: &str =
        "UPDATE presence p SET online = 0, replica = NULL, last_seen = greatest(p.last_seen, r.alive_at)
        FROM replicas r WHERE p.replica = r.id AND r.alive_at < ?1 AND (p.tenant_id, p.machine_id) IN
            (SELECT o.tenant_id, o.machine_id FROM presence o JOIN replicas d ON d.id = o.replica
                WHERE d.alive_at < ?1 ORDER BY o.tenant_id, o.machine_id LIMIT ?2)";
    const REPLICAS: &str = "DELETE FROM replicas r WHERE r.alive_at < ?1
        AND NOT EXISTS (SELECT FROM presence p WHERE p.replica = r.id)";
    const SIGNALS: &str = "DELETE FROM signals WHERE seq IN
        (SELECT seq FROM signals WHERE at < ?1 ORDER BY at LIMIT ?2)";
    const LANES: &str = "DELETE FROM lanes WHERE at < ?1";
    const BEFORE: &str = concat!("SELECT least(?1::bigint, ", now!(), " - 3600000)");
    let asked = values![millis(prune.replicas_before)];
    let before =
        db.query("tell the time", BEFORE, &asked, |row| i64::from_cell(row.cell(0)).ok_or_else(no_time));
    let before = before.await?.first().copied().ok_or_else(no_time)?;
    let limit = prune.limit;
    let offline = db.execute("end the presence of lost replicas", OFFLINE, &values![before, limit]).await?;
    let replicas = db.execute("forget lost replicas", REPLICAS, &values![before]).await?;
    let signals = db.execute("forget old signals", SIGNALS, &values![before, limit]).await?;
    let lanes = db.execute("forget old lanes", LANES, &values![before]).await?;
    Ok(offline + replicas + signals + lanes)
}
