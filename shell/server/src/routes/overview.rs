//! What the fleet did, under `/v1/overview`.

use axum::extract::State;
use axum::{Extension, Json};
use muster_app::Origin;
use muster_app::Store;
use muster_wire::overview::{Overview, OverviewQuery};

use crate::problem::Failure;
use crate::route::Params;
use crate::state::ServerState;

/// Tell what the fleet did over time: who was online, who came in, who was refused, who ended; what ends within 13 weeks; and
/// which versions run.
#[utoipa::path(
    get, path = "/v1/overview", tag = "operations", params(OverviewQuery),
    responses((status = 200, body = Overview), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn show<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(query): Params<OverviewQuery>,
) -> Result<Json<Overview>, Failure> {
    Ok(Json(state.app.overview(&query, &origin).await?))
}
