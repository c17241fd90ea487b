//! Sites and their enrollment keys, under `/v1/sites`.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use muster_app::Store;
use muster_app::{Origin, SiteRef};
use muster_model::SiteCode;
use muster_wire::site::{CreateSite, ImportKey, ImportedKey, RotateKey, RotatedKey, Site};
use muster_wire::{ListQuery, Page};

use crate::problem::Failure;
use crate::route::{Body, Key, Named, OptionalBody, Params};
use crate::state::ServerState;

/// List sites.
#[utoipa::path(
    get, path = "/v1/sites", tag = "doors", params(ListQuery),
    responses((status = 200, body = Page<Site>), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<Site>>, Failure> {
    Ok(Json(state.app.sites(&query, &origin).await?))
}

/// Make a site.
#[utoipa::path(
    post, path = "/v1/sites", tag = "doors", request_body = CreateSite,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    responses((status = 201, body = Site), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn create<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    Body(request): Body<CreateSite>,
) -> Result<(StatusCode, Json<Site>), Failure> {
    let site = state.app.create_site(request, key.as_deref(), &origin).await?;
    Ok((StatusCode::CREATED, Json(site)))
}

/// Make the next generation of a site's enrollment key; older ones let nobody in from then on.
#[utoipa::path(
    post, path = "/v1/sites/{site}/rotate-key", tag = "doors", request_body = RotateKey,
    params(
        ("site" = String, Path, description = "The code of the site."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")
    ),
    responses((status = 201, body = RotatedKey), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn rotate_key<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(site): Named<SiteCode>,
    Key(key): Key,
    OptionalBody(request): OptionalBody<RotateKey>,
) -> Result<(StatusCode, Json<RotatedKey>), Failure> {
    let site = SiteRef::Code(site);
    let (rotated, _) = state.app.rotate_key_in(&site, request.form.into(), key.as_deref(), &origin).await?;
    Ok((StatusCode::CREATED, Json(rotated)))
}

/// Bring a site's enrollment key along from another server, which knows it by a hash alone; older ones let nobody in from
/// then on. Bringing it again gives the same answer.
#[utoipa::path(
    post, path = "/v1/sites/{site}/import-key", tag = "doors", request_body = ImportKey,
    params(("site" = String, Path, description = "The code of the site.")),
    responses((status = 201, body = ImportedKey), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn import_key<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(site): Named<SiteCode>,
    Body(request): Body<ImportKey>,
) -> Result<(StatusCode, Json<ImportedKey>), Failure> {
    let imported = state.app.import_key(&SiteRef::Code(site), request, &origin).await?;
    Ok((StatusCode::CREATED, Json(imported)))
}
