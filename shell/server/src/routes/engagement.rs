//! What software agents are to do, under `/v1/machines/{machine}/engagement`, and the nicks that they hold.

use axum::extract::State;
use axum::{Extension, Json};
use muster_app::Origin;
use muster_app::Store;
use muster_model::MachineId;
use muster_wire::engagement::{
    AcknowledgeEngagement, EngagedAgent, EngagementPreview, EngagementQuery, FreeNick, FreedNick,
    ListedAgent, SetEngagement, WrittenEngagement, WrittenQuery,
};
use muster_wire::{ListQuery, Page};

use crate::problem::Failure;
use crate::route::{Body, Named, OptionalBody, Params};
use crate::state::ServerState;

/// List software agents with their engagements and accounts.
#[utoipa::path(
    get, path = "/v1/engagements", tag = "engagements", params(ListQuery),
    responses((status = 200, body = Page<ListedAgent>), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<ListedAgent>>, Failure> {
    Ok(Json(state.app.software_agents(&query, &origin).await?))
}

/// Show one version of a machine's engagement as it was written, and what is different from the one before.
#[utoipa::path(
    get, path = "/v1/machines/{machine}/engagement/written", tag = "engagements",
    params(("machine" = String, Path), WrittenQuery),
    responses((status = 200, body = WrittenEngagement), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn written<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
    Params(query): Params<WrittenQuery>,
) -> Result<Json<WrittenEngagement>, Failure> {
    Ok(Json(state.app.engagement_written(machine, &query, &origin).await?))
}

/// Check an engagement and show what setting it would change. Nothing is changed.
#[utoipa::path(
    post, path = "/v1/machines/{machine}/engagement/preview", tag = "engagements", params(("machine" = String, Path)),
    request_body = SetEngagement,
    responses((status = 200, body = EngagementPreview), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn preview<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
    OptionalBody(request): OptionalBody<SetEngagement>,
) -> Result<Json<EngagementPreview>, Failure> {
    Ok(Json(state.app.preview_engagement(machine, request, &origin).await?))
}

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

/// I go by it: the version and the hash of the engagement in force. Saying it again changes nothing.
#[utoipa::path(
    post, path = "/v1/machines/self/engagement/acknowledge", tag = "machine", request_body = AcknowledgeEngagement,
    responses((status = 200, body = EngagedAgent), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn acknowledge<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<AcknowledgeEngagement>,
) -> Result<Json<EngagedAgent>, Failure> {
    Ok(Json(state.app.acknowledge_engagement(request, &origin).await?))
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
