//! `POST /v1/enroll`, `GET /v1/enroll/{hold}`.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderValue, StatusCode, header};
use muster_app::Store;
use muster_app::{Caller, Origin, SignedCall};
use muster_model::{HoldId, Refusal};
use muster_wire::enroll::{EnrollAnswer, EnrollRequest};

use crate::problem::Failure;
use crate::route::{Body, Named, bearer, signed_header, stated};
use crate::state::ServerState;

/// Ask to enroll this machine.
///
/// Safe to repeat after a lost answer: the same key and evidence get the same machine, and nothing is spent twice.
#[utoipa::path(
    post, path = "/v1/enroll", tag = "enroll", request_body = EnrollRequest,
    responses(
        (status = 201, description = "A new machine.", body = EnrollAnswer),
        (status = 200, description = "The same machine again.", body = EnrollAnswer),
        (status = 202, description = "A person must decide; ask again at /v1/enroll/{hold}.", body = EnrollAnswer),
        (status = "default", description = "A problem document.", body = muster_wire::Problem)
    )
)]
pub(super) async fn enroll<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<EnrollRequest>,
) -> Result<Response, Failure> {
    state.app.enroll(request, &origin).await.map(written).map_err(Failure::from)
}

/// Ask whether a person has decided: with a signed request by the key of the hold or, without a key, with the secret whose
/// hash was given, in `Authorization: Bearer`.
#[utoipa::path(
    get, path = "/v1/enroll/{hold}", tag = "enroll", params(("hold" = String, Path, description = "The hold.")),
    responses(
        (status = 201, description = "Approved.", body = EnrollAnswer),
        (status = 200, description = "Approved, and collected before.", body = EnrollAnswer),
        (status = 202, description = "Still waiting.", body = EnrollAnswer),
        (status = "default", description = "A problem document.", body = muster_wire::Problem)
    )
)]
pub(super) async fn collect<S: Store>(
    State(state): State<ServerState<S>>,
    Named(hold): Named<HoldId>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let source = parts.extensions.get::<Origin>().and_then(|origin| origin.source);
    if let Some(secret) = bearer(&parts.headers) {
        return match state.app.collect_by_secret(hold, secret, source).await {
            Ok(answer) => written(answer),
            Err(error) => Failure::from(error).into_response(),
        };
    }
    let header = match signed_header(&parts.headers).and_then(|header| header.ok_or(Refusal::NonceNeeded)) {
        Ok(header) => header,
        Err(refusal) => {
            let origin = Origin { caller: Caller::Anonymous, source };
            state.app.tell_refusal(&origin, "hold.collect", &refusal).await;
            return Failure::from(refusal).into_response();
        }
    };
    let call = SignedCall { header: &header, request: stated(&parts, &[]) };
    match state.app.collect(hold, &call, source).await {
        Ok(answer) => written(answer),
        Err(error) => Failure::from(error).into_response(),
    }
}

fn written(answer: EnrollAnswer) -> Response {
    let (status, wait) = match &answer {
        EnrollAnswer::Enrolled(_) => (StatusCode::CREATED, None),
        EnrollAnswer::Same(_) => (StatusCode::OK, None),
        EnrollAnswer::Held(held) => (StatusCode::ACCEPTED, Some(held.poll_after)),
    };
    let mut response = (status, Json(answer)).into_response();
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
