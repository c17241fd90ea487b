//! Alarms, under `/v1/alarms`.

use axum::extract::State;
use axum::{Extension, Json};
use muster_app::Origin;
use muster_app::Store;
use muster_wire::Page;
use muster_wire::alarm::{Acknowledge, Alarm};

use crate::problem::Failure;
use crate::route::Body;
use crate::state::ServerState;

/// List what somebody should look at: alarms of the last seven days that nobody has acknowledged, what was told last first.
#[utoipa::path(
    get, path = "/v1/alarms", tag = "operations",
    responses((status = 200, body = Page<Alarm>), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
) -> Result<Json<Page<Alarm>>, Failure> {
    Ok(Json(state.app.alarms(&origin).await?))
}

/// Say that somebody has looked at what was told of an object until a time. What is still open is answered. Nothing else ends: a
/// machine that was paused stays so until it is resumed.
#[utoipa::path(
    post, path = "/v1/alarms/acknowledge", tag = "operations", request_body = Acknowledge,
    responses((status = 200, body = Page<Alarm>), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn acknowledge<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<Acknowledge>,
) -> Result<Json<Page<Alarm>>, Failure> {
    Ok(Json(state.app.acknowledge(&request, &origin).await?))
}
