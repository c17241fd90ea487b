//! The pages, each a question or two to the use cases.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use muster_app::{Action, Origin, Store};
use muster_console::{Audit, Deployment, Desk, Doors, MachinePage, Machines, Settings};
use muster_model::{HoldId, MachineId};
use muster_wire::ListQuery;
use muster_wire::audit::AuditQuery;

use super::frame::{Shown, frame};
use crate::problem::Failure;
use crate::route::{Body, Named, Params, wrong_field};
use crate::state::ServerState;

/// Holds on the desk at once: whoever has more has another trouble first.
const HOLDS: u32 = 100;
/// Sites that a list offers to choose from.
const SITES: u32 = 500;
/// Entries of a machine's log on its page.
const LOG: u32 = 50;

/// What waits for a person.
pub(super) async fn desk<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
) -> Result<Shown<Desk>, Failure> {
    let frame = frame(&state, &origin, &headers).await?;
    let open = ListQuery { state: Some("open".to_owned()), limit: Some(HOLDS), ..ListQuery::default() };
    let mut holds = Vec::new();
    for hold in state.app.holds(&open, &origin).await?.items {
        let id: HoldId = hold.id.parse().expect("what the server wrote");
        holds.push(state.app.hold(id, &origin).await?);
    }
    Ok(Shown(Desk::new(frame, holds)))
}

/// The fleet.
pub(super) async fn machines<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Params(query): Params<ListQuery>,
) -> Result<Shown<Machines>, Failure> {
    let frame = frame(&state, &origin, &headers).await?;
    let query = said(query);
    let page = state.app.machines(&query, &origin).await?;
    let sites = ListQuery { limit: Some(SITES), ..ListQuery::default() };
    let sites = state.app.sites(&sites, &origin).await?.items;
    Ok(Shown(Machines::new(frame, query, sites, page)))
}

/// A form sends what was left empty, too.
fn said(query: ListQuery) -> ListQuery {
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    ListQuery {
        cursor: some(query.cursor),
        limit: query.limit,
        search: some(query.search),
        state: some(query.state),
        site: some(query.site),
    }
}

/// One machine.
pub(super) async fn machine<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Named(id): Named<MachineId>,
) -> Result<Shown<MachinePage>, Failure> {
    let frame = frame(&state, &origin, &headers).await?;
    let detail = state.app.machine(id, &origin).await?;
    let log = AuditQuery { object: Some(id.to_string()), limit: Some(LOG), ..AuditQuery::default() };
    let log = state.app.audit(&log, &origin).await?.items;
    Ok(Shown(MachinePage::new(frame, detail, log)))
}

/// How machines come in.
pub(super) async fn doors<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Params(query): Params<ListQuery>,
) -> Result<Shown<Doors>, Failure> {
    let frame = frame(&state, &origin, &headers).await?;
    let grants = state.app.grants(&said(query), &origin).await?;
    let sites = ListQuery { limit: Some(SITES), ..ListQuery::default() };
    let sites = state.app.sites(&sites, &origin).await?.items;
    Ok(Shown(Doors::new(frame, sites, grants)))
}

/// What was done.
pub(super) async fn audit<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Params(query): Params<AuditQuery>,
) -> Result<Shown<Audit>, Failure> {
    let frame = frame(&state, &origin, &headers).await?;
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let query = AuditQuery { object: some(query.object), actor: some(query.actor), ..query };
    let page = state.app.audit(&query, &origin).await?;
    Ok(Shown(Audit::new(frame, query, page)))
}

/// The deployment itself.
pub(super) async fn settings<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
) -> Result<Shown<Settings>, Failure> {
    let frame = frame(&state, &origin, &headers).await?;
    let tokens = match Action::Administer.permit(&origin.caller) {
        Ok(()) => state.app.tokens(&ListQuery::default(), &origin).await?.items,
        Err(_not_an_admin) => Vec::new(),
    };
    let deployment = Deployment {
        status: state.app.status(&origin).await?,
        ca: state.app.ca_status(&origin).await?,
        reaper: state.app.reaper(&origin).await?,
        replicas: state.app.replicas().await?,
    };
    Ok(Shown(Settings::new(frame, tokens, deployment)))
}

/// What is to be drawn.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drawn {
    text: String,
}

/// A text as a QR code.
pub(super) async fn qr<S: Store>(
    State(_): State<ServerState<S>>,
    Body(drawn): Body<Drawn>,
) -> Result<Response, Failure> {
    let drawing =
        muster_console::qr(&drawn.text).ok_or_else(|| wrong_field("text", "is too long for a code"))?;
    Ok(([(CONTENT_TYPE, "image/svg+xml")], drawing).into_response())
}
