//! Accounts that machines have in other systems, under `/v1/accounts` and `/v1/machines/{machine}/accounts`.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use muster_app::Origin;
use muster_app::Store;
use muster_model::{AccountId, MachineId};
use muster_wire::account::{Account, AccountSecret, CreateAccount, Reconcile, Reconciled};
use muster_wire::{ListQuery, Page};

use crate::problem::Failure;
use crate::route::{Key, Named, NoBody, OptionalBody, Params};
use crate::state::ServerState;

/// List accounts in other systems, the newest first.
#[utoipa::path(
    get, path = "/v1/accounts", tag = "accounts", params(ListQuery),
    responses((status = 200, body = Page<Account>), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<Account>>, Failure> {
    Ok(Json(state.app.accounts(&query, &origin).await?))
}

/// Show an account.
#[utoipa::path(
    get, path = "/v1/accounts/{account}", tag = "accounts", params(("account" = String, Path)),
    responses((status = 200, body = Account), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn show<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(account): Named<AccountId>,
) -> Result<Json<Account>, Failure> {
    Ok(Json(state.app.account(account, &origin).await?))
}

/// Order an account for a machine. Asking again for the same gives the same account and passphrase.
#[utoipa::path(
    post, path = "/v1/machines/{machine}/accounts", tag = "accounts", params(("machine" = String, Path)),
    request_body = CreateAccount,
    responses((status = 201, body = AccountSecret), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn create<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(machine): Named<MachineId>,
    OptionalBody(request): OptionalBody<CreateAccount>,
) -> Result<(StatusCode, Json<AccountSecret>), Failure> {
    let created = state.app.create_account(machine, request, &origin).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// Give an account a new passphrase; the one before ends.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/rotate", tag = "accounts",
    params(
        ("account" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe.")
    ),
    responses((status = 200, body = AccountSecret), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn rotate<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(account): Named<AccountId>,
    Key(key): Key,
    _: NoBody,
) -> Result<Json<AccountSecret>, Failure> {
    Ok(Json(state.app.rotate_account(account, key.as_deref(), &origin).await?))
}

/// Have what is behind tried again, from the beginning.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/retry", tag = "accounts", params(("account" = String, Path)),
    responses((status = 200, body = Account), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn retry<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(account): Named<AccountId>,
    _: NoBody,
) -> Result<Json<Account>, Failure> {
    Ok(Json(state.app.retry_account(account, &origin).await?))
}

/// Say that the account which stands in the way is the machine's. It gets a passphrase of ours.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/adopt", tag = "accounts", params(("account" = String, Path)),
    responses((status = 200, body = AccountSecret), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn adopt<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(account): Named<AccountId>,
    _: NoBody,
) -> Result<Json<AccountSecret>, Failure> {
    Ok(Json(state.app.adopt_account(account, &origin).await?))
}

/// End an account for good. Where the other system forgets none, it is locked.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/remove", tag = "accounts", params(("account" = String, Path)),
    responses((status = 200, body = Account), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn remove<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(account): Named<AccountId>,
    _: NoBody,
) -> Result<Json<Account>, Failure> {
    Ok(Json(state.app.remove_account(account, &origin).await?))
}

/// Look at other systems, and have what is not as it is wanted brought back; or only tell.
#[utoipa::path(
    post, path = "/v1/accounts/reconcile", tag = "accounts", request_body = Reconcile,
    responses((status = 200, body = Reconciled), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn reconcile<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    OptionalBody(request): OptionalBody<Reconcile>,
) -> Result<Json<Reconciled>, Failure> {
    Ok(Json(state.app.reconcile(&request, &origin).await?))
}
