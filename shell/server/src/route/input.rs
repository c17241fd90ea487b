//! What handlers take from a request. Whatever does not fit becomes a problem document that says where.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use muster_app::Store;
use muster_app::{Error, SiteRef};
use muster_model::{AccessTokenId, AccountId, GrantId, HoldId, MachineId, OperatorId, Refusal, SiteCode};
use muster_wire::{FieldError, FieldErrors};
use serde::de::DeserializeOwned;

use crate::limits::{BodyLimits, JsonLimits, check_media_type, parse_json, read_body, read_json};
use crate::problem::{Failure, Unreadable};
use crate::state::ServerState;

/// Longest idempotency key taken, in characters.
const MAX_KEY: usize = 64;

/// Values of a [`LongBody`].
const LONG: usize = 20_000;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

/// A JSON body with as many values as clients send that list what they have; its bytes are bounded as those of others.
pub(crate) struct LongBody<T>(pub(crate) T);

/// A JSON body that may be left out.
pub(crate) struct OptionalBody<T>(pub(crate) T);

/// No body, or an empty object: a field would mean something to its sender and nothing here.
pub(crate) struct NoBody;

/// The query.
pub(crate) struct Params<T>(pub(crate) T);

/// The identifier or code in the path. One that is not of its form names nothing, and is answered as one that does.
pub(crate) struct Named<T>(pub(crate) T);

/// What a path may name.
pub(crate) trait Noun: FromStr {
    /// As refusals call it.
    const NOUN: &'static str;
}

macro_rules! nouns {
    ($($name:ty = $noun:literal),+ $(,)?) => {$(
        impl Noun for $name {
            const NOUN: &'static str = $noun;
        }
    )+};
}

/// The place of an entry in the audit log.
pub(crate) struct Place(pub(crate) u64);

impl FromStr for Place {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

nouns! {
    Place = "entry",
    AccessTokenId = "token",
    GrantId = "grant",
    AccountId = "account",
    HoldId = "hold",
    MachineId = "machine",
    OperatorId = "operator",
    SiteCode = "site",
    SiteRef = "site",
}

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

impl<T: DeserializeOwned, S: Store> FromRequest<ServerState<S>> for LongBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &ServerState<S>) -> Result<Self, Response> {
        let limits = state.shared.config.body;
        let limits = BodyLimits { json: JsonLimits { nodes: LONG, ..limits.json }, ..limits };
        let (parts, body) = request.into_parts();
        let read = read_json(&parts, body, &limits).await;
        read.map(Self).map_err(|error| Unreadable(error).into_response())
    }
}

impl<T: DeserializeOwned + Default, S: Store> FromRequest<ServerState<S>> for OptionalBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &ServerState<S>) -> Result<Self, Response> {
        let limits = &state.shared.config.body;
        let (parts, body) = request.into_parts();
        let unreadable = |error| Unreadable(error).into_response();
        let bytes = read_body(&parts, body, limits).await.map_err(unreadable)?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        check_media_type(&parts.headers).map_err(unreadable)?;
        parse_json(&bytes, &limits.json).map(Self).map_err(unreadable)
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

impl<S: Store> FromRequest<ServerState<S>> for NoBody {
    type Rejection = Response;

    async fn from_request(request: Request, state: &ServerState<S>) -> Result<Self, Response> {
        OptionalBody::<NoFields>::from_request(request, state).await.map(|_empty| Self)
    }
}

impl<T: DeserializeOwned, S: Store> FromRequestParts<ServerState<S>> for Params<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState<S>) -> Result<Self, Response> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|rejection| wrong("query", &rejection.body_text()))
    }
}

impl<T: Noun, S: Store> FromRequestParts<ServerState<S>> for Named<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState<S>) -> Result<Self, Response> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        let named = text.and_then(|Path(text)| text.parse().ok());
        let missing = || Failure::from(Refusal::NotFound { what: T::NOUN }).into_response();
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
    wrong_field(path, message).into_response()
}

/// One wrong part of a request, which need not be in its body.
pub(crate) fn wrong_field(path: &str, message: &str) -> Failure {
    let error = FieldError { path: path.to_owned(), message: message.to_owned() };
    Failure::from(Error::Malformed(FieldErrors(vec![error])))
}
