//! What operators do on this wire: `/api/sites/{site}/enrollment-key`, `/api/machines/{machine}/keys`.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use http::StatusCode;
use muster_app::{Origin, SiteRef, Store};
use muster_model::{CredentialId, MachineId, Refusal, SecretForm};

use super::shapes::{Generation, MachineKey, MachineKeys};
use crate::problem::Failure;
use crate::route::{Key, Named};
use crate::state::ServerState;

/// Show the generation of a site's key.
#[utoipa::path(
    get, path = "/api/sites/{site}/enrollment-key", tag = "compat", params(("site" = String, Path)),
    responses((status = 200, body = Generation))
)]
pub(super) async fn generation<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(site): Named<SiteRef>,
) -> Result<Json<Generation>, Failure> {
    Ok(Json(Generation::shown(&state.app.site_generation(&site, &origin).await?)))
}

/// Make the next generation of a site's key; older ones let nobody in from then on. With an `Idempotency-Key` a lost
/// answer is given again.
#[utoipa::path(
    post, path = "/api/sites/{site}/enrollment-key/rotate", tag = "compat",
    params(
        ("site" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")
    ),
    responses((status = 201, body = Generation))
)]
pub(super) async fn rotate<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(site): Named<SiteRef>,
    Key(key): Key,
) -> Result<(StatusCode, Json<Generation>), Failure> {
    let form = SecretForm::Prefixed;
    let (rotated, generation) = state.app.rotate_key_in(&site, form, key.as_deref(), &origin).await?;
    Ok((StatusCode::CREATED, Json(Generation::made(&generation, rotated.key))))
}

/// List the keys of a machine, the newest first.
#[utoipa::path(
    get, path = "/api/machines/{machine}/keys", tag = "compat", params(("machine" = String, Path)),
    responses((status = 200, body = MachineKeys))
)]
pub(super) async fn keys<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
) -> Result<Json<MachineKeys>, Failure> {
    let machine = state.app.machine(machine, &origin).await?;
    let bearers = machine.credentials.into_iter().filter(|credential| credential.kind == "bearer");
    let key = |credential: muster_wire::machine::Credential| MachineKey {
        key_id: credential.id,
        state: credential.state,
        created_at: credential.not_before.to_string(),
        expires_at: credential.not_after.to_string(),
    };
    Ok(Json(MachineKeys { keys: bearers.map(key).collect() }))
}

/// End a key of a machine.
#[utoipa::path(
    delete, path = "/api/machines/{machine}/keys/{key}", tag = "compat",
    params(("machine" = String, Path), ("key" = String, Path)),
    responses((status = 204, description = "It works no more."))
)]
pub(super) async fn end_key<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Path((machine, key)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    let machine: MachineId = machine.parse().or(Err(Refusal::NotFound { what: "machine" }))?;
    let key: CredentialId = key.parse().or(Err(Refusal::NotFound { what: "credential" }))?;
    state.app.revoke(machine, Some(key), None, false, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
