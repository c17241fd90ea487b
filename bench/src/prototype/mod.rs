//! The bare loop to compare enrollment with: the same sockets, the same durability, the same cryptography; and no
//! rules, no checks, no roles, no audit trail worth the name. One for each database.

pub(crate) mod postgres;
pub(crate) mod sqlite;

use anyhow::Result;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use muster_app::{App, Store};
use muster_issuer::{MachineTemplate, csr};
use muster_model::{CredentialId, MachineId, SignedDuration, TenantId};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Why a reference server did not answer.
pub(crate) struct Failure(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{:#}", self.0)).into_response()
    }
}

/// What is kept of an enrollment: a row each in three tables.
pub(crate) struct Enrollment {
    id: [u8; 16],
    hostname: String,
    hash: [u8; 32],
    certificate: Option<Vec<u8>>,
    at: i64,
}

/// Where enrollments are kept.
pub(crate) trait Keep: Clone + Send + Sync + 'static {
    /// Returns when it is durable.
    fn keep(&self, enrollment: Enrollment) -> impl Future<Output = Result<()>> + Send;
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
struct Shared<S, K> {
    app: App<S>,
    keep: K,
    expected: [u8; 32],
}

/// The loop's routes.
pub(crate) fn routes<S: Store, K: Keep>(app: &App<S>, keep: K, token: &str) -> Router {
    let shared = Shared { app: app.clone(), keep, expected: hash(token) };
    Router::new().route("/v1/enroll", post(enroll::<S, K>)).with_state(shared)
}

async fn enroll<S: Store, K: Keep>(
    State(shared): State<Shared<S, K>>,
    Json(asked): Json<Asked>,
) -> Result<Json<Value>, Failure> {
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
    let (hostname, hash) = (asked.hostname, hash(&secret));
    shared.keep.keep(Enrollment { id, hostname, hash, certificate, at: now.as_millisecond() }).await?;
    Ok(Json(json!({"id": HEXLOWER.encode(&id), "bearer": secret, "certificate": pem})))
}

fn certify<S: Store>(app: &App<S>, id: [u8; 16], text: &str) -> Result<Vec<u8>> {
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
