//! What is PostgreSQL's own among the statements: presence by the replicas that are alive, and the search.
//!
//! The planner is not asked to guess how common a word is: each way of searching has its statement, and which one serves
//! is known from what is kept.

use muster_model::{Replica, ReplicaId, SiteId, TenantId};
use muster_store::{MachineFilter, MachineRow, PageRequest, StoreError};
use muster_store_sql::cells::{Cells, Parsed, Table};
use muster_store_sql::words::is_whole;
use muster_store_sql::{
    Cell, Dialect, Engine, Row, Texts, Value, invariant, machine_row, place, select_machine_rows, sql, texts,
    values,
};

use crate::effects::now;

/// So few machines of a state or site are looked through, in their own order.
const FEW: u64 = 10_000;
/// A longer word than any machine's, which the server would not take.
const LONGEST: usize = 2000;

static REPLICAS: Table =
    Table { name: "replicas", key: "id", show: |id| ReplicaId::from_bytes(id).to_string() };

/// Whether a replica `r` that may be missing is alive.
macro_rules! alive {
    () => {
        concat!("coalesce(r.alive_until, 0) > ", now!())
    };
}

/// A machine is online while the replica that has its channel is alive. It was seen as long as that was, at the least.
macro_rules! presence {
    () => {
        concat!(
            "CASE WHEN p.online = 1 AND NOT (",
            alive!(),
            ") THEN greatest(p.last_seen, r.alive_at) ELSE p.last_seen END AS last_seen,
            CASE WHEN p.online = 1 AND NOT (",
            alive!(),
            ") THEN 0::bigint ELSE coalesce(p.online, 0) END AS online"
        )
    };
}

macro_rules! with {
    () => {
        "LEFT JOIN replicas r ON r.id = p.replica"
    };
}

/// A statement that gives machines from these tables.
macro_rules! select {
    ($from:expr, $tail:literal) => {
        select_machine_rows!("JOIN", presence!(), with!(), $from, $tail)
    };
}

/// The first machines of a site in a state.
macro_rules! walk {
    ($state:literal) => {
        concat!(
            "SELECT * FROM (SELECT n, id FROM machines WHERE tenant_id IS NOT DISTINCT FROM ?1
                AND ROW(site_id, state, id) > ROW(?4, '",
            $state,
            "', ?2) AND ROW(site_id, state) <= ROW(?4, '",
            $state,
            "') ORDER BY site_id, state, id LIMIT ?3) AS ",
            $state
        )
    };
}

/// Each list has one index that it may walk: a comparison of rows fits no other, and what must not be taken for the
/// beginning of an index is written so that it cannot be. Nor is anything said to be equal that nearly all machines have
/// in common: the planner would take it for something that all have, and look at all of them.
pub(crate) const TEXTS: Texts = Texts {
    of_state: select!(
        "machines m",
        "WHERE ROW(m.state, m.tenant_id, m.id) > ROW(?4, ?1, ?2) AND ROW(m.state, m.tenant_id) <= ROW(?4, ?1)
            ORDER BY m.state, m.tenant_id, m.id LIMIT ?3"
    ),
    of_site: select!(
        concat!(
            "(SELECT n FROM (",
            walk!("pending"),
            " UNION ALL ",
            walk!("active"),
            " UNION ALL ",
            walk!("suspended"),
            " UNION ALL ",
            walk!("retired"),
            ") AS walked ORDER BY id LIMIT ?3) AS first JOIN machines m ON m.n = first.n"
        ),
        "ORDER BY m.id LIMIT ?3"
    ),
    of_site_and_state: select!(
        "machines m",
        "WHERE m.tenant_id IS NOT DISTINCT FROM ?1 AND ROW(m.site_id, m.state, m.id) > ROW(?5, ?4, ?2)
            AND ROW(m.site_id, m.state) <= ROW(?5, ?4) ORDER BY m.site_id, m.state, m.id LIMIT ?3"
    ),
    sift_state: select!(
        "machines m",
        "WHERE ROW(m.state, m.tenant_id) >= ROW(?2, ?1) AND ROW(m.state, m.tenant_id) <= ROW(?2, ?1)
            AND m.n + 0 > ?3"
    ),
    sift_site_and_state: select!(
        "machines m",
        "WHERE m.tenant_id IS NOT DISTINCT FROM ?1 AND ROW(m.site_id, m.state) >= ROW(?4, ?2)
            AND ROW(m.site_id, m.state) <= ROW(?4, ?2) AND m.n + 0 > ?3"
    ),
    ..texts!(
        "JOIN",
        presence!(),
        with!(),
        "CAST(attributes AS json) ->> 'agent_version', CAST(attributes AS json) ->> 'version'"
    )
};

/// The machines whose numbers a statement gives: tenant, words, limit, after.
macro_rules! numbered {
    ($numbers:literal) => {
        select!(concat!("(", $numbers, ") AS hit JOIN machines m ON m.n = hit.n"), "ORDER BY m.n")
    };
}

/// A page of a search. A word that many machines have fills a page from the first few thousand machines, and the index
/// would give all million of them; a word that few have is found through the index at once.
pub(crate) async fn found<E: Dialect>(
    db: &mut E,
    tenant: TenantId,
    filter: &MachineFilter,
    page: PageRequest,
    words: &[String],
) -> Result<Vec<MachineRow>, StoreError> {
    if words.iter().any(|word| word.len() > LONGEST) {
        return Ok(Vec::new());
    }
    let start = place(db, tenant, page).await?;
    let search = Search { tenant, filter, words: &query_of(words), limit: sql::probe(page) };
    if (filter.site.is_some() || filter.state.is_some()) && search.candidates(db).await? <= FEW {
        return search.walk(db, start).await;
    }
    let Some(edge) = edge(db, start).await? else { return search.beyond(db, start).await };
    let mut rows = search.look(db, start, edge).await?;
    let missing = search.limit - rows.len() as i64;
    if missing > 0 {
        rows.extend(Search { limit: missing, ..search }.beyond(db, edge).await?);
    }
    Ok(rows)
}

/// Each word is of letters, digits and private-use characters alone, so that nothing ends its quotes.
fn query_of(words: &[String]) -> String {
    let begins = |word: &String| if is_whole(word) { "" } else { ":*" };
    words.iter().map(|word| format!("'{word}'{}", begins(word))).collect::<Vec<_>>().join(" & ")
}

/// Where the machines end that are looked at in their order; `None` where the index serves as well.
async fn edge<E: Engine>(db: &mut E, start: i64) -> Result<Option<i64>, StoreError> {
    const SQL: &str = "SELECT n FROM machine_search WHERE n > ?1 ORDER BY n OFFSET 4999 LIMIT 1";
    let number = |row: &dyn Row| match row.cell(0) {
        Cell::Int(number) => Ok(number),
        other => Err(invariant("find an edge", format!("a number that is {other:?}"))),
    };
    sql::one(db, "find where the first machines end", SQL, &values![start], number).await
}

struct Search<'s> {
    tenant: TenantId,
    filter: &'s MachineFilter,
    words: &'s str,
    limit: i64,
}

impl Search<'_> {
    /// How many machines are of the site and in the state.
    async fn candidates<E: Engine>(&self, db: &mut E) -> Result<u64, StoreError> {
        const OF_STATE: &str = "SELECT CAST(coalesce(sum(n), 0) AS bigint) FROM machine_counts
            WHERE tenant_id = ?1 AND state = ?2";
        const OF_SITE: &str = "SELECT CAST(coalesce(sum(n), 0) AS bigint) FROM machine_counts
            WHERE tenant_id = ?1 AND (?2::text IS NULL OR state = ?2) AND site_id = ?3";
        let (what, tenant, state) = ("count what is searched", self.tenant.as_bytes(), self.filter.state);
        match &self.filter.site {
            Some(site) => sql::count(db, what, OF_SITE, &values![tenant, state, site.as_bytes()]).await,
            None => sql::count(db, what, OF_STATE, &values![tenant, state]).await,
        }
    }

    /// Looks through a site or state.
    async fn walk<E: Engine>(&self, db: &mut E, start: i64) -> Result<Vec<MachineRow>, StoreError> {
        const OF_STATE: &str = numbered!(
            "SELECT x.n FROM (SELECT n FROM machines
                    WHERE ROW(state, tenant_id) >= ROW(?5, ?1) AND ROW(state, tenant_id) <= ROW(?5, ?1)
                        AND n + 0 > ?4 OFFSET 0) AS x
                CROSS JOIN LATERAL (SELECT FROM machine_search w
                    WHERE w.n = x.n AND w.words @@ CAST(?2::text AS tsquery) OFFSET 0) AS fits
                ORDER BY x.n LIMIT ?3"
        );
        const OF_SITE: &str = numbered!(
            "SELECT x.n FROM (SELECT n FROM machines
                    WHERE tenant_id IS NOT DISTINCT FROM ?1 AND site_id >= ?6 AND site_id <= ?6
                        AND (?5::text IS NULL OR state = ?5)
                        AND n + 0 > ?4 OFFSET 0) AS x
                CROSS JOIN LATERAL (SELECT FROM machine_search w
                    WHERE w.n = x.n AND w.words @@ CAST(?2::text AS tsquery) OFFSET 0) AS fits
                ORDER BY x.n LIMIT ?3"
        );
        let site = self.filter.site.as_ref().map(SiteId::as_bytes);
        let values = values![self.tenant.as_bytes(), self.words, self.limit, start, self.filter.state, site];
        match site {
            Some(_) => rows(db, OF_SITE, &values).await,
            None => rows(db, OF_STATE, &values[..5]).await,
        }
    }

    /// Looks at the machines up to an edge, in their order. The operator would let the planner gather all machines that
    /// have the words from their index first; its function (`ts_match_vq`) is asked of each row.
    async fn look<E: Engine>(
        &self,
        db: &mut E,
        start: i64,
        edge: i64,
    ) -> Result<Vec<MachineRow>, StoreError> {
        const SQL: &str = numbered!(
            "SELECT w.n FROM (SELECT n FROM machine_search
                    WHERE n > ?4 AND n <= ?7 AND ts_match_vq(words, CAST(?2::text AS tsquery)) ORDER BY n OFFSET 0) AS w
                CROSS JOIN LATERAL (SELECT FROM machines x WHERE x.n = w.n AND x.tenant_id = ?1
                    AND (?5::text IS NULL OR x.state = ?5) AND (?6::bytea IS NULL OR x.site_id = ?6) OFFSET 0) AS fits
                LIMIT ?3"
        );
        let site = self.filter.site.as_ref().map(SiteId::as_bytes);
        let (tenant, state) = (self.tenant.as_bytes(), self.filter.state);
        let values = values![tenant, self.words, self.limit, start, state, site, edge];
        rows(db, SQL, &values).await
    }

    /// Asks the index of words for all machines after a place. They are gathered first, in no order: else the planner
    /// would go through all machines in theirs.
    async fn beyond<E: Engine>(&self, db: &mut E, after: i64) -> Result<Vec<MachineRow>, StoreError> {
        const SQL: &str = numbered!(
            "SELECT w.n FROM (WITH hit AS MATERIALIZED
                        (SELECT n FROM machine_search WHERE words @@ CAST(?2::text AS tsquery))
                    SELECT n FROM hit WHERE n > ?4 ORDER BY n OFFSET 0) AS w
                CROSS JOIN LATERAL (SELECT FROM machines x WHERE x.n = w.n AND x.tenant_id = ?1
                    AND (?5::text IS NULL OR x.state = ?5) AND (?6::bytea IS NULL OR x.site_id = ?6) OFFSET 0) AS fits
                LIMIT ?3"
        );
        let site = self.filter.site.as_ref().map(SiteId::as_bytes);
        let values = values![self.tenant.as_bytes(), self.words, self.limit, after, self.filter.state, site];
        rows(db, SQL, &values).await
    }
}

async fn rows<E: Engine>(
    db: &mut E,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<Vec<MachineRow>, StoreError> {
    let parse = |row: &dyn Row| machine_row(row).map(|(_, row)| row);
    sql::many(db, "search machines", sql, values, parse).await
}

/// Every replica, the oldest first.
pub(crate) async fn replicas<E: Engine>(db: &mut E) -> Result<Vec<Replica>, StoreError> {
    const SQL: &str = concat!(
        "SELECT id, version, started_at, alive_at, CASE WHEN ",
        alive!(),
        " THEN 1::bigint ELSE 0::bigint END AS alive, channels
            FROM replicas r ORDER BY started_at, id LIMIT 1000"
    );
    sql::many(db, "read the replicas", SQL, &[], parse_replica).await
}

fn parse_replica(row: &dyn Row) -> Parsed<Replica> {
    let mut cells = Cells::of(&REPLICAS, row);
    Ok(Replica {
        id: cells.id("id", ReplicaId::from_bytes)?,
        version: cells.get("version")?,
        started_at: cells.time("started_at")?,
        alive_at: cells.time("alive_at")?,
        alive: cells.flag("alive")?,
        channels: cells.get("channels")?,
    })
}
