//! What the decisions of a transaction have in common: counts, words, presence and signals are gathered and written once,
//! in an order that is the same for everybody, so that nobody waits for another in a circle.

use std::collections::BTreeMap;

use muster_lifecycle::MachineOrder;
use muster_model::{MachineId, ReplicaId, SiteId, TenantId};
use muster_store::{PresenceNote, Signal};
use muster_store_sql::words::Words;
use tokio_postgres::types::ToSql;

use crate::values::Owned;

/// The database's clock, in whole milliseconds.
macro_rules! now {
    () => {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
    };
}
pub(crate) use now;

type Machine = ([u8; 16], [u8; 16]);

/// What is gathered.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    counts: BTreeMap<([u8; 16], [u8; 16], &'static str), i64>,
    words: BTreeMap<Machine, String>,
    presence: BTreeMap<Machine, (i64, bool, Option<i64>)>,
    signals: BTreeMap<(Machine, Option<&'static str>), ()>,
}

/// A statement, what it is for, and what is bound.
pub(crate) struct Write {
    pub(crate) what: &'static str,
    pub(crate) sql: &'static str,
    pub(crate) values: Vec<Bound>,
    /// Whether it is the form for many of a statement for one.
    pub(crate) for_many: bool,
}

/// One value, or many.
#[derive(Debug)]
pub(crate) enum Bound {
    One(Owned),
    Many(Vec<Owned>),
}

impl Bound {
    pub(crate) fn as_sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::One(value) => value,
            Self::Many(values) => values,
        }
    }
}

fn bytes(bytes: &[u8]) -> Owned {
    Owned::Bytes(bytes.into())
}

impl Effects {
    pub(crate) fn count(&mut self, tenant: TenantId, site: SiteId, state: &'static str, change: i64) {
        *self.counts.entry((*tenant.as_bytes(), *site.as_bytes(), state)).or_default() += change;
    }

    pub(crate) fn words(&mut self, tenant: TenantId, machine: MachineId, words: &Words) {
        let words: Vec<&str> = words.iter().collect();
        self.words.insert((*tenant.as_bytes(), *machine.as_bytes()), words.join(" "));
    }

    /// The last note about a machine stands; what was heard never goes back.
    pub(crate) fn presence(&mut self, note: &PresenceNote) {
        let heard = note.last_seen.as_millisecond();
        let key = (*note.tenant.as_bytes(), *note.machine.as_bytes());
        let bundle = note.bundle.map(|bundle| i64::try_from(bundle).unwrap_or(i64::MAX));
        let noted = self.presence.entry(key).or_insert((heard, note.online, bundle));
        *noted = (noted.0.max(heard), note.online, bundle.or(noted.2));
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        let machine = (*signal.tenant.as_bytes(), *signal.machine.as_bytes());
        self.signals.insert((machine, signal.order.map(MachineOrder::as_str)), ());
    }

    /// Takes what is to be written now.
    pub(crate) fn take(&mut self, shard: i64, replica: Option<ReplicaId>) -> Vec<Write> {
        let replica = replica.map_or(Owned::Null, |replica| bytes(replica.as_bytes()));
        [self.take_counts(shard), self.take_words(), self.take_presence(&replica), self.take_signals(replica)]
            .into_iter()
            .flatten()
            .collect()
    }

    fn take_counts(&mut self, shard: i64) -> Option<Write> {
        const SQL: &str = "INSERT INTO machine_counts (tenant_id, site_id, state, shard, n)
            SELECT v.tenant, v.site, v.state, ?5::bigint, v.n
                FROM unnest(?1::bytea[], ?2::bytea[], ?3::text[], ?4::bigint[]) AS v (tenant, site, state, n)
            ON CONFLICT (tenant_id, site_id, state, shard) DO UPDATE SET n = machine_counts.n + excluded.n";
        let mut columns: [Vec<Owned>; 4] = Default::default();
        for ((tenant, site, state), n) in std::mem::take(&mut self.counts) {
            if n != 0 {
                let row = [bytes(&tenant), bytes(&site), Owned::Text(state.into()), Owned::Int(n)];
                columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
            }
        }
        if columns[0].is_empty() {
            return None;
        }
        let values = columns.into_iter().map(Bound::Many).chain([Bound::One(Owned::Int(shard))]).collect();
        Some(Write { what: "keep the count of machines", sql: SQL, values, for_many: false })
    }

    fn take_words(&mut self) -> Option<Write> {
        const SQL: &str = "INSERT INTO machine_search (n, words)
            SELECT m.n, array_to_tsvector(string_to_array(v.words, ' '))
                FROM unnest(?1::bytea[], ?2::bytea[], ?3::text[]) AS v (tenant, machine, words)
                JOIN machines m ON m.tenant_id = v.tenant AND m.id = v.machine
            ON CONFLICT (n) DO UPDATE SET words = excluded.words";
        if self.words.is_empty() {
            return None;
        }
        let mut columns: [Vec<Owned>; 3] = Default::default();
        for ((tenant, machine), words) in std::mem::take(&mut self.words) {
            let row = [bytes(&tenant), bytes(&machine), Owned::Text(words.into())];
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
        }
        let values = columns.into_iter().map(Bound::Many).collect();
        Some(Write { what: "note the words of machines", sql: SQL, values, for_many: false })
    }

    /// Who comes is here from now on, whoever had it; but for a note that waited so long that its machine may have come
    /// somewhere else meanwhile. Who goes was here: another replica may have it by now.
    fn take_presence(&mut self, replica: &Owned) -> Option<Write> {
        const SQL: &str =
            "INSERT INTO presence AS p (tenant_id, machine_id, last_seen, online, bundle, replica)
            SELECT v.tenant, v.machine, v.seen, v.online, v.bundle, CASE v.online WHEN 1 THEN ?6::bytea END
                FROM unnest(?1::bytea[], ?2::bytea[], ?3::bigint[], ?4::bigint[], ?5::bigint[])
                    AS v (tenant, machine, seen, online, bundle)
                JOIN machines m ON m.tenant_id = v.tenant AND m.id = v.machine
                ORDER BY v.tenant, v.machine
            ON CONFLICT (tenant_id, machine_id) DO UPDATE SET
                last_seen = greatest(p.last_seen, excluded.last_seen),
                bundle = coalesce(excluded.bundle, p.bundle),
                online = CASE WHEN p.replica IS NULL OR p.replica = ?6
                        OR (excluded.online = 1 AND p.last_seen <= excluded.last_seen + 5000)
                    THEN excluded.online ELSE p.online END,
                replica = CASE WHEN p.replica IS NULL OR p.replica = ?6
                        OR (excluded.online = 1 AND p.last_seen <= excluded.last_seen + 5000)
                    THEN excluded.replica ELSE p.replica END";
        if self.presence.is_empty() {
            return None;
        }
        let mut columns: [Vec<Owned>; 5] = Default::default();
        for ((tenant, machine), (seen, online, bundle)) in std::mem::take(&mut self.presence) {
            let bundle = bundle.map_or(Owned::Null, Owned::Int);
            let online = Owned::Int(i64::from(online));
            let row = [bytes(&tenant), bytes(&machine), Owned::Int(seen), online, bundle];
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
        }
        let values = columns.into_iter().map(Bound::Many).chain([Bound::One(replica.clone())]).collect();
        Some(Write { what: "note presences", sql: SQL, values, for_many: false })
    }

    /// Notifying costs: commits that notify come one after the other. So only what others must hear of does.
    fn take_signals(&mut self, replica: Owned) -> Option<Write> {
        const SQL: &str = concat!(
            "WITH told AS (INSERT INTO signals (at, replica, tenant_id, machine_id, ord)
                SELECT ",
            now!(),
            ", ?4::bytea, v.tenant, v.machine, v.ord
                    FROM unnest(?1::bytea[], ?2::bytea[], ?3::text[]) AS v (tenant, machine, ord))
            SELECT pg_notify('muster', '')"
        );
        if self.signals.is_empty() {
            return None;
        }
        let mut columns: [Vec<Owned>; 3] = Default::default();
        for ((tenant, machine), order) in std::mem::take(&mut self.signals).into_keys() {
            let order = order.map_or(Owned::Null, |order| Owned::Text(order.into()));
            let row = [bytes(&tenant), bytes(&machine), order];
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
        }
        let values = columns.into_iter().map(Bound::Many).chain([Bound::One(replica)]).collect();
        Some(Write { what: "signal to the other replicas", sql: SQL, values, for_many: false })
    }
}
