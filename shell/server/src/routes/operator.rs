//! Operators under `/v1/operators`.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use muster_app::{Origin, Store};
use muster_model::OperatorId;
use muster_wire::access::LoginLink;
use muster_wire::operator::{
    ChangedOperator, CreateOperator, DisableOperator, EditOperator, Operator, ResetSecondFactor,
};
use muster_wire::{ListQuery, Page};

use crate::problem::Failure;
use crate::route::{Body, Key, Named, NoBody, OptionalBody, Params};
use crate::state::ServerState;

/// List operators, the newest first.
#[utoipa::path(
    get, path = "/v1/operators", tag = "access", params(ListQuery),
    responses((status = 200, body = Page<Operator>), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<Operator>>, Failure> {
    Ok(Json(state.app.operators(&query, &origin).await?))
}

/// Make an operator. It gets in by a one-time login link.
#[utoipa::path(
    post, path = "/v1/operators", tag = "access", request_body = CreateOperator,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    responses((status = 201, body = Operator), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn create<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    Body(request): Body<CreateOperator>,
) -> Result<(StatusCode, Json<Operator>), Failure> {
    Ok((StatusCode::CREATED, Json(state.app.create_operator(request, key.as_deref(), &origin).await?)))
}

/// One operator.
#[utoipa::path(
    get, path = "/v1/operators/{operator}", tag = "access", params(("operator" = String, Path)),
    responses((status = 200, body = Operator), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn show<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(operator): Named<OperatorId>,
) -> Result<Json<Operator>, Failure> {
    Ok(Json(state.app.operator(operator, &origin).await?))
}

/// Change the name or the role of an operator. With the role, its sessions and login links end.
#[utoipa::path(
    patch, path = "/v1/operators/{operator}", tag = "access", params(("operator" = String, Path)),
    request_body = EditOperator,
    responses((status = 200, body = ChangedOperator), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn edit<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(operator): Named<OperatorId>,
    Body(request): Body<EditOperator>,
) -> Result<Json<ChangedOperator>, Failure> {
    Ok(Json(state.app.edit_operator(operator, request, &origin).await?))
}

/// Disable an operator. Its sessions, tokens and login links end, and what it has open.
#[utoipa::path(
    post, path = "/v1/operators/{operator}/disable", tag = "access", params(("operator" = String, Path)),
    request_body = DisableOperator,
    responses((status = 200, body = ChangedOperator), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn disable<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(operator): Named<OperatorId>,
    OptionalBody(request): OptionalBody<DisableOperator>,
) -> Result<Json<ChangedOperator>, Failure> {
    Ok(Json(state.app.disable_operator(operator, &request, &origin).await?))
}

/// Enable an operator again. What it had stays ended.
#[utoipa::path(
    post, path = "/v1/operators/{operator}/enable", tag = "access", params(("operator" = String, Path)),
    responses((status = 200, body = ChangedOperator), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn enable<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(operator): Named<OperatorId>,
    _: NoBody,
) -> Result<Json<ChangedOperator>, Failure> {
    Ok(Json(state.app.enable_operator(operator, &origin).await?))
}

/// Take an operator's second factor away, for whoever lost it and all codes. Its sessions and login links end. Not one's own.
#[utoipa::path(
    post, path = "/v1/operators/{operator}/reset-second-factor", tag = "access",
    params(("operator" = String, Path)), request_body = ResetSecondFactor,
    responses((status = 200, body = ChangedOperator), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn reset_second_factor<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(operator): Named<OperatorId>,
    OptionalBody(request): OptionalBody<ResetSecondFactor>,
) -> Result<Json<ChangedOperator>, Failure> {
    Ok(Json(state.app.reset_second_factor(operator, &request, &origin).await?))
}

/// Make a one-time login link for an operator. One's own is made on the server's own host alone.
#[utoipa::path(
    post, path = "/v1/operators/{operator}/link", tag = "access", params(("operator" = String, Path)),
    responses((status = 201, body = LoginLink), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn link<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(operator): Named<OperatorId>,
    _: NoBody,
) -> Result<(StatusCode, Json<LoginLink>), Failure> {
    let login_url = state.app.operator_link(operator, &origin).await?;
    Ok((StatusCode::CREATED, Json(LoginLink { login_url })))
}
