//! `POST /api/enroll`.

use std::hash::Hash;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::StatusCode;
use muster_app::{Error, KeylessClaim, Origin, Store};
use muster_model::{Refusal, SiteCode};

use super::shapes::{EnrollRequest, EnrollResponse};
use crate::limits::{Bucket, RateLimiter, RetryAfter};
use crate::route::{Proving, is_loopback};
use crate::state::ServerState;

/// Ask to enroll by a site's key.
///
/// `202` waits for a person: another hostname or another site on known hardware, a machine that was removed, a full site.
/// What the agent would take for a conflict of sites (409) is such a hold too, so that a person sees it and decides.
/// `409` is for what no asking again can change until an operator acts and of which no hold stands: a person turned this
/// claimant away, the key is for another kind of machine, or too many wait already. The agent takes both alike and asks
/// again after 300 s; 403 or 429 would bring each of them back every 30 s.
#[utoipa::path(
    post, path = "/api/enroll", tag = "compat", request_body = EnrollRequest,
    responses(
        (status = 201, description = "A new machine, with its key.", body = EnrollResponse),
        (status = 200, description = "A known machine, with its key.", body = EnrollResponse),
        (status = 202, description = "A person must decide.", body = EnrollResponse)
    )
)]
pub(super) async fn enroll<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Proving(request, toll): Proving<EnrollRequest>,
) -> Response {
    let claim = match KeylessClaim::try_from(request) {
        Ok(claim) => claim,
        Err(fields) => return toll.refused(&state, Error::Malformed(fields)).await,
    };
    let site = claim.site.clone();
    let may_ask = || check(&state.shared.costly, &origin.source.map(Bucket::of));
    match state.app.enroll_keyless(claim, may_ask, &origin).await {
        Ok(answer) => written(answer.into()),
        Err(error) => toll.refused(&state, slowed_down(&state, &origin, &site, error)).await,
    }
}

fn written(answer: EnrollResponse) -> Response {
    let status = match () {
        () if answer.is_pending() => StatusCode::ACCEPTED,
        () if answer.is_new() => StatusCode::CREATED,
        () => StatusCode::OK,
    };
    (status, Json(answer)).into_response()
}

/// Whoever guesses at one site from one place is slowed down. It is asked after the key was judged: a key that holds is
/// never refused for what others behind the same address try.
fn slowed_down<S: Store>(state: &ServerState<S>, origin: &Origin, site: &SiteCode, error: Error) -> Error {
    let address = origin.source.filter(|address| !is_loopback(address));
    let (Error::Refused(Refusal::NotEntitled { .. }), Some(address)) = (&error, address) else {
        return error;
    };
    let who = (Bucket::of(address), site.as_str().to_ascii_lowercase());
    check(&state.shared.misses, &who).map_or_else(Error::from, |()| error)
}

fn check(limiter: &RateLimiter, who: &impl Hash) -> Result<(), Refusal> {
    let slow_down = |wait: RetryAfter| {
        let retry_after = u32::try_from(wait.seconds).unwrap_or(u32::MAX);
        Refusal::SlowDown { retry_after }
    };
    limiter.check(who).map_err(slow_down)
}
