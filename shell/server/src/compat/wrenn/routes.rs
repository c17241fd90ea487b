//! `/v1/hosts`, as the wrenn host agent and its operators know it.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use data_encoding::HEXLOWER;
use http::{StatusCode, header};
use muster_app::{Error, Origin, Registered, Store};
use muster_model::{MachineId, Refusal};
use muster_wire::ListQuery;
use muster_wire::machine::Machine;
use sha2::{Digest, Sha256};

use super::shapes::{self, CreateHost, Created, Envelope, Host, Preview, Refresh, Register, Said, Tag, tags};
use crate::problem::Failure;
use crate::route::{Body, Key, Named, Params, Proving, wrong_field};
use crate::state::ServerState;

/// Machines read at a time, and times that a list without pages reads.
const PAGE: u32 = 1000;
const PAGES: u32 = 100;

/// A host registers by its token.
#[utoipa::path(post, path = "/v1/hosts/register", responses((status = 201)))]
pub(super) async fn register<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Proving(request, toll): Proving<Register>,
) -> Response {
    let registered = match request.into_request() {
        Ok((token, request)) => state.app.register(&token, request, &origin).await,
        Err(fields) => Err(Error::Malformed(fields)),
    };
    match registered {
        Ok(Registered::In(session)) => {
            (StatusCode::CREATED, Json(shapes::Registered::from(*session))).into_response()
        }
        Ok(Registered::Held(hold)) => later(hold.id.to_string()),
        Err(error) => toll.refused(&state, error).await,
    }
}

/// The agent takes whatever is not 201 for a failure, prints this, and ends; its service manager starts it again, and the same
/// call is answered once a person has approved. So this is for later, like an outage.
fn later(hold: String) -> Response {
    let message = format!("An operator must approve this host first (muster hold approve {hold}).");
    let body = Json(Envelope { error: Said { code: "held".to_owned(), message } });
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "30")], body).into_response()
}

/// The next tokens.
#[utoipa::path(post, path = "/v1/hosts/auth/refresh", responses((status = 200)))]
pub(super) async fn refresh<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Proving(request, toll): Proving<Refresh>,
) -> Response {
    let refreshed = match request.into_token() {
        Ok(token) => state.app.refresh(&token, &origin).await,
        Err(fields) => Err(Error::Malformed(fields)),
    };
    match refreshed {
        Ok(session) => Json(shapes::Registered::from(session)).into_response(),
        Err(error) => toll.refused(&state, error).await,
    }
}

/// A host says that it is alive.
#[utoipa::path(
    post, path = "/v1/hosts/{machine}/heartbeat", params(("machine" = String, Path)), responses((status = 204))
)]
pub(super) async fn heartbeat<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Path(host): Path<String>,
) -> Result<StatusCode, Failure> {
    // Never 404 for what is only not an identifier: the agent would delete its credentials.
    let host: MachineId = host.parse().or(Err(wrong_field("id", "is not the id of a host")))?;
    let caller = origin.caller.machine()?;
    if caller.machine != host {
        return Err(state.app.mismatch(&origin).await.into());
    }
    state.app.beat(caller.tenant, caller.machine).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Every host that was not retired.
#[utoipa::path(get, path = "/v1/hosts", responses((status = 200)))]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
) -> Result<Json<Vec<Host>>, Failure> {
    let mut hosts = Vec::new();
    let mut query = ListQuery { limit: Some(PAGE), ..ListQuery::default() };
    for _ in 0..PAGES {
        let page = state.app.machines(&query, &origin).await?;
        let wanted = page.items.iter().filter(|machine| machine.kind == "host" && machine.state != "retired");
        hosts.extend(wanted.map(Host::from));
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    Ok(Json(hosts))
}

/// Makes a host ahead of the real one, with the token that only it can register by.
#[utoipa::path(post, path = "/v1/hosts", responses((status = 201)))]
pub(super) async fn create<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    Body(request): Body<CreateHost>,
) -> Result<(StatusCode, Json<Created>), Failure> {
    let by = origin.caller.operator()?.operator.to_string();
    // Repeated under the same key, it is the same host.
    let name = match &key {
        Some(key) => format!("host-{}", HEXLOWER.encode(&Sha256::digest(key)[..10])),
        None => state.app.request_id().replacen("req_", "host-", 1),
    };
    let site = state.shared.config.request_site.as_ref();
    let machine = request.into_machine(name, site, by).map_err(Error::from)?;
    let (machine, token) = state.app.create_invited(machine, key.as_deref(), &origin).await?;
    Ok((
        StatusCode::CREATED,
        Json(Created { host: Host::from(&machine), registration_token: token.reveal() }),
    ))
}

/// One host.
#[utoipa::path(
    get, path = "/v1/hosts/{machine}", params(("machine" = String, Path)), responses((status = 200))
)]
pub(super) async fn show<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(host): Named<MachineId>,
) -> Result<Json<Host>, Failure> {
    Ok(Json(Host::from(&there(&state, host, &origin).await?)))
}

/// A host that was not retired.
async fn there<S: Store>(state: &ServerState<S>, id: MachineId, origin: &Origin) -> Result<Machine, Error> {
    let machine = state.app.machine(id, origin).await?.machine;
    if machine.state == "retired" { Err(Refusal::NotFound { what: "machine" }.into()) } else { Ok(machine) }
}

/// What would end with a host.
#[utoipa::path(
    get, path = "/v1/hosts/{machine}/delete-preview", params(("machine" = String, Path)), responses((status = 200))
)]
pub(super) async fn preview<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(host): Named<MachineId>,
) -> Result<Json<Preview>, Failure> {
    Ok(Json(Preview { host: Host::from(&there(&state, host, &origin).await?), sandbox_ids: [] }))
}

/// Whether to delete whatever runs there. Muster knows of nothing that does.
#[derive(serde::Deserialize)]
pub(super) struct Force {
    #[serde(default, rename = "force")]
    _force: Option<String>,
}

/// Retires a host.
#[utoipa::path(
    delete, path = "/v1/hosts/{machine}", params(("machine" = String, Path)), responses((status = 204))
)]
pub(super) async fn remove<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(host): Named<MachineId>,
    Params(_): Params<Force>,
) -> Result<StatusCode, Failure> {
    there(&state, host, &origin).await?;
    state.app.retire(host, None, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Another token for a host that is still to register, or to register again. Earlier ones end.
#[utoipa::path(
    post, path = "/v1/hosts/{machine}/token", params(("machine" = String, Path)), responses((status = 201))
)]
pub(super) async fn token<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(host): Named<MachineId>,
) -> Result<(StatusCode, Json<Created>), Failure> {
    let (machine, token) = state.app.invite_machine(host, shapes::TOKEN_LIFE, &origin).await?;
    Ok((
        StatusCode::CREATED,
        Json(Created { host: Host::from(&machine), registration_token: token.reveal() }),
    ))
}

/// The tags of a host.
#[utoipa::path(
    get, path = "/v1/hosts/{machine}/tags", params(("machine" = String, Path)), responses((status = 200))
)]
pub(super) async fn list_tags<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(host): Named<MachineId>,
) -> Result<Json<Vec<String>>, Failure> {
    Ok(Json(tags(&there(&state, host, &origin).await?)))
}

/// Adds a tag.
#[utoipa::path(
    post, path = "/v1/hosts/{machine}/tags", params(("machine" = String, Path)), responses((status = 204))
)]
pub(super) async fn tag<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(host): Named<MachineId>,
    Body(request): Body<Tag>,
) -> Result<StatusCode, Failure> {
    set_tag(&state, host, (&request.tag, Some("")), &origin).await
}

/// Takes a tag away.
#[utoipa::path(
    delete, path = "/v1/hosts/{machine}/tags/{tag}",
    params(("machine" = String, Path), ("tag" = String, Path)), responses((status = 204))
)]
pub(super) async fn untag<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Path((host, tag)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    let host = host.parse().or(Err(Failure::from(Refusal::NotFound { what: "machine" })))?;
    set_tag(&state, host, (&tag, None), &origin).await
}

async fn set_tag<S: Store>(
    state: &ServerState<S>,
    host: MachineId,
    (tag, value): (&str, Option<&str>),
    origin: &Origin,
) -> Result<StatusCode, Failure> {
    if tag.is_empty() {
        return Err(wrong_field("tag", "is needed"));
    }
    there(state, host, origin).await?;
    state.app.set_label(host, (&format!("{}{tag}", shapes::TAG), value), origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
