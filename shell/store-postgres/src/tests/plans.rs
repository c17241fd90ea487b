//! How the server goes about the lists: no page costs more among a million machines than among a thousand.

use std::sync::{Mutex, PoisonError};

use muster_model::{Search, SiteId, TenantId};
use muster_store::{Lists, MachineFilter, MachineRow, PageRequest, StoreError};
use muster_store_sql::cells::Parsed;
use muster_store_sql::{Dialect, Engine, Row, Texts, Value, View};

use super::{connection, database};
use crate::connection::Connected;
use crate::dialect;

/// Twenty thousand machines, nearly all of them alike: of one site, active, with the words that all have.
const FLEET: &str = r"INSERT INTO tenants VALUES ('\x01010101010101010101010101010101', 't', 0);
    INSERT INTO sites SELECT '\x01010101010101010101010101010101', decode(lpad(to_hex(n), 32, '0'), 'hex'), 's' || n, 0, 0,
        'never', NULL, 1000, 0 FROM generate_series(1, 3) AS n;
    INSERT INTO machines (tenant_id, id, site_id, name, kind, hardware_id, generation, labels, attributes, state,
            state_cause, state_since, created_at)
        SELECT '\x01010101010101010101010101010101', decode(md5(n::text), 'hex'),
            decode(lpad(to_hex(CASE WHEN n % 1000 = 0 THEN 2 ELSE 1 END), 32, '0'), 'hex'), 'web-' || n, 'worker',
            'hw_' || md5(n::text), 1, '{}', '{}', CASE WHEN n % 5000 = 0 THEN 'retired' ELSE 'active' END,
            CASE WHEN n % 5000 = 0 THEN 'left' END, 0, 0
            FROM generate_series(1, 20000) AS n;
    INSERT INTO machine_search SELECT n, array_to_tsvector(ARRAY['web', n::text, md5(n::text),
        U&'\e014worker\e002', U&'\e010rack\e001r' || n % 400 || U&'\e002']) FROM machines;
    INSERT INTO machine_counts SELECT tenant_id, site_id, state, 0, count(*) FROM machines GROUP BY 1, 2, 3;
    INSERT INTO credentials (tenant_id, id, machine_id, generation, kind, not_before, not_after, state)
        SELECT tenant_id, id, id, 1, 'certificate', 0, 1, 'reserved' FROM machines;
    INSERT INTO presence SELECT tenant_id, id, 0, 0, NULL FROM machines;";

/// Runs statements, and keeps what the server says about each.
struct Explaining<'c> {
    connection: &'c Connected,
    plans: &'c Mutex<Vec<(&'static str, String)>>,
}

impl Engine for Explaining<'_> {
    async fn query<T: Send>(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
        mut parse: impl FnMut(&dyn Row) -> Parsed<T> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let plan = explained(self.connection, sql, values.len()).await;
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).push((what, plan));
        let values: Vec<_> = values.iter().map(|value| crate::values::Owned::from(*value)).collect();
        let statement = self.connection.prepared(sql).await.expect("a statement");
        let answer = crate::round::one(self.connection, &statement, &values).await.expect("an answer");
        answer.rows.iter().map(|row| parse(&crate::values::Found { row, skip: answer.skip })).collect()
    }

    async fn execute(
        &mut self,
        _: &'static str,
        _: &'static str,
        _: &[Value<'_>],
    ) -> Result<u64, StoreError> {
        unreachable!("a list writes nothing")
    }
}

/// The plan of a statement whatever its values are, which is the plan that is kept.
async fn explained(connection: &Connected, sql: &str, values: usize) -> String {
    let nulls = vec!["NULL"; values].join(", ");
    let arguments = if values == 0 { String::new() } else { format!("({nulls})") };
    let text = format!(
        "PREPARE explained AS {}; EXPLAIN EXECUTE explained{arguments}; DEALLOCATE explained",
        sql.replace('?', "$")
    );
    let lines = connection.client.simple_query(&text).await.expect("a plan");
    let lines = lines.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Dialect for Explaining<'_> {
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

    async fn replicas(&mut self) -> Result<Vec<muster_model::Replica>, StoreError> {
        dialect::replicas(self).await
    }
}

/// Whether a plan reads a table as a whole: in its own order, or in that of an index without a place to begin or end.
fn reads_all(plan: &str, table: &str) -> bool {
    let lines: Vec<&str> = plan.lines().collect();
    let after =
        |place: usize| lines.get(place + 1).is_some_and(|next| next.trim_start().starts_with("Index Cond:"));
    let ordered = |line: &str| line.contains(&format!(" on {table} ")) && line.contains("Index");
    let whole = |(place, line): (usize, &&str)| {
        line.contains(&format!("Seq Scan on {table} ")) || (ordered(line) && !after(place))
    };
    lines.iter().enumerate().any(whole)
}

/// Nothing, what all have, what few have and what nobody has; as words, as what a field says, and both.
const SEARCHES: [&str; 10] = [
    "",
    "web",
    "web 77",
    "zebra",
    "kind:worker",
    "label:rack=r7",
    "label:rack",
    "label:rack=r1* web",
    "kind:worker label:rack=r7 77",
    "role:nobody",
];

fn filters() -> Vec<MachineFilter> {
    let site = |n: u8| SiteId::from_bytes(std::array::from_fn(|i| if i == 15 { n } else { 0 }));
    let mut filters = Vec::new();
    for site in [None, Some(site(1)), Some(site(2)), Some(site(3))] {
        for state in [None, Some("active"), Some("retired"), Some("suspended")] {
            for search in SEARCHES {
                let search = Search::parse(search).expect("well-formed");
                let words = (!search.words.is_empty()).then(|| search.words.join(" "));
                filters.push(MachineFilter { site, state, search: words, terms: search.terms });
            }
        }
    }
    filters
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_list_of_machines_reads_all_of_them() {
    let Some(database) = database().await else { return };
    let (early, late) = (connection(&database).await, connection(&database).await);
    // The plans of an empty database are kept for a while, and must do for a full one as well.
    let empty = plans(&early).await;
    database.run_sql(FLEET);
    database.run_sql("ANALYZE");
    let full = plans(&late).await;
    // As the server would have it, too, where nobody keeps it from reading whole tables.
    late.client.batch_execute("SET enable_seqscan = on; DISCARD PLANS").await.expect("set");
    let free = plans(&late).await;
    let searched =
        |plans: &[(_, String)]| plans.iter().any(|(_, plan)| plan.contains("machine_search_words"));
    assert!(searched(&empty) && searched(&full), "the index of words is used");
    for (when, plans) in [("empty", empty), ("full", full), ("free", free)] {
        assert!(plans.len() >= 240, "{when}: {}", plans.len());
        for (what, plan) in plans {
            let index = if when == "free" { "" } else { "machine_search" };
            for table in ["machines", "machines m", "machines x", index] {
                assert!(table.is_empty() || !reads_all(&plan, table), "{when}, {what}, {table}:\n{plan}");
            }
        }
    }
}

async fn plans(connection: &Connected) -> Vec<(&'static str, String)> {
    let plans = Mutex::new(Vec::new());
    let mut view = View::new(Explaining { connection, plans: &plans });
    let tenant = TenantId::from_bytes([1; 16]);
    for filter in filters() {
        for after in [None, Some([0x80; 16])] {
            view.machines(tenant, &filter, PageRequest { after, limit: 50 }).await.expect("a page");
        }
    }
    view.machine_row(tenant, muster_model::MachineId::from_bytes([1; 16])).await.expect("an answer");
    plans.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_plan_that_reads_everything_is_recognised() {
    let whole = "Index Scan using machines_id on machines m  (cost=0)\n  Filter: (state = $2)";
    let part = "Index Scan using machines_id on machines m  (cost=0)\n  Index Cond: (id = $2)";
    assert!(reads_all(whole, "machines m") && !reads_all(part, "machines m"));
    assert!(reads_all("->  Seq Scan on machines m  (cost=0)", "machines m"));
    assert!(!reads_all("->  Seq Scan on machine_counts m  (cost=0)", "machines m"));
}
