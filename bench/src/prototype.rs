//! The bare loop to compare enrollment with: the same sockets, the same durability, one writer that commits many at
//! once, the same cryptography; and no rules, no checks, no roles, no audit trail worth the name.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use muster_app::App;
use muster_issuer::{MachineTemplate, csr};
use muster_model::{CredentialId, MachineId, SignedDuration, TenantId};
use muster_store_sqlite::SqliteStore;
use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use tokio::sync::oneshot;

const BATCH: usize = 256;
const QUEUE: usize = 4096;
const SCHEMA: &str = "
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4096;
    CREATE TABLE machines (id BLOB PRIMARY KEY, hostname TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE credentials (machine BLOB PRIMARY KEY, hash BLOB NOT NULL, certificate BLOB) WITHOUT ROWID;
    CREATE TABLE audit (seq INTEGER PRIMARY KEY, machine BLOB NOT NULL, at INTEGER NOT NULL);";

/// Why a reference server did not answer.
pub(crate) struct Failure(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}

struct Job {
    id: [u8; 16],
    hostname: String,
    hash: [u8; 32],
    certificate: Option<Vec<u8>>,
    at: i64,
    done: oneshot::Sender<()>,
}

#[derive(Deserialize)]
struct Asked {
    evidence: Evidence,
    hostname: String,
    #[serde(default)]
    csr: Option<String>,
}

#[derive(Deserialize)]
struct Evidence {
    token: String,
}

#[derive(Clone)]
struct Shared {
    app: App<SqliteStore>,
    queue: SyncSender<Job>,
    expected: [u8; 32],
}

/// The loop's routes, and its writer, which ends when the routes are gone.
pub(crate) fn routes(dir: &Path, app: &App<SqliteStore>, token: &str) -> Result<(Router, JoinHandle<()>)> {
    let db = Connection::open(dir.join("prototype.db"))?;
    db.execute_batch(SCHEMA)?;
    let (queue, jobs) = sync_channel(QUEUE);
    let writer = std::thread::spawn(move || write(&db, &jobs).expect("the database of the bare loop works"));
    let shared = Shared { app: app.clone(), queue, expected: hash(token) };
    Ok((Router::new().route("/v1/enroll", post(enroll)).with_state(shared), writer))
}

async fn enroll(State(shared): State<Shared>, Json(asked): Json<Asked>) -> Result<Json<Value>, Failure> {
    if !bool::from(hash(&asked.evidence.token).ct_eq(&shared.expected)) {
        return Err(anyhow::anyhow!("no").into());
    }
    let (mut id, mut secret) = ([0; 16], [0; 32]);
    aws_lc_rs::rand::fill(&mut id)?;
    aws_lc_rs::rand::fill(&mut secret)?;
    let secret = HEXLOWER.encode(&secret);
    let now = shared.app.now();
    let certificate = asked.csr.as_deref().map(|csr| certify(&shared.app, id, csr)).transpose()?;
    let pem = certificate.as_deref().map(|der| shared.app.authority().leaf_chain_pem(der));
    let (done, committed) = oneshot::channel();
    let (hostname, hash) = (asked.hostname, hash(&secret));
    let job = Job { id, hostname, hash, certificate, at: now.as_millisecond(), done };
    shared.queue.try_send(job).context("the queue is full")?;
    committed.await?;
    Ok(Json(json!({"id": HEXLOWER.encode(&id), "bearer": secret, "certificate": pem})))
}

fn certify(app: &App<SqliteStore>, id: [u8; 16], text: &str) -> Result<Vec<u8>> {
    let key = csr::read(&BASE64.decode(text.as_bytes())?)?;
    let now = app.now();
    let template = MachineTemplate {
        serial: CredentialId::from_bytes(id),
        tenant: TenantId::from_bytes([1; 16]),
        machine: MachineId::from_bytes(id),
        not_before: now,
        not_after: now + SignedDuration::from_hours(24),
    };
    Ok(app.authority().issue(&key, &template)?)
}

fn hash(secret: &str) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("HMAC takes a key of any length");
    mac.chain_update(secret).finalize().into_bytes().into()
}

fn write(db: &Connection, jobs: &Receiver<Job>) -> rusqlite::Result<()> {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        insert(db, &batch[0])?;
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            insert(db, &job)?;
            batch.push(job);
        }
        db.prepare_cached("COMMIT")?.execute([])?;
        // Who no longer waits is not answered.
        batch.into_iter().for_each(|job| job.done.send(()).unwrap_or_default());
    }
    Ok(())
}

fn insert(db: &Connection, job: &Job) -> rusqlite::Result<()> {
    let Job { id, hostname, hash, certificate, at, .. } = job;
    db.prepare_cached("INSERT INTO machines VALUES (?1, ?2, ?3)")?.execute(params![id, hostname, at])?;
    db.prepare_cached("INSERT INTO credentials VALUES (?1, ?2, ?3)")?.execute(params![
        id,
        hash,
        certificate
    ])?;
    db.prepare_cached("INSERT INTO audit (machine, at) VALUES (?1, ?2)")?.execute(params![id, at])?;
    Ok(())
}
