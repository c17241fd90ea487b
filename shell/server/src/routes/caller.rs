//! Certificates of whoever calls machines that serve others, under `/v1/callers`.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use muster_app::{Origin, Store};
use muster_wire::caller::{CertifiedCaller, CertifyCaller};

use crate::problem::Failure;
use crate::route::Body;
use crate::state::ServerState;

/// Certify the key of somebody who calls machines that serve others. Asked again, there are two certificates of one key.
#[utoipa::path(
    post, path = "/v1/callers", tag = "access", request_body = CertifyCaller,
    responses((status = 201, body = CertifiedCaller), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn certify<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<CertifyCaller>,
) -> Result<(StatusCode, Json<CertifiedCaller>), Failure> {
    Ok((StatusCode::CREATED, Json(state.app.certify_caller(request, &origin).await?)))
}
