//! What handlers take from a request. Whatever does not fit becomes a problem document that says where.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use muster_app::Error;
use muster_app::Store;
use muster_model::Refusal;
use muster_wire::{FieldError, FieldErrors};
use serde::de::DeserializeOwned;

use crate::limits::{parse_json, read_body, read_json};
use crate::problem::{Failure, Unreadable};
use crate::state::ServerState;

/// Longest idempotency key taken, in characters.
const MAX_KEY: usize = 64;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

/// A JSON body that may be left out.
pub(crate) struct OptionalBody<T>(pub(crate) T);

/// The query.
pub(crate) struct Params<T>(pub(crate) T);

/// The identifier or code in the path. One that is not of its form names nothing.
pub(crate) struct Named<T>(pub(crate) T);

/// The idempotency key, if the caller gave one.
pub(crate) struct Key(pub(crate) Option<String>);

impl<T: DeserializeOwned, S: Store> FromRequest<ServerState<S>> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &ServerState<S>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let read = read_json(&parts, body, &state.shared.config.body).await;
        read.map(Self).map_err(|error| Unreadable(error).into_response())
    }
}

impl<T: DeserializeOwned + Default, S: Store> FromRequest<ServerState<S>> for OptionalBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &ServerState<S>) -> Result<Self, Response> {
        let limits = &state.shared.config.body;
        let (mut parts, body) = request.into_parts();
        if !parts.headers.contains_key(http::header::CONTENT_TYPE) {
            let json = http::HeaderValue::from_static("application/json");
            parts.headers.insert(http::header::CONTENT_TYPE, json);
        }
        let bytes =
            read_body(&parts, body, limits).await.map_err(|error| Unreadable(error).into_response())?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        parse_json(&bytes, &limits.json).map(Self).map_err(|error| Unreadable(error).into_response())
    }
}

impl<T: DeserializeOwned, S: Store> FromRequestParts<ServerState<S>> for Params<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState<S>) -> Result<Self, Response> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|rejection| wrong("query", &rejection.body_text()))
    }
}

impl<T: FromStr, S: Store> FromRequestParts<ServerState<S>> for Named<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState<S>) -> Result<Self, Response> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        let named = text.and_then(|Path(text)| text.parse().ok());
        let missing = || Failure::from(Refusal::NotFound { what: "object" }).into_response();
        named.map(Self).ok_or_else(missing)
    }
}

impl<S: Store> FromRequestParts<ServerState<S>> for Key {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &ServerState<S>) -> Result<Self, Response> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let fits =
            |text: &&str| (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        match value.to_str().ok().filter(fits) {
            Some(text) => Ok(Self(Some(text.to_owned()))),
            None => Err(wrong("Idempotency-Key", "is not 1 to 64 printable ASCII characters")),
        }
    }
}

fn wrong(path: &str, message: &str) -> Response {
    let error = FieldError { path: path.to_owned(), message: message.to_owned() };
    Failure::from(Error::Malformed(FieldErrors(vec![error]))).into_response()
}
