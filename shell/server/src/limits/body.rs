//! Reading a request's body: so much, in so long, as JSON and nothing else.
//!
//! Order is part of the contract: encoding (415, Q-35), content type (415), size (413, also while it comes),
//! time, then depth, values and double keys by a pre-scan (Q-36), and only then the type. What a client wrote is
//! never repeated in an error beyond a bounded, escaped name of the field (Q-26, Q-27).

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
    /// In chunks: its length is not said beforehand.
    #[error("a body in chunks is not taken; say its length (Content-Length)")]
    Chunked,
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
    // A derived reader takes a list for an object by position, which no schema says.
    if document.trim_ascii_start().first() != Some(&b'{') {
        let message = "is not an object".to_owned();
        return Err(BodyError::Shape { path: ".".to_owned(), message, line: 1, column: 1 });
    }
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

/// `application/json` in UTF-8, said once.
pub fn check_media_type(headers: &HeaderMap) -> Result<(), BodyError> {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::stream;
    use http::Request;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: String,
        #[serde(default)]
        count: u32,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }

    async fn read(headers: &[(&str, &str)], body: impl Into<Body>) -> Result<Sample, BodyError> {
        let mut request = Request::post("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, body) = request.body(body.into()).expect("a request").into_parts();
        read_json(&parts, body, &BodyLimits::default()).await
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    #[tokio::test]
    async fn json_is_read_under_any_spelling_of_its_type() {
        for kind in ["application/json", "Application/JSON", "application/json; charset=UTF-8"] {
            let sample = read(&[("content-type", kind)], r#"{"name":"a"}"#).await.expect(kind);
            assert_eq!(sample, Sample { name: "a".into(), count: 0, labels: BTreeMap::new() });
        }
    }

    #[tokio::test]
    async fn a_list_is_no_object_however_well_its_places_fit() {
        for list in [r#"["a"]"#, r#" ["a", 1, {}]"#, "[]"] {
            let refused = read(&[JSON], list).await;
            assert!(matches!(refused, Err(BodyError::Shape { .. })), "{list}: {refused:?}");
        }
        read(&[JSON], " \n{\"name\":\"a\"}").await.expect("an object");
    }

    #[tokio::test]
    async fn another_type_or_none_or_two_is_refused() {
        let json = "application/json";
        let cases: [&[(&str, &str)]; 6] = [
            &[],
            &[("content-type", "text/plain")],
            &[("content-type", "application/jsonx")],
            &[("content-type", "application/json; charset=latin1")],
            &[("content-type", json), ("content-type", json)],
            &[("content-type", "application/x-www-form-urlencoded")],
        ];
        for headers in cases {
            let refused = read(headers, r#"{"name":"a"}"#).await;
            assert!(matches!(refused, Err(BodyError::MediaType)), "{headers:?}");
        }
    }

    #[tokio::test]
    async fn q35_an_encoded_body_is_refused_whatever_the_encoding() {
        for encoding in ["gzip", "br", "identity", ""] {
            let refused = read(&[JSON, ("content-encoding", encoding)], r#"{"name":"a"}"#).await;
            assert!(matches!(refused, Err(BodyError::Encoded)), "{encoding}");
        }
    }

    fn sized(bytes: usize) -> String {
        let frame = r#"{"name":""}"#.len();
        format!(r#"{{"name":"{}"}}"#, "a".repeat(bytes - frame))
    }

    #[tokio::test]
    async fn q46_the_size_holds_at_the_bound_and_one_above_and_far_above() {
        let limit = BodyLimits::default().bytes;
        assert!(read(&[JSON], sized(limit)).await.is_ok());
        for bytes in [limit + 1, limit * 100] {
            assert!(matches!(read(&[JSON], sized(bytes)).await, Err(BodyError::TooLarge { .. })));
        }
    }

    #[tokio::test]
    async fn a_size_that_is_announced_is_refused_before_anything_is_read() {
        let untouched = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let refused = read(&[JSON, ("content-length", "65537")], untouched).await;
        assert!(matches!(refused, Err(BodyError::TooLarge { limit: 65_536 })));
    }

    #[tokio::test(start_paused = true)]
    async fn q37_a_body_that_does_not_come_is_given_twenty_seconds() {
        let start = tokio::time::Instant::now();
        let stalled = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert!(matches!(read(&[JSON], stalled).await, Err(BodyError::TooSlow { .. })));
        assert_eq!(start.elapsed(), Duration::from_secs(20));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_keeps_its_cause() {
        let broken =
            stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("reset by peer"))]);
        let error = read(&[JSON], Body::from_stream(broken)).await.expect_err("broken");
        assert!(matches!(&error, BodyError::Broken(cause) if cause.to_string().contains("reset by peer")));
    }

    #[tokio::test]
    async fn q36_a_bomb_is_refused_with_its_place() {
        let deep = format!(r#"{{"name":{}"#, "[".repeat(40_000));
        let wide = format!(r#"{{"name":[{}0]}}"#, "0,".repeat(20_000));
        let double = r#"{"name":"a","labels":{"k":"1","k":"2"}}"#.to_owned();
        let breaches =
            [JsonBreach::Depth { limit: 32 }, JsonBreach::Nodes { limit: 1_000 }, JsonBreach::DuplicateKey];
        for (bomb, expected) in [deep, wide, double].into_iter().zip(breaches) {
            match read(&[JSON], bomb).await {
                Err(BodyError::Bounds { breach, line: 1, .. }) => assert_eq!(breach, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_wrong_shape_names_its_place() {
        let cases = [
            (r#"{"name":"a","count":-1}"#, "count", "invalid value, expected u32"),
            (r#"{"name":"a","labels":{"k":7}}"#, "labels.k", "invalid type, expected a string"),
            (r#"{"count":1}"#, ".", "missing field `name`"),
            (r#"[]"#, ".", "is not an object"),
        ];
        for (body, at, why) in cases {
            match read(&[JSON], body).await {
                Err(BodyError::Shape { path, message, line: 1, .. }) => {
                    assert_eq!((&*path, &*message), (at, why));
                }
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn q22_an_unknown_field_is_refused_by_name() {
        let Err(BodyError::Shape { path, message, .. }) =
            read(&[JSON], r#"{"name":"a","tenant_id":"x"}"#).await
        else {
            panic!("accepted");
        };
        assert_eq!(path, "tenant_id");
        assert!(message.starts_with("unknown field, expected one of `name`"), "{message}");
    }

    #[tokio::test]
    async fn q27_what_was_written_is_not_repeated() {
        let secret = "mst_enroll_canary";
        for body in [
            format!(r#"{{"name":"a","count":"{secret}"}}"#),
            format!(r#"{{"name":"a","count":", expected {secret}"}}"#),
            format!(r#"{{"name":["{secret}"]}}"#),
            format!(r#""{secret}""#),
            format!(r#"{{"name":"a","count":{secret}}}"#),
        ] {
            let error = read(&[JSON], body.clone()).await.expect_err("refused");
            assert!(!format!("{error} {error:?}").contains(secret), "{body}: {error:?}");
        }
    }

    #[tokio::test]
    async fn q26_the_name_of_a_field_is_escaped_and_cut() {
        let body = format!(r#"{{"name":"a","x\u001b\n{}":1}}"#, "y".repeat(10_000));
        let text = read(&[JSON], body).await.expect_err("refused").to_string();
        assert!(text.len() < 1_000 && !text.contains(['\u{1b}', '\n']), "{text}");
    }
}
