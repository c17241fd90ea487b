//! What stands around a page, as this caller sees it; and a page on its way out.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use muster_app::{Origin, Store};
use muster_console::{Failure, Frame, Login, Who};
use muster_wire::Problem;

use crate::problem::Failure as Failed;
use crate::route::session;
use crate::state::ServerState;

/// A page that is shown.
pub(super) struct Shown<T>(pub(super) T);

impl<T: Template> IntoResponse for Shown<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(page) => Html(page).into_response(),
            // Writing to memory fails where there is none left, and then nothing here runs on.
            Err(error) => panic!("a page cannot be written: {error}"),
        }
    }
}

/// What is shown where a page cannot be. Whoever is not logged in gets the page that says how.
pub(crate) fn page_of(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status == StatusCode::UNAUTHORIZED {
        return (status, [("hx-redirect", "/login")], Shown(Login)).into_response();
    }
    (status, Shown(Failure { problem })).into_response()
}

/// What stands around every page of this caller. Asked for first: what the page shows must not be older than it says.
///
/// # Errors
/// What the use case says.
pub(super) async fn frame<S: Store>(
    state: &ServerState<S>,
    origin: &Origin,
    headers: &HeaderMap,
) -> Result<Frame, Failed> {
    let around = state.app.around(origin).await?;
    let session = session(headers).unwrap_or_default();
    Ok(Frame {
        who: Who { name: around.operator.to_string(), role: around.role },
        csrf: state.app.csrf(session),
        url: around.url,
        holds: around.waiting,
        seen: around.seen,
        warnings: around.warnings,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: state.app.now(),
    })
}
