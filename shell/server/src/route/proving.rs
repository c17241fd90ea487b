//! The body of a route at which anybody proves something by it ([`Routes::add_proving`](super::Routes::add_proving)).
//!
//! What holds is never refused for what others behind the same address try, so nobody is counted beforehand; whoever
//! sends what cannot be read, or proves nothing, pays like somebody who shows nothing.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use muster_app::{Error, Origin, Store};
use muster_model::Refusal;
use serde::de::DeserializeOwned;

use super::guard::pay;
use crate::limits::read_json;
use crate::problem::{Failure, Unreadable};
use crate::state::ServerState;

/// A JSON body that proves something, and who pays where it does not.
pub(crate) struct Proving<T>(pub(crate) T, pub(crate) Toll);

/// Who asks.
pub(crate) struct Toll(Parts);

impl<T: DeserializeOwned + Send, S: Store> FromRequest<ServerState<S>> for Proving<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &ServerState<S>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let toll = Toll(parts);
        match read_json(&toll.0, body, &state.shared.config.body).await {
            Ok(said) => Ok(Self(said, toll)),
            Err(error) => Err(toll.paid(state, Unreadable(error).into_response()).await),
        }
    }
}

impl Toll {
    /// The answer to somebody who was refused. Who showed what holds does not pay, whatever else is in the way.
    pub(crate) async fn refused<S: Store>(self, state: &ServerState<S>, error: Error) -> Response {
        match &error {
            Error::Malformed(_)
            | Error::Refused(
                Refusal::NotEntitled { .. } | Refusal::NotAuthenticated { .. } | Refusal::Revoked,
            ) => self.paid(state, Failure::from(error).into_response()).await,
            _ => Failure::from(error).into_response(),
        }
    }

    async fn paid<S: Store>(self, state: &ServerState<S>, answer: Response) -> Response {
        let Some(origin) = self.0.extensions.get::<Origin>().cloned() else {
            return answer;
        };
        match pay(state, &self.0, &origin).await {
            Ok(()) => answer,
            Err(slower) => *slower,
        }
    }
}
