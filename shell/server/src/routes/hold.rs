//! Operators look at holds and decide them, under `/v1/holds`.

use axum::extract::State;
use axum::{Extension, Json};
use muster_app::Origin;
use muster_app::Store;
use muster_model::{HoldId, ReasonText};
use muster_wire::hold::{Approve, Hold, HoldDetail};
use muster_wire::machine::Reasoned;
use muster_wire::{ListQuery, Page};

use crate::problem::Failure;
use crate::route::{Named, OptionalBody, Params};
use crate::state::ServerState;

/// List holds: those that wait, or all with `state=all`.
#[utoipa::path(
    get, path = "/v1/holds", tag = "holds", params(ListQuery),
    responses((status = 200, body = Page<Hold>), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<Hold>>, Failure> {
    Ok(Json(state.app.holds(&query, &origin).await?))
}

/// Show a hold with the evidence, both claimants side by side.
#[utoipa::path(
    get, path = "/v1/holds/{hold}", tag = "holds", params(("hold" = String, Path)),
    responses((status = 200, body = HoldDetail), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn show<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(hold): Named<HoldId>,
) -> Result<Json<HoldDetail>, Failure> {
    Ok(Json(state.app.hold(hold, &origin).await?))
}

/// Let the claimant in. The first decision wins.
#[utoipa::path(
    post, path = "/v1/holds/{hold}/approve", tag = "holds", params(("hold" = String, Path)),
    request_body = Approve,
    responses((status = 200, body = HoldDetail), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn approve<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(hold): Named<HoldId>,
    OptionalBody(request): OptionalBody<Approve>,
) -> Result<Json<HoldDetail>, Failure> {
    Ok(Json(state.app.approve(hold, &request, &origin).await?))
}

/// Turn the claimant away.
#[utoipa::path(
    post, path = "/v1/holds/{hold}/reject", tag = "holds", params(("hold" = String, Path)),
    request_body = Reasoned,
    responses((status = 200, body = HoldDetail), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn reject<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(hold): Named<HoldId>,
    OptionalBody(request): OptionalBody<Reasoned>,
) -> Result<Json<HoldDetail>, Failure> {
    let reason: Option<ReasonText> = request.try_into()?;
    Ok(Json(state.app.reject(hold, reason, &origin).await?))
}
