//! The pages, each a question or two to the use cases.

use axum::Extension;
use axum::extract::State;
use http::HeaderMap;
use muster_app::{Origin, Store};
use muster_console::{Desk, MachinePage, Machines};
use muster_model::{HoldId, MachineId};
use muster_wire::ListQuery;
use muster_wire::audit::AuditQuery;

use super::frame::{Shown, frame};
use crate::problem::Failure;
use crate::route::{Named, Params};
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
    let open = ListQuery { state: Some("open".to_owned()), limit: Some(HOLDS), ..ListQuery::default() };
    let mut holds = Vec::new();
    for hold in state.app.holds(&open, &origin).await?.items {
        let id: HoldId = hold.id.parse().expect("what the server wrote");
        holds.push(state.app.hold(id, &origin).await?);
    }
    Ok(Shown(Desk::new(frame(&state, &origin, &headers).await?, holds)))
}

/// The fleet.
pub(super) async fn machines<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Params(query): Params<ListQuery>,
) -> Result<Shown<Machines>, Failure> {
    let query = said(query);
    let page = state.app.machines(&query, &origin).await?;
    let sites = ListQuery { limit: Some(SITES), ..ListQuery::default() };
    let sites = state.app.sites(&sites, &origin).await?.items;
    Ok(Shown(Machines::new(frame(&state, &origin, &headers).await?, query, sites, page)))
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
    let detail = state.app.machine(id, &origin).await?;
    let log = AuditQuery { object: Some(id.to_string()), limit: Some(LOG), ..AuditQuery::default() };
    let log = state.app.audit(&log, &origin).await?.items;
    Ok(Shown(MachinePage::new(frame(&state, &origin, &headers).await?, detail, log)))
}
