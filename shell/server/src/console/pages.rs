//! The pages, each a question or two to the use cases.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use muster_app::{Action, Error, Origin, Store};
use muster_console::{
    Access, AgentPage, Audit, Days, Deployment, Desk, Doors, EntryPage, MachinePage, Machines, OverviewPage,
    Registry, Settings,
};
use muster_model::{HoldId, MachineId, Refusal};
use muster_wire::audit::AuditQuery;
use muster_wire::engagement::{EngagementQuery, WrittenQuery};
use muster_wire::fields::FieldErrors;
use muster_wire::overview::OverviewQuery;
use muster_wire::{ListQuery, Page};

use super::frame::{Shown, frame};
use crate::problem::Failure;
use crate::route::{Body, Named, Params, Place, wrong_field};
use crate::state::ServerState;

/// Holds on the desk at once: whoever has more has another trouble first.
const HOLDS: u32 = 100;
/// Sites that a list offers to choose from.
const SITES: u32 = 500;
/// Operators of a tenant: there are no more.
const OPERATORS: u32 = 1000;
/// Accounts of one standing that are not as they are wanted.
const ACCOUNTS: u32 = 100;
/// Versions of an engagement that its page goes back.
const VERSIONS: usize = 20;
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
    let alarms = state.app.alarms(&origin).await?.items;
    Ok(Shown(Desk::new(frame, alarms, holds)))
}

/// What the fleet did.
pub(super) async fn overview<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Params(query): Params<OverviewQuery>,
) -> Result<Shown<OverviewPage>, Failure> {
    let frame = frame(&state, &origin, &headers).await?;
    let overview = state.app.overview(&query, &origin).await?;
    Ok(Shown(OverviewPage::new(frame, query.hours, overview)))
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
    let (page, wrong) = match state.app.machines(&query, &origin).await {
        Ok(page) => (page, None),
        // What somebody is typing need not be a search yet.
        Err(error) => match (&query.search, &error) {
            (Some(_), Error::Malformed(fields)) => (nothing(), Some(complaint(fields))),
            (Some(_), Error::Refused(Refusal::NotFound { .. })) => (nothing(), Some(error.to_string())),
            _ => return Err(error.into()),
        },
    };
    let sites = ListQuery { limit: Some(SITES), ..ListQuery::default() };
    let sites = state.app.sites(&sites, &origin).await?.items;
    Ok(Shown(Machines::new(frame, query, sites, page, wrong)))
}

fn nothing<T>() -> Page<T> {
    Page { items: Vec::new(), next: None }
}

fn complaint(fields: &FieldErrors) -> String {
    let told = fields.0.iter().map(|field| match field.path.as_str() {
        "search" => field.message.clone(),
        path => format!("`{path}` {}", field.message),
    });
    told.collect::<Vec<_>>().join("; ")
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

/// Software agents, and the accounts that have not come to be as they are wanted.
pub(super) async fn registry<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Params(query): Params<ListQuery>,
) -> Result<Shown<Registry>, Failure> {
    let frame = frame(&state, &origin, &headers).await?;
    let agents = state.app.software_agents(&said(query), &origin).await?;
    let mut accounts = Vec::new();
    for standing in ["conflict", "dead", "pending"] {
        let query =
            ListQuery { state: Some(standing.to_owned()), limit: Some(ACCOUNTS), ..ListQuery::default() };
        accounts.extend(state.app.accounts(&query, &origin).await?.items);
    }
    Ok(Shown(Registry::new(frame, agents, accounts)))
}

/// One software agent.
pub(super) async fn agent<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Named(machine): Named<MachineId>,
) -> Result<Shown<AgentPage>, Failure> {
    let frame = frame(&state, &origin, &headers).await?;
    let agent = state.app.engagement(machine, &EngagementQuery::default(), &origin).await?;
    let mut versions = Vec::new();
    for version in (1..=agent.version).rev().take(VERSIONS) {
        let query = WrittenQuery { version: Some(version) };
        versions.push(state.app.engagement_written(machine, &query, &origin).await?);
    }
    let accounts = state.app.machine(machine, &origin).await?.accounts;
    Ok(Shown(AgentPage::new(frame, agent, versions, accounts)))
}

/// What the page of the log is asked for: days, where the API has times.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Looked {
    cursor: Option<String>,
    object: Option<String>,
    actor: Option<String>,
    action: Option<String>,
    from: String,
    to: String,
}

/// What was done.
pub(super) async fn audit<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Params(looked): Params<Looked>,
) -> Result<Shown<Audit>, Failure> {
    let frame = frame(&state, &origin, &headers).await?;
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let query = AuditQuery {
        cursor: some(looked.cursor),
        object: some(looked.object),
        actor: some(looked.actor),
        action: some(looked.action),
        since: midnight("from", &looked.from, 0)?,
        until: midnight("to", &looked.to, 1)?,
        ..AuditQuery::default()
    };
    let page = state.app.audit(&query, &origin).await?;
    Ok(Shown(Audit::new(frame, query, Days { from: looked.from, to: looked.to }, page)))
}

/// When a day begins, or one after it.
fn midnight(field: &str, day: &str, later: i64) -> Result<Option<Timestamp>, Failure> {
    if day.is_empty() {
        return Ok(None);
    }
    let begins = day.parse::<Date>().and_then(|day| day.checked_add(later.days())?.to_zoned(TimeZone::UTC));
    begins.map(|begins| Some(begins.timestamp())).map_err(|error| wrong_field(field, &error.to_string()))
}

/// One entry of the log.
pub(super) async fn entry<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Named(Place(seq)): Named<Place>,
) -> Result<Shown<EntryPage>, Failure> {
    let frame = frame(&state, &origin, &headers).await?;
    Ok(Shown(EntryPage::new(frame, state.app.audit_entry(seq, &origin).await?)))
}

/// The deployment itself.
pub(super) async fn settings<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
) -> Result<Shown<Settings>, Failure> {
    let frame = frame(&state, &origin, &headers).await?;
    let access = match Action::Administer.permit(&origin.caller) {
        Ok(()) => {
            let most = ListQuery { limit: Some(OPERATORS), ..ListQuery::default() };
            let operators = state.app.operators(&most, &origin).await?.items;
            Access { operators, tokens: state.app.tokens(&ListQuery::default(), &origin).await?.items }
        }
        Err(_not_an_admin) => Access::default(),
    };
    let deployment = Deployment {
        status: state.app.status(&origin).await?,
        ca: state.app.ca_status(&origin).await?,
        reaper: state.app.reaper(&origin).await?,
        replicas: state.app.replicas().await?,
    };
    Ok(Shown(Settings::new(frame, access, deployment)))
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
