//! What the older systems do, on the same framework: Argon2id over a key of 256 random bits, and three writes that are
//! committed one by one.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use data_encoding::HEXLOWER;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::prototype::Failure;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE machines (id TEXT PRIMARY KEY, hostname TEXT NOT NULL);
    CREATE TABLE keys (machine TEXT PRIMARY KEY, hash TEXT NOT NULL);
    CREATE TABLE events (seq INTEGER PRIMARY KEY, machine TEXT NOT NULL);";

struct Shared {
    db: Mutex<Connection>,
    hash: String,
}

/// Its routes. One connection behind a lock: several would answer "database is locked".
pub(crate) fn routes(dir: &Path, token: &str) -> Result<Router> {
    let db = Connection::open(dir.join("naive.db"))?;
    db.execute_batch(SCHEMA)?;
    let salt = SaltString::from_b64("c2FsdHNhbHRzYWx0c2FsdA").map_err(|error| anyhow::anyhow!("{error}"))?;
    let hash = argon()?.hash_password(token.as_bytes(), &salt).map_err(|error| anyhow::anyhow!("{error}"))?;
    let shared = Arc::new(Shared { db: Mutex::new(db), hash: hash.to_string() });
    Ok(Router::new().route("/v1/enroll", post(enroll)).with_state(shared))
}

fn argon() -> Result<Argon2<'static>> {
    let params = Params::new(19_456, 2, 1, None).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

async fn enroll(State(shared): State<Arc<Shared>>, Json(asked): Json<Value>) -> Result<Json<Value>, Failure> {
    let answer = tokio::task::spawn_blocking(move || answer(&shared, &asked)).await??;
    Ok(Json(answer))
}

fn answer(shared: &Shared, asked: &Value) -> Result<Value> {
    let token = asked["evidence"]["token"].as_str().context("no token")?;
    let hostname = asked["hostname"].as_str().context("no hostname")?;
    let expected = PasswordHash::new(&shared.hash).map_err(|error| anyhow::anyhow!("{error}"))?;
    argon()?.verify_password(token.as_bytes(), &expected).map_err(|error| anyhow::anyhow!("{error}"))?;
    let (mut id, mut secret) = ([0; 16], [0; 32]);
    aws_lc_rs::rand::fill(&mut id)?;
    aws_lc_rs::rand::fill(&mut secret)?;
    let (id, secret) = (HEXLOWER.encode(&id), HEXLOWER.encode(&secret));
    let db = shared.db.lock().unwrap_or_else(PoisonError::into_inner);
    db.execute("INSERT INTO machines VALUES (?1, ?2)", params![id, hostname])?;
    db.execute("INSERT INTO keys VALUES (?1, ?2)", params![id, secret])?;
    db.execute("INSERT INTO events (machine) VALUES (?1)", params![id])?;
    Ok(json!({"id": id, "bearer": secret}))
}
