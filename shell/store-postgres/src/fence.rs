//! Leases: the right to do a job that one replica does at a time.
//!
//! Whoever takes one that another had gets a higher number. What is done under it names that number, and the transaction
//! that does it looks whether it still stands, and keeps it standing until the commit: a holder that slept through the end
//! of its lease does nothing when it wakes.

use muster_store::{Fence, StoreError};
use muster_store_sql::{Engine, Row, values};

use crate::effects::now;

/// Sees that a right still stands.
pub(crate) async fn check<E: Engine>(db: &mut E, fence: Fence) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "SELECT token FROM leases WHERE job = ?1 AND holder = ?2 AND token = ?3 AND until > ",
        now!(),
        " FOR SHARE"
    );
    let token = i64::try_from(fence.token).unwrap_or(i64::MAX);
    let values = values![fence.job, fence.holder.as_bytes(), token];
    let found = db.first("check a lease", SQL, &values, |_: &dyn Row| Ok(())).await?;
    found.ok_or(StoreError::Fenced { job: fence.job })
}
