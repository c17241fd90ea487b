//! Changing the certificate authority, step by step.

use axum::extract::State;
use axum::{Extension, Json};
use muster_app::{CaStep, Origin, Store};
use muster_wire::ca::{CaStatus, ChangeCa};

use crate::problem::Failure;
use crate::route::{Key, NoBody, OptionalBody};
use crate::state::ServerState;

/// Show where the change of the certificate authority stands, and which machines are not ready for the next step.
#[utoipa::path(
    get, path = "/v1/ca", tag = "operations",
    responses((status = 200, body = CaStatus), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn show<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
) -> Result<Json<CaStatus>, Failure> {
    Ok(Json(state.app.ca_status(&origin).await?))
}

/// Make the next authority. Nobody sees it yet.
#[utoipa::path(
    post, path = "/v1/ca/prepare", tag = "operations", params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    responses((status = 200, body = CaStatus), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn prepare<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    _: NoBody,
) -> Result<Json<CaStatus>, Failure> {
    Ok(Json(state.app.change_ca(CaStep::Prepare, ChangeCa::default(), key.as_deref(), &origin).await?))
}

/// Give the roots of the next authority to everybody.
#[utoipa::path(
    post, path = "/v1/ca/publish", tag = "operations", params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    responses((status = 200, body = CaStatus), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn publish<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    _: NoBody,
) -> Result<Json<CaStatus>, Failure> {
    Ok(Json(state.app.change_ca(CaStep::Publish, ChangeCa::default(), key.as_deref(), &origin).await?))
}

/// Sign by the next authority. Refused while machines do not hold its roots.
#[utoipa::path(
    post, path = "/v1/ca/activate", tag = "operations", request_body = ChangeCa,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    responses((status = 200, body = CaStatus), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn activate<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    OptionalBody(request): OptionalBody<ChangeCa>,
) -> Result<Json<CaStatus>, Failure> {
    Ok(Json(state.app.change_ca(CaStep::Activate, request, key.as_deref(), &origin).await?))
}

/// Take no certificate of the authority before any more: its key may be in other hands. Machines change their keys.
#[utoipa::path(
    post, path = "/v1/ca/taint", tag = "operations", params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    responses((status = 200, body = CaStatus), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn taint<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    _: NoBody,
) -> Result<Json<CaStatus>, Failure> {
    Ok(Json(state.app.change_ca(CaStep::Taint, ChangeCa::default(), key.as_deref(), &origin).await?))
}

/// Take the roots of the authority before out of the bundle. Refused while machines need them. It is not taken back.
#[utoipa::path(
    post, path = "/v1/ca/remove", tag = "operations", request_body = ChangeCa,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    responses((status = 200, body = CaStatus), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn remove<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    OptionalBody(request): OptionalBody<ChangeCa>,
) -> Result<Json<CaStatus>, Failure> {
    Ok(Json(state.app.change_ca(CaStep::Remove, request, key.as_deref(), &origin).await?))
}

/// Take the last step back.
#[utoipa::path(
    post, path = "/v1/ca/undo", tag = "operations", params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    responses((status = 200, body = CaStatus), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn undo<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    _: NoBody,
) -> Result<Json<CaStatus>, Failure> {
    Ok(Json(state.app.change_ca(CaStep::Undo, ChangeCa::default(), key.as_deref(), &origin).await?))
}
