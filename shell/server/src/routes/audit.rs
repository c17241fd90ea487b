//! The audit log, under `/v1/audit`.

use axum::extract::State;
use axum::{Extension, Json};
use muster_app::Origin;
use muster_app::Store;
use muster_wire::Page;
use muster_wire::audit::{AuditEntry, AuditQuery};

use crate::problem::Failure;
use crate::route::Params;
use crate::state::ServerState;

/// Read the audit log: the newest first, or with `after` what came since, oldest first.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, body = Page<AuditEntry>), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(query): Params<AuditQuery>,
) -> Result<Json<Page<AuditEntry>>, Failure> {
    Ok(Json(state.app.audit(&query, &origin).await?))
}
