//! The servers of the deployment, and going on from a database that was put back to an older day.

use axum::extract::State;
use axum::{Extension, Json};
use muster_app::Origin;
use muster_app::Store;
use muster_wire::Page;
use muster_wire::replica::{Replica, RestoreAccepted};

use crate::problem::Failure;
use crate::route::{Key, NoBody};
use crate::state::ServerState;

/// List the servers of the deployment, the oldest first.
#[utoipa::path(
    get, path = "/v1/replicas", tag = "operations",
    responses((status = 200, body = Page<Replica>), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
) -> Result<Json<Page<Replica>>, Failure> {
    Ok(Json(Page { items: state.app.replicas().await?, next: None }))
}

/// Go on from a database that was put back to an older day. What it has forgotten stays forgotten.
#[utoipa::path(
    post, path = "/v1/restore/accept", tag = "operations",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    responses((status = 200, body = RestoreAccepted), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn accept_restore<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    _: NoBody,
) -> Result<Json<RestoreAccepted>, Failure> {
    Ok(Json(state.app.accept_restore(key.as_deref(), &origin).await?))
}
