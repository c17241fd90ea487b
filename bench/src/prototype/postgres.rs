//! The bare loop on PostgreSQL, as one would write it by hand: a pool of connections, and each enrollment one prepared
//! statement that writes its three rows and is committed by itself.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::sync::Semaphore;
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::{Enrollment, Keep};

const SCHEMA: &str = "
    CREATE SCHEMA loop;
    CREATE TABLE loop.machines (id bytea PRIMARY KEY, hostname text NOT NULL, at bigint NOT NULL);
    CREATE TABLE loop.credentials (machine bytea PRIMARY KEY, hash bytea NOT NULL, certificate bytea);
    CREATE TABLE loop.audit (seq bigserial PRIMARY KEY, machine bytea NOT NULL, at bigint NOT NULL);";
const INSERT: &str = "
    WITH machine AS (INSERT INTO loop.machines VALUES ($1, $2, $3)),
        credential AS (INSERT INTO loop.credentials VALUES ($1, $4, $5))
    INSERT INTO loop.audit (machine, at) VALUES ($1, $3)";

struct Connection {
    client: Client,
    insert: Statement,
}

/// Connections that are lent to one enrollment each.
#[derive(Clone)]
pub(crate) struct Pool {
    idle: Arc<Mutex<Vec<Connection>>>,
    places: Arc<Semaphore>,
}

/// Makes the loop's tables, in a schema of their own.
pub(crate) async fn prepare(config: &Config) -> Result<()> {
    Ok(connect(config).await?.batch_execute(SCHEMA).await?)
}

impl Pool {
    /// So many connections.
    pub(crate) async fn open(config: &Config, connections: usize) -> Result<Self> {
        let mut idle = Vec::with_capacity(connections);
        for _ in 0..connections {
            let client = connect(config).await?;
            let insert = client.prepare(INSERT).await?;
            idle.push(Connection { client, insert });
        }
        Ok(Self { idle: Arc::new(Mutex::new(idle)), places: Arc::new(Semaphore::new(connections)) })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keep for Pool {
    async fn keep(&self, enrollment: Enrollment) -> Result<()> {
        let _place = self.places.acquire().await?;
        let connection = self.idle().pop().context("there is a connection for each place")?;
        let Enrollment { id, hostname, hash, certificate, at } = &enrollment;
        let (id, hash) = (id.as_slice(), hash.as_slice());
        let kept =
            connection.client.execute(&connection.insert, &[&id, hostname, at, &hash, certificate]).await;
        self.idle().push(connection);
        Ok(kept.map(drop)?)
    }
}

/// A connection, served by a task of its own for as long as it is held.
pub(crate) async fn connect(config: &Config) -> Result<Client> {
    let (client, connection) = config.connect(NoTls).await.context("connect to PostgreSQL")?;
    // A connection that fails fails the statement that waits for it.
    tokio::spawn(async move { connection.await.unwrap_or_default() });
    Ok(client)
}
