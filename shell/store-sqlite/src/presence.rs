//! Presence rows, as they are written. A row says online until somebody writes that the machine left; what a crash leaves
//! behind ends when the next process joins.

use muster_model::Timestamp;
use muster_store::{PresenceNote, StoreError};
use muster_store_sql::cells::millis;
use muster_store_sql::values;
use rusqlite::Connection;

use crate::engine::execute;

/// Writes transitions. What was heard never goes back; a machine that is not there has no presence.
pub(crate) fn note(db: &Connection, notes: &[PresenceNote]) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO presence (tenant_id, machine_id, last_seen, online, bundle)
        SELECT tenant_id, id, ?3, ?4, ?5 FROM machines
            WHERE tenant_id = ?1 AND id = ?2
        ON CONFLICT DO UPDATE
            SET last_seen = max(last_seen, excluded.last_seen), online = excluded.online,
                bundle = coalesce(excluded.bundle, bundle)";
    for note in notes {
        let PresenceNote { tenant, machine, last_seen, online, bundle } = note;
        let bundle = bundle.map(|bundle| i64::try_from(bundle).unwrap_or(i64::MAX));
        let values = values![tenant.as_bytes(), machine.as_bytes(), millis(*last_seen), *online, bundle];
        execute(db, "note a presence", SQL, &values)?;
    }
    Ok(())
}

/// Ends the presence that a former process left behind: whoever it held a channel of counts as seen until now.
pub(crate) fn end_all(db: &Connection, now: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE presence SET online = 0, last_seen = max(last_seen, ?1) WHERE online = 1";
    execute(db, "end what a former process left", SQL, &values![millis(now)]).map(drop)
}
