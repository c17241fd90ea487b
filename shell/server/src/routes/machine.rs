//! Operators look at machines and act on them, under `/v1/machines`.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use muster_app::Store;
use muster_app::{Error, Origin};
use muster_model::{CredentialId, MachineId, ReasonText};
use muster_wire::ending::{EndMachines, EndedMachines, Readmit};
use muster_wire::machine::{
    CreateMachine, CreatedMachine, Machine, MachineDetail, Reasoned, Revoke, Revoked, reason,
};
use muster_wire::{Fields, ListQuery, Page};

use crate::problem::Failure;
use crate::route::{Body, Key, Named, NoBody, OptionalBody, Params};
use crate::state::ServerState;

/// List machines.
#[utoipa::path(
    get, path = "/v1/machines", tag = "machines", params(ListQuery),
    responses((status = 200, body = Page<Machine>), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<Machine>>, Failure> {
    Ok(Json(state.app.machines(&query, &origin).await?))
}

/// Make a pending machine, with an invite that only it can use.
#[utoipa::path(
    post, path = "/v1/machines", tag = "machines", request_body = CreateMachine,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    responses((status = 201, body = CreatedMachine), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn create<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    Body(request): Body<CreateMachine>,
) -> Result<(StatusCode, Json<CreatedMachine>), Failure> {
    let created = state.app.create_machine(request, key.as_deref(), &origin).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// Show a machine with its credentials.
#[utoipa::path(
    get, path = "/v1/machines/{machine}", tag = "machines", params(("machine" = String, Path)),
    responses((status = 200, body = MachineDetail), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn show<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
) -> Result<Json<MachineDetail>, Failure> {
    Ok(Json(state.app.machine(machine, &origin).await?))
}

/// Pause a machine.
#[utoipa::path(
    post, path = "/v1/machines/{machine}/suspend", tag = "machines", params(("machine" = String, Path)),
    request_body = Reasoned,
    responses((status = 200, body = Machine), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn suspend<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
    OptionalBody(request): OptionalBody<Reasoned>,
) -> Result<Json<Machine>, Failure> {
    let reason: Option<ReasonText> = request.try_into()?;
    Ok(Json(state.app.suspend(machine, reason, &origin).await?))
}

/// End a pause, or confirm a machine on probation.
#[utoipa::path(
    post, path = "/v1/machines/{machine}/resume", tag = "machines", params(("machine" = String, Path)),
    request_body = Reasoned,
    responses((status = 200, body = Machine), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn resume<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
    OptionalBody(request): OptionalBody<Reasoned>,
) -> Result<Json<Machine>, Failure> {
    let reason: Option<ReasonText> = request.try_into()?;
    Ok(Json(state.app.resume(machine, reason, &origin).await?))
}

/// End a machine. Its record stays; nothing that enrolls later revives it.
#[utoipa::path(
    post, path = "/v1/machines/{machine}/retire", tag = "machines", params(("machine" = String, Path)),
    request_body = Reasoned,
    responses((status = 200, body = Machine), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn retire<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
    OptionalBody(request): OptionalBody<Reasoned>,
) -> Result<Json<Machine>, Failure> {
    let reason: Option<ReasonText> = request.try_into()?;
    Ok(Json(state.app.retire(machine, reason, &origin).await?))
}

/// Tell a machine to get its next certificate now, whichever server holds its channel.
#[utoipa::path(
    post, path = "/v1/machines/{machine}/renew", tag = "machines",
    params(
        ("machine" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")
    ),
    responses((status = 200, body = Machine), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn renew<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
    Key(key): Key,
    _: NoBody,
) -> Result<Json<Machine>, Failure> {
    Ok(Json(state.app.order_renewal(machine, key.as_deref(), &origin).await?))
}

/// Tell a machine to make its next key now, whichever server holds its channel. One that holds none is told when it opens the
/// next one.
#[utoipa::path(
    post, path = "/v1/machines/{machine}/rotate", tag = "machines",
    params(
        ("machine" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")
    ),
    responses((status = 200, body = Machine), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn rotate<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
    Key(key): Key,
    _: NoBody,
) -> Result<Json<Machine>, Failure> {
    Ok(Json(state.app.order_rotation(machine, key.as_deref(), &origin).await?))
}

/// End one credential of a machine, or all of them.
#[utoipa::path(
    post, path = "/v1/machines/{machine}/revoke", tag = "machines", params(("machine" = String, Path)),
    request_body = Revoke,
    responses((status = 200, body = Revoked), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn revoke<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
    OptionalBody(request): OptionalBody<Revoke>,
) -> Result<Json<Revoked>, Failure> {
    let mut fields = Fields::new();
    let only: Option<CredentialId> = fields.parse_opt("credential", request.credential.as_deref());
    fields.finish(Some(())).map_err(Error::from)?;
    let said = reason(request.reason.as_deref())?;
    Ok(Json(state.app.revoke(machine, only, said, request.dry_run, &origin).await?))
}

/// End many machines by what they have in common, a part in each request; or tell what would end. Repeating it ends what is
/// left.
#[utoipa::path(
    post, path = "/v1/machines/end", tag = "machines", request_body = EndMachines,
    responses((status = 200, body = EndedMachines), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn end<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<EndMachines>,
) -> Result<Json<EndedMachines>, Failure> {
    Ok(Json(state.app.end_machines(request, &origin).await?))
}

/// Permit that the hardware of a retired machine comes back as it, once: by the next enrollment that a grant of its site
/// allows, under a new key.
#[utoipa::path(
    post, path = "/v1/machines/{machine}/readmit", tag = "machines", params(("machine" = String, Path)),
    request_body = Readmit,
    responses((status = 200, body = Machine), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn readmit<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
    OptionalBody(request): OptionalBody<Readmit>,
) -> Result<Json<Machine>, Failure> {
    Ok(Json(state.app.readmit(machine, request, &origin).await?))
}
