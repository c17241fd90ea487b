//! The wire of the wrenn host agent.
//!
//! A machine registers by the token of one that an operator made ahead, and gets a session token, a refresh token and the
//! key pair that it insists on being given. It shows the session token at each heartbeat and comes for the next one when
//! that is refused with 401. What each status makes the agent do decides which one is answered: 404 to a heartbeat makes it
//! delete its credentials, so only a retired machine is told so; 401 makes it refresh and give up for good where that
//! fails, so it is answered only where the refresh can succeed or the host is to stop; what passes is 503, which it ignores.
//! Only where it gets no answer at all does it pause and come back by itself: so a paused machine gets none.

mod routes;
mod shapes;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use muster_app::Action::{Operate, Read, SelfBeat};
use muster_app::Store;
use muster_model::Timestamp;

use super::Wire;
use crate::problem::Failed;
use crate::route::Routes;
use crate::serve::HangUp;

/// What a machine is refused with that is paused, or that was ended for its silence and can be restored.
const PAUSED: [&str; 2] = ["suspended", "reaped"];

/// The wire, for the list of all.
pub(super) fn wire<S: Store>() -> Wire<S> {
    Wire { name: "wrenn", roots: &["/v1/hosts"], mount, told }
}

fn mount<S: Store>(routes: Routes<S>) -> Routes<S> {
    routes
        .add_proving::<routes::__path_register, _, _>(routes::register::<S>)
        .add_proving::<routes::__path_refresh, _, _>(routes::refresh::<S>)
        .add::<routes::__path_heartbeat, _, _>(SelfBeat, routes::heartbeat::<S>)
        .add::<routes::__path_list, _, _>(Read, routes::list::<S>)
        .add::<routes::__path_create, _, _>(Operate, routes::create::<S>)
        .add::<routes::__path_show, _, _>(Read, routes::show::<S>)
        .add::<routes::__path_preview, _, _>(Read, routes::preview::<S>)
        .add::<routes::__path_remove, _, _>(Operate, routes::remove::<S>)
        .add::<routes::__path_token, _, _>(Operate, routes::token::<S>)
        .add::<routes::__path_list_tags, _, _>(Read, routes::list_tags::<S>)
        .add::<routes::__path_tag, _, _>(Operate, routes::tag::<S>)
        .add::<routes::__path_untag, _, _>(Operate, routes::untag::<S>)
}

/// `{"error":{"code","message"}}`.
fn told(failed: Failed) -> Response {
    // Neither identifier nor time is part of this shape.
    let problem = failed.document("", Timestamp::UNIX_EPOCH);
    let wrong = problem.errors.iter().map(|error| format!(" {}: {}.", error.path, error.message));
    let message = format!("{}{}", problem.title, wrong.collect::<String>());
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let is_paused = PAUSED.contains(&problem.code.as_str());
    let body = Json(shapes::Envelope { error: shapes::Said { code: problem.code, message } });
    let mut response = (status, body).into_response();
    if is_paused {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.extensions_mut().insert(HangUp);
    }
    response
}
