//! `POST /api/introspect`: whose key this is, for a relay that machines show theirs to (RFC 7662).

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use muster_app::{Introspected, Origin, Store};
use serde::Serialize;

use crate::limits::{BodyError, read_body};
use crate::problem::{Failure, Unreadable};
use crate::route::wrong_field;
use crate::state::ServerState;

const FORM: &str = "application/x-www-form-urlencoded";
/// What a machine's key is good for.
const SCOPE: &str = "machine";

/// What is said of a token. Of one that is good for nothing, whatever the cause, nothing but that (RFC 7662 §2.2).
#[derive(Default, Serialize, utoipa::ToSchema)]
#[serde(default)]
struct Introspection {
    active: bool,
    #[serde(flatten)]
    holder: Option<Holder>,
}

/// Who holds a token that is good.
#[derive(Serialize, utoipa::ToSchema)]
struct Holder {
    scope: &'static str,
    client_id: String,
    username: String,
    token_type: &'static str,
    exp: i64,
    iat: i64,
    sub: String,
    iss: String,
    jti: String,
    machine_id: String,
    agent_id: String,
    site: String,
}

/// Ask whose key this is. A machine's key that is good counts as a sign of life of its machine.
#[utoipa::path(
    post, path = "/api/introspect", tag = "compat",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = Introspection))
)]
pub(super) async fn introspect<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    request: Request,
) -> Result<Response, Response> {
    let (parts, body) = request.into_parts();
    let unreadable = |error| Unreadable(error).into_response();
    if !is_form(&parts) {
        return Err(unreadable(BodyError::MediaType));
    }
    let body = read_body(&parts, body, &state.shared.config.body).await.map_err(unreadable)?;
    let mut tokens = form_urlencoded::parse(&body).filter(|(name, _)| name == "token");
    let (Some((_, token)), None) = (tokens.next(), tokens.next()) else {
        return Err(wrong_field("token", "must be there once").into_response());
    };
    let found = state.app.introspect(&token, &origin).await;
    let found = found.map_err(|error| Failure::from(error).into_response())?;
    let issuer = &state.app.settings().url;
    let holder = found.map(|found| Holder::of(found, issuer.clone()));
    Ok(Json(Introspection { active: holder.is_some(), holder }).into_response())
}

fn is_form(parts: &Parts) -> bool {
    let said = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(FORM))
}

impl Holder {
    fn of(found: Introspected, iss: String) -> Self {
        let machine = found.machine.to_string();
        Self {
            scope: SCOPE,
            client_id: machine.clone(),
            username: found.name.to_string(),
            token_type: "Bearer",
            exp: found.not_after.as_second(),
            iat: found.not_before.as_second(),
            sub: machine.clone(),
            iss,
            jti: found.credential.to_string(),
            agent_id: machine.clone(),
            machine_id: machine,
            site: found.site.to_string(),
        }
    }
}
