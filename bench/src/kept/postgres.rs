//! PostgreSQL: a private server with full durability, its files beside the server's directory.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use muster_store_postgres::{PostgresStore, Settings};
use muster_testkit::postgres::Server;
use tempfile::TempDir;
use tokio_postgres::{Client, Config};

use super::{Home, Kept, Written};
use crate::host;
use crate::prototype::postgres::connect;

/// What anybody sets who expects such a load: the rest is as PostgreSQL comes.
const SETTINGS: [&str; 2] = ["shared_buffers=1GB", "max_wal_size=8GB"];
/// What is set besides to be told what the database did, which costs a little.
const TOLD: [&str; 2] = ["shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track=all"];
const DATABASE: &str = "muster";

/// Rows touched in the tables that tell of machines, rows touched in those that tell of replicas, and commits.
const WRITTEN: &str = "
    SELECT coalesce(sum(n) FILTER (WHERE NOT own), 0)::bigint, coalesce(sum(n) FILTER (WHERE own), 0)::bigint,
        (SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database())
    FROM (SELECT n_tup_ins + n_tup_upd + n_tup_del AS n, relname IN ('replicas', 'leases', 'lanes') AS own
        FROM pg_stat_user_tables) AS tables";

/// What the database spent its time on: how often, how long each time and altogether, and the rows each time.
const STATEMENTS: &str = "
    SELECT format('%10s × %9s µs = %9s ms  %7s rows  %s', calls, round((mean_exec_time * 1000)::numeric, 1),
        round(total_exec_time), round(rows::numeric / calls, 2),
        left(regexp_replace(query, '\\s+', ' ', 'g'), 150))
    FROM told.pg_stat_statements JOIN pg_database ON pg_database.oid = dbid
    WHERE datname = current_database() ORDER BY total_exec_time DESC LIMIT 60";

/// A private server, and the directory of the servers of Muster that use it.
pub(crate) struct Private {
    server: Server,
    dir: TempDir,
    /// Whether to tell in the end what the database did.
    told: bool,
}

impl Drop for Private {
    fn drop(&mut self) {
        if self.told {
            let rows = self.server.run_sql(DATABASE, STATEMENTS);
            rows.into_iter().flatten().flatten().for_each(|line| eprintln!("{line}"));
        }
    }
}

impl Home for Private {
    fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Private {
    /// How the database is reached without Muster.
    pub(crate) fn config(&self) -> Result<Config> {
        Ok(self.server.url(DATABASE).parse()?)
    }

    async fn client(&self) -> Result<Client> {
        connect(&self.config()?).await
    }
}

impl Kept for PostgresStore {
    const NAME: &'static str = "PostgreSQL";
    const WRITES: &'static str = "rows";
    /// A connection that has nothing to do tells its counts ten seconds later.
    const COUNTED_WITHIN: Duration = Duration::from_secs(12);
    type Home = Private;

    async fn home(dir: TempDir, told: bool) -> Result<Private> {
        // Beside the directory and not in it: the server runs as somebody else.
        let parent = dir.path().parent().context("a temporary directory is in another one")?;
        let settings = if told { &[&SETTINGS[..], &TOLD].concat() } else { &SETTINGS[..] };
        let server = Server::start_in(parent, settings).context("PostgreSQL is not here")?;
        server.create_database(DATABASE);
        let home = Private { server, dir, told };
        let client = home.client().await?;
        if told {
            client
                .batch_execute("CREATE SCHEMA told; CREATE EXTENSION pg_stat_statements SCHEMA told")
                .await?;
        }
        let data: String = client.query_one("SHOW data_directory", &[]).await?.get(0);
        host::count_along(Path::new(&data))?;
        Ok(home)
    }

    async fn open(home: &Private, is_new: bool) -> Result<Self> {
        let settings = Settings::new(home.server.url(DATABASE));
        Ok(if is_new { Self::create(settings).await? } else { Self::open(settings).await? })
    }

    async fn written(&self, home: &Private) -> Result<Written> {
        let row = home.client().await?.query_one(WRITTEN, &[]).await?;
        let count = |column| row.get::<_, i64>(column).unsigned_abs();
        let beside = vec![("rows about the replica itself", count(1)), ("transactions", count(2))];
        Ok(Written { of_machines: count(0), beside })
    }

    async fn settle_down(home: &Private) -> Result<()> {
        Ok(home.client().await?.batch_execute("VACUUM (ANALYZE)").await?)
    }

    async fn finish(&self) {
        self.close().await;
    }
}
