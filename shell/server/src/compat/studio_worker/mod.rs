//! The wire of studio-worker: it asks, a person approves, it polls, then holds one WebSocket.
//!
//! What its answers mean to that client decides which are given. `404` makes it forget who it is and start over, so that
//! is said of what is really gone and of nothing else; `401` on the socket makes it stop for good; everything else it tries
//! again. Jobs are not Muster's: none is ever offered, and what is said of any is taken and let go.

mod said;
mod session;
mod shapes;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use muster_app::Action::{Public, Self_};
use muster_app::{Error, Origin, Store};
use muster_model::{HoldId, Refusal};
use muster_wire::enroll::EnrollAnswer;

use super::Wire;
use crate::problem::{Failed, Failure};
use crate::route::{LongBody, Named, Routes, bearer};
use crate::state::ServerState;
use shapes::{Polled, RegisterRequest, Requested};

/// The wire. Its paths come after whatever prefix its address has.
pub(super) fn wire<S: Store>() -> Wire<S> {
    Wire { name: "studio_worker", roots: &["/graphics/api/workers"], mount, told }
}

fn mount<S: Store>(routes: Routes<S>) -> Routes<S> {
    routes
        .add::<__path_register, _, _>(Public, register::<S>)
        .add::<__path_poll, _, _>(Public, poll::<S>)
        .add::<session::__path_connect, _, _>(Self_, session::connect::<S>)
        .add::<__path_complete, _, _>(Self_, complete::<S>)
}

/// An error as the client and its log read it.
fn told(failed: Failed) -> Response {
    // A bearer key that ended stops it; only a machine that is gone lets it start over.
    let status = match failed.row().code {
        "retired" => StatusCode::NOT_FOUND,
        "revoked" => StatusCode::UNAUTHORIZED,
        _ => failed.row().status,
    };
    let body = Json(serde_json::json!({ "error": failed.row().title, "code": failed.row().code }));
    (status, body).into_response()
}

/// Ask to become a worker: the same install and hash is the same request, for ever.
#[utoipa::path(post, path = "/graphics/api/workers/register-request", responses((status = 200, description = "Asked.")))]
async fn register<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    LongBody(request): LongBody<RegisterRequest>,
) -> Result<Json<Requested>, Failure> {
    let site = state.shared.config.request_site.as_ref();
    match state.app.enroll(request.into_enrollment(site), &origin).await? {
        EnrollAnswer::Held(held) => Ok(Json(Requested { request_id: held.hold, status: "pending" })),
        // Whoever shows nothing is always held.
        EnrollAnswer::Enrolled(_) | EnrollAnswer::Same(_) => {
            Err(Refusal::WrongState { verb: "request", state: "enrolled" }.into())
        }
    }
}

/// Ask whether a person has decided, showing the secret behind the hash.
#[utoipa::path(
    get, path = "/graphics/api/workers/register-requests/{hold}",
    responses((status = 200, description = "Pending, approved or rejected."), (status = 404, description = "Gone."))
)]
async fn poll<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(hold): Named<HoldId>,
    headers: HeaderMap,
) -> Result<Json<Polled>, Failure> {
    let secret = bearer(&headers).unwrap_or_default();
    match state.app.collect_by_secret(hold, secret, origin.source).await {
        Ok(EnrollAnswer::Held(_)) => Ok(Json(Polled::Pending)),
        Ok(EnrollAnswer::Enrolled(enrolled) | EnrollAnswer::Same(enrolled)) => Ok(Json(Polled::Approved {
            worker_id: enrolled.machine.id,
            auth_token: enrolled.credential.bearer.unwrap_or_default(),
        })),
        Err(Error::Refused(Refusal::Rejected { reason })) => {
            Ok(Json(Polled::Rejected { reason: reason.unwrap_or_default() }))
        }
        Err(error) => Err(error.into()),
    }
}

/// A finished job. Nothing here offered one: it is taken, so that the worker goes on, and not kept.
#[utoipa::path(
    post, path = "/graphics/api/workers/{machine}/jobs/{job}/complete",
    responses((status = 200, description = "Taken."))
)]
async fn complete<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    axum::extract::Path((worker, _job)): axum::extract::Path<(String, String)>,
    request: Request,
) -> Result<Json<serde_json::Value>, Failure> {
    session::is_itself(&state, &origin, &worker).await?;
    said::drain(request.into_body()).await;
    Ok(Json(serde_json::json!({ "ok": true })))
}
