//! What software agents are to do, under `/v1/machines/{machine}/engagement`, and the nicks that they hold.

use axum::extract::State;
use axum::{Extension, Json};
use muster_app::Origin;
use muster_app::Store;
use muster_model::MachineId;
use muster_wire::engagement::{EngagedAgent, EngagementQuery, FreeNick, FreedNick, SetEngagement};

use crate::problem::Failure;
use crate::route::{Body, Named, OptionalBody, Params};
use crate::state::ServerState;

/// Show the engagement of a machine, signed twice.
#[utoipa::path(
    get, path = "/v1/machines/{machine}/engagement", tag = "engagements",
    params(("machine" = String, Path), EngagementQuery),
    responses((status = 200, body = EngagedAgent), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn show<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
    Params(query): Params<EngagementQuery>,
) -> Result<Json<EngagedAgent>, Failure> {
    Ok(Json(state.app.engagement(machine, &query, &origin).await?))
}

/// Set the engagement of a machine: its first, which gives it its nick, or one version more.
#[utoipa::path(
    post, path = "/v1/machines/{machine}/engagement", tag = "engagements", params(("machine" = String, Path)),
    request_body = SetEngagement,
    responses((status = 200, body = EngagedAgent), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn set<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
    OptionalBody(request): OptionalBody<SetEngagement>,
) -> Result<Json<EngagedAgent>, Failure> {
    Ok(Json(state.app.set_engagement(machine, request, &origin).await?))
}

/// What am I to do?
#[utoipa::path(
    get, path = "/v1/machines/self/engagement", tag = "machine", params(EngagementQuery),
    responses((status = 200, body = EngagedAgent), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn show_self<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(query): Params<EngagementQuery>,
) -> Result<Json<EngagedAgent>, Failure> {
    let machine = origin.caller.machine()?.machine;
    Ok(Json(state.app.engagement(machine, &query, &origin).await?))
}

/// Allow the nick of an agent that was revoked to be registered again.
#[utoipa::path(
    post, path = "/v1/nicks/free", tag = "engagements", request_body = FreeNick,
    responses((status = 200, body = FreedNick), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn free<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<FreeNick>,
) -> Result<Json<FreedNick>, Failure> {
    Ok(Json(state.app.free_nick(&request, &origin).await?))
}
