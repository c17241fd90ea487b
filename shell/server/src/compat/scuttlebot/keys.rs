//! `/v1/api-keys`: tokens that are confined to scopes and, if wished, to a team.

use axum::Extension;
use axum::extract::State;
use http::StatusCode;
use muster_app::{ConfinedToken, Error, Origin, Store};
use muster_model::{AccessToken, AccessTokenId, Scope, Scopes, Timestamp};
use muster_wire::{FieldErrors, Fields};
use serde::{Deserialize, Serialize};

use super::Go;
use super::shapes::{GoDuration, Json};
use crate::problem::Failure;
use crate::route::{Key, Named};
use crate::state::ServerState;

const YEAR: u32 = 365 * 24 * 3600;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Create {
    name: String,
    scopes: Option<Vec<String>>,
    expires_in: Option<String>,
    team: Option<String>,
}

/// A key as lists show it, without its token.
#[derive(Serialize)]
pub(super) struct Shown {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    scopes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    created_at: Timestamp,
    expires_at: Timestamp,
    active: bool,
}

impl Shown {
    fn of(key: &AccessToken, token: Option<String>, now: Timestamp) -> Self {
        let scope = key.scope.as_ref();
        Self {
            id: key.id.to_string(),
            name: key.name.to_string(),
            token,
            scopes: scope.map(|scope| scope.scopes.iter().map(Scope::as_str).collect()).unwrap_or_default(),
            team: scope.and_then(|scope| scope.team.as_ref()).map(ToString::to_string),
            created_at: key.created_at,
            expires_at: key.expires_at,
            active: key.is_live(now),
        }
    }
}

impl TryFrom<Create> for ConfinedToken {
    type Error = FieldErrors;

    fn try_from(asked: Create) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let name = match asked.name.is_empty() {
            true => {
                fields.wrong("name", "is required");
                None
            }
            false => fields.parse("name", &asked.name),
        };
        let named = asked.scopes.unwrap_or_default();
        if named.is_empty() {
            fields.wrong("scopes", "must hold at least one scope");
        }
        let scopes: Option<Vec<Scope>> = named.iter().map(|scope| fields.parse("scopes", scope)).collect();
        let team = asked.team.filter(|team| !team.is_empty());
        let team = fields.parse_opt("team", team.as_deref());
        let life = asked.expires_in.filter(|life| !life.is_empty());
        let life: Option<GoDuration> = fields.parse_opt("expires_in", life.as_deref());
        let expires_in = life.map_or(YEAR, |life| life.0.min(f64::from(u32::MAX)) as u32);
        if !(1..=YEAR).contains(&expires_in) {
            fields.wrong("expires_in", "is not between 1s and 8760h");
        }
        let parts = name.zip(scopes.map(Scopes::from_iter));
        fields.finish(parts.map(|(name, scopes)| Self { name, scopes, team, expires_in }))
    }
}

/// List API keys.
#[utoipa::path(get, path = "/v1/api-keys", responses((status = 200)))]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
) -> Result<Go<Vec<Shown>>, Failure> {
    let (keys, now) = (state.app.confined_tokens(&origin).await?, state.app.now());
    Ok(Go(StatusCode::OK, keys.iter().map(|key| Shown::of(key, None, now)).collect()))
}

/// Make an API key; its token is shown this once.
#[utoipa::path(post, path = "/v1/api-keys", responses((status = 201)))]
pub(super) async fn create<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    Json(asked): Json<Create>,
) -> Result<Go<Shown>, Failure> {
    let wished = asked.try_into().map_err(Error::Malformed)?;
    let (made, secret) = state.app.create_confined_token(wished, key.as_deref(), &origin).await?;
    Ok(Go(StatusCode::CREATED, Shown::of(&made, Some(secret), state.app.now())))
}

/// Another token for an API key.
#[utoipa::path(put, path = "/v1/api-keys/{token}/rotate", responses((status = 200)), params(("token" = String, Path)))]
pub(super) async fn rotate<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(id): Named<AccessTokenId>,
    Key(key): Key,
) -> Result<Go<Shown>, Failure> {
    let (rotated, secret) = state.app.rotate_confined_token(id, key.as_deref(), &origin).await?;
    Ok(Go(StatusCode::OK, Shown::of(&rotated, Some(secret), state.app.now())))
}

/// End an API key.
#[utoipa::path(delete, path = "/v1/api-keys/{token}", responses((status = 204)), params(("token" = String, Path)))]
pub(super) async fn delete<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(id): Named<AccessTokenId>,
) -> Result<StatusCode, Failure> {
    state.app.revoke_confined_token(id, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
