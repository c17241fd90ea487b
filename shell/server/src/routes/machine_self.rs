//! What a machine asks for itself, under `/v1/machines/self`.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use muster_app::Origin;
use muster_app::Store;
use muster_wire::enroll::{MachineToken, Renewed, TokenRequest};
use muster_wire::machine::Machine;
use muster_wire::rotate::RotateRequest;

use crate::problem::Failure;
use crate::route::{Body, NoBody};
use crate::state::ServerState;

/// Who am I?
#[utoipa::path(
    get, path = "/v1/machines/self", tag = "machine",
    responses((status = 200, body = Machine), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn show<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
) -> Result<Json<Machine>, Failure> {
    Ok(Json(state.app.self_view(origin.caller.machine()?).await?))
}

/// A new certificate for the same key. Safe to repeat after a lost answer.
#[utoipa::path(
    post, path = "/v1/machines/self/renew", tag = "machine",
    responses((status = 200, body = Renewed), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn renew<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    _: NoBody,
) -> Result<Json<Renewed>, Failure> {
    Ok(Json(state.app.renew(origin.caller.machine()?, &origin).await?))
}

/// A certificate for the machine's next key. The key in its durable slot vouches for it, always by a signed request; the
/// next one works from then on, and its first use makes it the present one. Safe to repeat with the same key.
#[utoipa::path(
    post, path = "/v1/machines/self/rotate", tag = "machine", request_body = RotateRequest,
    responses((status = 200, body = Renewed), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn rotate<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<RotateRequest>,
) -> Result<Json<Renewed>, Failure> {
    Ok(Json(state.app.rotate(request, origin.caller.machine()?, &origin).await?))
}

/// A short JWT to show to others.
#[utoipa::path(
    post, path = "/v1/machines/self/token", tag = "machine", request_body = TokenRequest,
    responses((status = 200, body = MachineToken), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn token<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<TokenRequest>,
) -> Result<Json<MachineToken>, Failure> {
    Ok(Json(state.app.machine_token(&request, origin.caller.machine()?, &origin).await?))
}

/// The machine signs itself off. Its credentials end; its record stays.
#[utoipa::path(
    post, path = "/v1/machines/self/leave", tag = "machine",
    responses((status = 204), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn leave<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    _: NoBody,
) -> Result<StatusCode, Failure> {
    state.app.leave(origin.caller.machine()?, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
