//! The wire of scuttlebot's `scuttlectl` and relay agents: software agents, API keys with scopes, presence, status.
//!
//! Answers are written as its own server's encoder writes them, with a line's end, so that the bytes of a signed payload
//! on the wire are the bytes that were signed. `/v1/status` is a route of the native interface too: on the main port this
//! wire needs a prefix for it, on the listener for existing clients it does not.
//!
//! What is not here is IRC: channels, messages, bots and their topology belong to the program that bridges them.

mod agents;
mod keys;
mod shapes;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use muster_app::Action::{AgentChat, AgentKeys, AgentStatus, Agents};
use muster_app::Store;
use muster_wire::go_json;
use serde::Serialize;

use super::Wire;
use crate::problem::Failed;
use crate::route::Routes;

/// How its paths begin.
const ROOTS: &[&str] = &["/v1/agents", "/v1/api-keys", "/v1/channels", "/v1/status"];

/// Its wire.
pub(super) fn wire<S: Store>() -> Wire<S> {
    Wire { name: "scuttlebot", roots: ROOTS, mount, told }
}

/// Mounts its routes.
fn mount<S: Store>(routes: Routes<S>) -> Routes<S> {
    routes
        .add::<agents::__path_register, _, _>(Agents, agents::register::<S>)
        .add::<agents::__path_list, _, _>(Agents, agents::list::<S>)
        .add::<agents::__path_bulk_delete, _, _>(Agents, agents::bulk_delete::<S>)
        .add::<agents::__path_show, _, _>(Agents, agents::show::<S>)
        .add::<agents::__path_update, _, _>(Agents, agents::update::<S>)
        .add::<agents::__path_delete, _, _>(Agents, agents::delete::<S>)
        .add::<agents::__path_adopt, _, _>(Agents, agents::adopt::<S>)
        .add::<agents::__path_rotate, _, _>(Agents, agents::rotate::<S>)
        .add::<agents::__path_revoke, _, _>(Agents, agents::revoke::<S>)
        .add::<agents::__path_blocker, _, _>(Agents, agents::blocker::<S>)
        .add::<agents::__path_presence, _, _>(AgentChat, agents::presence::<S>)
        .add::<agents::__path_status, _, _>(AgentStatus, agents::status::<S>)
        .add::<keys::__path_list, _, _>(AgentKeys, keys::list::<S>)
        .add::<keys::__path_create, _, _>(AgentKeys, keys::create::<S>)
        .add::<keys::__path_rotate, _, _>(AgentKeys, keys::rotate::<S>)
        .add::<keys::__path_delete, _, _>(AgentKeys, keys::delete::<S>)
}

/// An answer, as its own server writes one.
struct Go<T>(StatusCode, T);

impl<T: Serialize> IntoResponse for Go<T> {
    fn into_response(self) -> Response {
        let Self(status, value) = self;
        let text = go_json::to_string(&value) + "\n";
        (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
    }
}

/// The one shape of its errors.
#[derive(Serialize)]
struct Told {
    error: String,
}

/// Writes an error as its clients read it.
fn told(failed: Failed) -> Response {
    // Whoever shows what has ended is told what it would be told by its own server.
    let status = match failed.code() {
        "revoked" => StatusCode::UNAUTHORIZED,
        _ => failed.status(),
    };
    Go(status, Told { error: sentence(&failed) }).into_response()
}

fn sentence(failed: &Failed) -> String {
    let detail = failed.detail().unwrap_or_default();
    match failed.code() {
        "not_authenticated" if failed.nothing_was_shown() => "missing authorization header".to_owned(),
        "not_authenticated" | "revoked" => "invalid token".to_owned(),
        "insufficient_scope" => {
            let scope = detail.rsplit(' ').next().unwrap_or_default();
            format!("insufficient scope: requires {scope}")
        }
        "not_found" => format!("{} not found", detail.strip_prefix("no such ").unwrap_or("it")),
        "name_taken" if detail.contains("account") => {
            "the account of that nick belongs to another machine".to_owned()
        }
        "name_taken" => "agent already registered".to_owned(),
        "account_foreign" => "the account of that nick is somebody else's; an admin may adopt it".to_owned(),
        "malformed" if !failed.errors().is_empty() => {
            let wrong = failed.errors().iter().map(|error| format!("{} {}", error.path, error.message));
            wrong.collect::<Vec<_>>().join("; ")
        }
        "malformed" => "invalid request body".to_owned(),
        _ if !detail.is_empty() => detail.to_owned(),
        _ => failed.title().to_owned(),
    }
}
