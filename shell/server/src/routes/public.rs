//! What anybody may ask: trust, nonces, discovery, health; and the deployment at a glance for operators.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{StatusCode, header};
use muster_app::{Mode, Origin, Store};
use muster_wire::Page;
use muster_wire::status::{Status, Version};
use muster_wire::trust::{JoinMethod, Nonce, Trust};

use crate::problem::Failure;
use crate::state::ServerState;

/// Whom to trust. A pin tells whether to believe it.
#[utoipa::path(get, path = "/v1/trust", tag = "enroll", responses((status = 200, body = Trust)))]
pub(super) async fn trust<S: Store>(State(state): State<ServerState<S>>) -> Json<Trust> {
    Json(state.app.trust())
}

/// A nonce for one signed request, and the server's clock.
#[utoipa::path(get, path = "/v1/nonce", tag = "enroll", responses((status = 200, body = Nonce)))]
pub(super) async fn nonce<S: Store>(State(state): State<ServerState<S>>) -> Json<Nonce> {
    Json(state.app.nonce())
}

/// The ways in, with the schema of each one's evidence.
#[utoipa::path(get, path = "/v1/join-methods", tag = "enroll", responses((status = 200, body = Page<JoinMethod>)))]
pub(super) async fn join_methods<S: Store>(State(state): State<ServerState<S>>) -> Json<Page<JoinMethod>> {
    Json(Page { items: state.app.join_methods(), next: None })
}

/// Whether the process runs.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the server can do its work: the store answers, takes writes, and knows all that was seen of it.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses((status = 200, body = String), (status = 503, body = String))
)]
pub(super) async fn readyz<S: Store>(State(state): State<ServerState<S>>) -> (StatusCode, &'static str) {
    let unready = |said| (StatusCode::SERVICE_UNAVAILABLE, said);
    match state.app.mode() {
        Mode::Stale if state.app.lacks_authority() => {
            unready("authority: the one of the database cannot be used\nmode: stale\n")
        }
        Mode::Stale => unready("store: unavailable\nmode: stale\n"),
        Mode::Restored => unready("store: older than it was\nmode: restored\n"),
        Mode::Normal => match state.app.ready().await {
            Ok(()) => (StatusCode::OK, "store: ok\nmode: normal\n"),
            Err(error) => {
                tracing::warn!(%error, "not ready");
                unready("store: unavailable\nmode: normal\n")
            }
        },
    }
}

/// Version of the server, and of the protocols it speaks.
#[utoipa::path(get, path = "/version", tag = "operations", responses((status = 200, body = Version)))]
pub(super) async fn version() -> Json<Version> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Json(Version { version, protocols: vec!["muster/1".to_owned()] })
}

/// Keys that verify the JWTs of machines (RFC 7517).
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "discovery",
    responses((status = 200, body = serde_json::Value))
)]
pub(super) async fn jwks<S: Store>(State(state): State<ServerState<S>>) -> Json<serde_json::Value> {
    Json(state.app.authority().tokens().jwks().clone())
}

/// OpenID Connect Discovery 1.0 §3, as far as verifiers of machines' JWTs need it.
#[utoipa::path(
    get, path = "/.well-known/openid-configuration", tag = "discovery",
    responses((status = 200, body = serde_json::Value))
)]
pub(super) async fn discovery<S: Store>(State(state): State<ServerState<S>>) -> Json<serde_json::Value> {
    let url = &state.app.settings().url;
    Json(serde_json::json!({
        "issuer": url,
        "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }))
}

/// Where to report a weakness (RFC 9116).
#[utoipa::path(
    get, path = "/.well-known/security.txt", tag = "discovery",
    responses((status = 200, body = String))
)]
pub(super) async fn security_txt<S: Store>(State(state): State<ServerState<S>>) -> String {
    let day = muster_model::SignedDuration::from_hours(24);
    let end = state.app.now() + day * 365;
    let url = &state.app.settings().url;
    format!(
        "Contact: {url}/login\nExpires: {end}\nPreferred-Languages: en\nCanonical: {url}/.well-known/security.txt\n"
    )
}

/// The deployment at a glance.
#[utoipa::path(
    get, path = "/v1/status", tag = "operations",
    responses((status = 200, body = Status), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn status<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
) -> Result<Json<Status>, Failure> {
    Ok(Json(state.app.status(&origin).await?))
}

/// A text that is JSON already.
pub(super) async fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
