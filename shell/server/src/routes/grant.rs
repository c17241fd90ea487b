//! Grants and invites, under `/v1/grants` and `/v1/invites`.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use muster_app::Origin;
use muster_app::Store;
use muster_model::{GrantId, ReasonText};
use muster_wire::grant::{CreateGrant, CreatedGrant, Grant};
use muster_wire::machine::Reasoned;
use muster_wire::{ListQuery, Page};

use crate::problem::Failure;
use crate::route::{Body, Key, Named, OptionalBody, Params};
use crate::state::ServerState;

/// List grants, the newest first.
#[utoipa::path(
    get, path = "/v1/grants", tag = "doors", params(ListQuery),
    responses((status = 200, body = Page<Grant>), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<Grant>>, Failure> {
    Ok(Json(state.app.grants(&query, &origin).await?))
}

/// Make a grant. Its token is shown this once.
#[utoipa::path(
    post, path = "/v1/grants", tag = "doors", request_body = CreateGrant,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    responses((status = 201, body = CreatedGrant), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn create<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    Body(request): Body<CreateGrant>,
) -> Result<(StatusCode, Json<CreatedGrant>), Failure> {
    made(&state, request, key.as_deref(), &origin).await
}

/// End a grant. The machines that came in by it stay.
#[utoipa::path(
    post, path = "/v1/grants/{grant}/revoke", tag = "doors", params(("grant" = String, Path)),
    request_body = Reasoned,
    responses((status = 200, body = Grant), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn revoke<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(grant): Named<GrantId>,
    OptionalBody(request): OptionalBody<Reasoned>,
) -> Result<Json<Grant>, Failure> {
    let said: Option<ReasonText> = request.try_into()?;
    Ok(Json(state.app.revoke_grant(grant, said, &origin).await?))
}

/// Make an invite: a grant whose address, pin and token are one paste. One use and one day where nothing is said.
#[utoipa::path(
    post, path = "/v1/invites", tag = "doors", request_body = CreateGrant,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    responses((status = 201, body = CreatedGrant), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn invite<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    OptionalBody(request): OptionalBody<CreateGrant>,
) -> Result<(StatusCode, Json<CreatedGrant>), Failure> {
    made(&state, request, key.as_deref(), &origin).await
}

async fn made<S: Store>(
    state: &ServerState<S>,
    request: CreateGrant,
    key: Option<&str>,
    origin: &Origin,
) -> Result<(StatusCode, Json<CreatedGrant>), Failure> {
    let created = state.app.create_grant(request, key, origin).await?;
    Ok((StatusCode::CREATED, Json(created)))
}
