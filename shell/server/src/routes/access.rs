//! Operators' tokens under `/v1/tokens`, and browser sessions under `/v1/session`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode, header};
use muster_app::Origin;
use muster_app::Store;
use muster_model::{AccessTokenId, Refusal};
use muster_wire::access::{
    ConfirmSecondFactor, CreateToken, CreatedToken, Login, LoginLink, PasswordLogin, ProposeSecondFactor,
    ProposedSecondFactor, RecoveryCodes, RemoveSecondFactor, SetPassword, Token,
};
use muster_wire::{ListQuery, Page};

use crate::problem::Failure;
use crate::route::{Body, COOKIE, Key, Named, NoBody, Params, of_our_origin, session};
use crate::state::ServerState;

/// List tokens and sessions, the newest first.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "access", params(ListQuery),
    responses((status = 200, body = Page<Token>), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<Token>>, Failure> {
    Ok(Json(state.app.tokens(&query, &origin).await?))
}

/// Make an API token. It is shown this once.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "access", request_body = CreateToken,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")),
    responses((status = 201, body = CreatedToken), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn create<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    Body(request): Body<CreateToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Failure> {
    let created = state.app.create_token(request, key.as_deref(), &origin).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// End a token or session.
#[utoipa::path(
    post, path = "/v1/tokens/{token}/revoke", tag = "access", params(("token" = String, Path)),
    responses((status = 200, body = Token), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn revoke<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(token): Named<AccessTokenId>,
    _: NoBody,
) -> Result<Json<Token>, Failure> {
    Ok(Json(state.app.revoke_token(token, &origin).await?))
}

/// Make a one-time login link for the caller.
#[utoipa::path(
    post, path = "/v1/login-links", tag = "access",
    responses((status = 201, body = LoginLink), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn login_link<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    _: NoBody,
) -> Result<(StatusCode, Json<LoginLink>), Failure> {
    // A link would outlive the token that made it: only whoever sits on the server's own host makes one.
    if !origin.caller.is_local() {
        return Err(Refusal::Forbidden { action: "login_link.create" }.into());
    }
    let operator = origin.caller.operator()?.operator;
    let login_url = state.app.login_link(operator).await?;
    Ok((StatusCode::CREATED, Json(LoginLink { login_url })))
}

/// Open a browser session with the secret of a one-time login link. The session is a cookie.
#[utoipa::path(
    post, path = "/v1/session", tag = "access", request_body = Login,
    responses((status = 204), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn open_session<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<Login>,
) -> Result<Response, Failure> {
    let (secret, life) = state.app.login(&request, &origin).await?;
    Ok(cookie(&secret, life.as_secs()))
}

/// Open a browser session with an operator's name and password, and a code where it is asked for one: `code_needed` says so,
/// once the password is right. The session is a cookie. Whoever fails often waits: only they, from where they try.
#[utoipa::path(
    post, path = "/v1/login", tag = "access", request_body = PasswordLogin,
    responses((status = 204), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn login<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Body(request): Body<PasswordLogin>,
) -> Result<Response, Failure> {
    of_our_origin(&headers)?;
    let (secret, life) = state.app.login_by_password(&request, &origin).await?;
    Ok(cookie(&secret, life.as_secs()))
}

/// Set one's own password. The session that asks goes on as another cookie; all others of the operator end, and its login
/// links.
#[utoipa::path(
    post, path = "/v1/me/password", tag = "access", request_body = SetPassword,
    responses((status = 204), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn set_password<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<SetPassword>,
) -> Result<Response, Failure> {
    let (secret, life) = state.app.set_password(&request, &origin).await?;
    Ok(cookie(&secret, life.as_secs()))
}

/// Get a key for one's own authenticator. Codes are asked for once a first one was confirmed, within the hour.
#[utoipa::path(
    post, path = "/v1/me/second-factor", tag = "access", request_body = ProposeSecondFactor,
    responses((status = 200, body = ProposedSecondFactor), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn propose_second_factor<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<ProposeSecondFactor>,
) -> Result<Json<ProposedSecondFactor>, Failure> {
    Ok(Json(state.app.propose_second_factor(&request, &origin).await?))
}

/// Be asked for codes from now on. The session that asks goes on as another cookie; all others of the operator end, and its
/// login links.
#[utoipa::path(
    post, path = "/v1/me/second-factor/confirm", tag = "access", request_body = ConfirmSecondFactor,
    responses((status = 200, body = RecoveryCodes), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn confirm_second_factor<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<ConfirmSecondFactor>,
) -> Result<Response, Failure> {
    let (secret, life, codes) = state.app.confirm_second_factor(&request, &origin).await?;
    let cookie = cookie(&secret, life.as_secs());
    Ok((StatusCode::OK, cookie.headers().clone(), Json(codes)).into_response())
}

/// Be asked for codes no more. The session that asks goes on as another cookie; all others of the operator end, and its login
/// links.
#[utoipa::path(
    post, path = "/v1/me/second-factor/remove", tag = "access", request_body = RemoveSecondFactor,
    responses((status = 204), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn remove_second_factor<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<RemoveSecondFactor>,
) -> Result<Response, Failure> {
    let (secret, life) = state.app.remove_second_factor(&request, &origin).await?;
    Ok(cookie(&secret, life.as_secs()))
}

/// Close the browser session.
#[utoipa::path(
    post, path = "/v1/session/close", tag = "access",
    responses((status = 204), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn close_session<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    _: NoBody,
) -> Result<Response, Failure> {
    if let Some(secret) = session(&headers) {
        state.app.logout(secret, &origin).await?;
    }
    Ok(cookie("", 0))
}

fn cookie(secret: &str, seconds: i64) -> Response {
    let cookie = format!("{COOKIE}={secret}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}
