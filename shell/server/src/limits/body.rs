//! Reading a request's body: so much, in so long, as JSON and nothing else.
//!
//! Order is part of the contract: encoding (415, Q-35), content type (415), size (413, also while it comes),
//! time, then depth, values and double keys by a pre-scan, and only then the type. What a client wrote is
//! never repeated in an error beyond a bounded, escaped name of the field.

use std::error::Error as StdError;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use muster_model::text::is_printable;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::timeout;

use super::prescan::{Finding, JsonBreach, JsonLimits, prescan};

/// The most of a path or message of serde that goes into an error.
const MAX_TEXT: usize = 200;

/// The bounds of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes.
    pub bytes: usize,
    /// From the end of the headers to the last byte.
    pub time: Duration,
    /// Depth and number of values.
    pub json: JsonLimits,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { bytes: 64 * 1024, time: Duration::from_secs(20), json: JsonLimits::default() }
    }
}

/// Why a body was not taken.
#[derive(Debug, Error)]
pub enum BodyError {
    /// Some `Content-Encoding`, whichever.
    #[error("an encoded body is not taken; send it as it is")]
    Encoded,
    /// Not `application/json` in UTF-8.
    #[error("the content type must be application/json")]
    MediaType,
    /// More bytes than the bound.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// The last byte did not come in time.
    #[error("the body did not come within {} s", limit.as_secs())]
    TooSlow {
        /// The bound.
        limit: Duration,
    },
    /// The connection broke; nobody will read the answer.
    #[error("the body broke off")]
    Broken(#[source] Box<dyn StdError + Send + Sync>),
    /// Deeper, longer or more ambiguous than taken.
    #[error("the document {breach} (line {line}, column {column})")]
    Bounds {
        /// Which bound.
        breach: JsonBreach,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// No JSON.
    #[error("the body is not JSON (line {line}, column {column})")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
        /// What the reader said.
        #[source]
        source: serde_json::Error,
    },
    /// JSON, but not the one expected.
    #[error("{path}: {message} (line {line}, column {column})")]
    Shape {
        /// Where, as `labels.colour` or `items[3].name`; `.` is the document.
        path: String,
        /// What is wrong there, fit for the caller and for logs.
        message: String,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
}

/// Reads and parses a JSON body.
pub async fn read_json<T: DeserializeOwned>(
    parts: &Parts,
    body: Body,
    limits: &BodyLimits,
) -> Result<T, BodyError> {
    check_encoding(&parts.headers)?;
    check_media_type(&parts.headers)?;
    parse_json(&read_body(parts, body, limits).await?, &limits.json)
}

/// Reads a body of any type, for whoever needs its bytes (a signature covers them). Refuses an encoded one too.
pub async fn read_body(parts: &Parts, body: Body, limits: &BodyLimits) -> Result<Bytes, BodyError> {
    check_encoding(&parts.headers)?;
    let too_large = BodyError::TooLarge { limit: limits.bytes };
    if announced(&parts.headers).is_some_and(|length| length > limits.bytes as u64) {
        // Said before anything is read, so that a client that asked (Expect: 100-continue) sends nothing.
        return Err(too_large);
    }
    let collected = timeout(limits.time, Limited::new(body, limits.bytes).collect()).await;
    match collected.or(Err(BodyError::TooSlow { limit: limits.time }))? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large),
        Err(error) => Err(BodyError::Broken(error)),
    }
}

/// Parses a document that was read already, within the bounds.
pub fn parse_json<T: DeserializeOwned>(document: &[u8], limits: &JsonLimits) -> Result<T, BodyError> {
    prescan(document, *limits).map_err(describe_finding)?;
    let mut reader = serde_json::Deserializer::from_slice(document);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = bounded(&error.path().to_string());
        let inner = error.into_inner();
        BodyError::Shape { path, message: public_message(&inner), line: inner.line(), column: inner.column() }
    })
}

fn describe_finding(finding: Finding) -> BodyError {
    let (line, column) = (finding.error.line(), finding.error.column());
    match finding.breach {
        Some(breach) => BodyError::Bounds { breach, line, column },
        None => BodyError::Syntax { line, column, source: finding.error },
    }
}

fn check_encoding(headers: &HeaderMap) -> Result<(), BodyError> {
    if headers.contains_key(CONTENT_ENCODING) { Err(BodyError::Encoded) } else { Ok(()) }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), BodyError> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(only), None) if is_json(only) => Ok(()),
        _ => Err(BodyError::MediaType),
    }
}

/// `application/json`, with no parameter but a charset of UTF-8 (RFC 8259 §11).
fn is_json(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| {
            parameter.eq_ignore_ascii_case("charset=utf-8")
                || parameter.eq_ignore_ascii_case("charset=\"utf-8\"")
        })
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// serde's message without what the client wrote: `invalid type: string "mst_…", expected u32` would repeat a
/// secret that was put into the wrong field.
fn public_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    let expected = text.rsplit_once(", expected ").map(|(_, expected)| expected);
    for kind in ["invalid type", "invalid value", "invalid length", "unknown variant", "unknown field"] {
        if text.starts_with(kind) {
            return match expected {
                Some(expected) => bounded(&format!("{kind}, expected {expected}")),
                None => kind.to_owned(),
            };
        }
    }
    bounded(text)
}

/// Escaped and cut.
fn bounded(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(MAX_TEXT) {
        if is_printable(c) { out.push(c) } else { out.extend(c.escape_unicode()) }
    }
    out
}
