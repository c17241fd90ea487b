//! The reaper, and the way back from it.

use axum::extract::State;
use axum::{Extension, Json};
use muster_app::Origin;
use muster_app::Store;
use muster_model::{MachineId, ReasonText};
use muster_wire::machine::{Machine, Reasoned};
use muster_wire::reaper::Reaper;

use crate::problem::Failure;
use crate::route::{Named, OptionalBody};
use crate::state::ServerState;

/// Tell how the reaper stands, and which machines are due to be paused or ended for their silence. Nothing is done by this.
#[utoipa::path(
    get, path = "/v1/reaper", tag = "operations",
    responses((status = 200, body = Reaper), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn show<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
) -> Result<Json<Reaper>, Failure> {
    Ok(Json(state.app.reaper(&origin).await?))
}

/// Undo a reaping: a machine that was paused for its silence, or ended for it within the last 30 days, goes on with all that it
/// held.
#[utoipa::path(
    post, path = "/v1/machines/{machine}/restore", tag = "machines", params(("machine" = String, Path)),
    request_body = Reasoned,
    responses((status = 200, body = Machine), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn restore<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
    OptionalBody(request): OptionalBody<Reasoned>,
) -> Result<Json<Machine>, Failure> {
    let reason: Option<ReasonText> = request.try_into()?;
    Ok(Json(state.app.restore(machine, reason, &origin).await?))
}
