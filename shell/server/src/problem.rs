//! The one table from errors to problem documents (RFC 9457), and the one place that logs them.
//!
//! The public sentence and the internal cause are separate: a caller reads the row of this table, the log reads the
//! cause. Row 9 of the enrollment decision is one row here, so that its refusals are the same byte for byte.

mod reference;
mod table;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use muster_app::Error;
use muster_app::StoreError;
use muster_model::{Refusal, Timestamp};
use muster_wire::problem::{MEDIA_TYPE, Problem};
use muster_wire::{FieldError, FieldErrors};

pub use reference::problems;
pub(crate) use table::Row;
use table::{BROKEN, MALFORMED, RESTORED, TOO_SLOW, UNAVAILABLE, WRONG_METHOD, refusal_row};

use crate::limits::BodyError;

/// An error on its way out. The middleware turns it into a problem document once it knows the request's id.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Box<Error>);

/// A body or header that is not a request at all.
#[derive(Debug)]
pub(crate) struct Unreadable(pub(crate) BodyError);

/// What the middleware finds in a response that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    row: Row,
    detail: Option<String>,
    errors: Vec<FieldError>,
    retry_after: Option<u32>,
    /// The noun of what was not found.
    missing: Option<&'static str>,
    /// Whether the caller has shown nothing at all.
    nothing_shown: bool,
}

/// What may be said of a refusal beyond its row. Causes for the audit log alone are not.
fn public_detail(refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::NotEntitled { .. } | Refusal::NotAuthenticated { .. } => None,
        Refusal::Rejected { reason } => reason.clone(),
        other => Some(other.to_string()),
    }
}

impl Failed {
    fn of(row: Row) -> Self {
        Self { row, detail: None, errors: Vec::new(), retry_after: None, missing: None, nothing_shown: false }
    }

    fn refused(refusal: &Refusal) -> Self {
        let retry_after = match refusal {
            Refusal::SlowDown { retry_after } => Some(*retry_after),
            Refusal::TooManyHolds => Some(60),
            _ => None,
        };
        let missing = match refusal {
            Refusal::NotFound { what } => Some(*what),
            _ => None,
        };
        let nothing_shown = matches!(refusal, Refusal::NotAuthenticated { cause: "nothing_shown" });
        Self {
            detail: public_detail(refusal),
            retry_after,
            missing,
            nothing_shown,
            ..Self::of(refusal_row(refusal))
        }
    }

    fn malformed(errors: &FieldErrors) -> Self {
        Self { errors: errors.0.clone(), ..Self::of(MALFORMED) }
    }

    fn unavailable() -> Self {
        Self { retry_after: Some(5), ..Self::of(UNAVAILABLE) }
    }

    /// A person must act first: asking every few seconds would not help.
    fn restored() -> Self {
        Self { retry_after: Some(30), ..Self::of(RESTORED) }
    }

    /// Its row of the table.
    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    /// Its stable code.
    pub(crate) fn code(&self) -> &'static str {
        self.row.code
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.row.status
    }

    /// The sentence of its row.
    pub(crate) fn title(&self) -> &'static str {
        self.row.title
    }

    /// What may be said beyond its row.
    pub(crate) fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The wrong fields.
    pub(crate) fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// Seconds to wait.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }

    /// The noun of what was not found.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        self.missing
    }

    /// Whether the caller has shown nothing at all.
    pub(crate) fn nothing_was_shown(&self) -> bool {
        self.nothing_shown
    }

    /// The problem document, with what only the middleware knows.
    pub(crate) fn document(self, request_id: &str, now: Timestamp) -> Problem {
        let row = self.row;
        Problem {
            kind: format!("urn:muster:problem:{}", row.code),
            title: row.title.to_owned(),
            status: row.status.as_u16(),
            detail: self.detail,
            code: row.code.to_owned(),
            action: row.action,
            help: row.help.to_owned(),
            // Refusals of row 9 are the same byte for byte; their id is in the header alone.
            request_id: (row.code != "not_entitled").then(|| request_id.to_owned()),
            errors: self.errors,
            retry_after: self.retry_after,
            server_time: matches!(row.code, "nonce_needed" | "credential_expired").then_some(now),
        }
    }
}

/// The problem document of an error, for whoever plays the server without HTTP.
pub fn document(error: &Error, now: Timestamp) -> Problem {
    Failed::from(error).document("", now)
}

impl From<&Error> for Failed {
    fn from(error: &Error) -> Self {
        match error {
            Error::Malformed(errors) => Self::malformed(errors),
            Error::Refused(refusal) => Self::refused(refusal),
            Error::Stale
            | Error::Store(
                StoreError::Unavailable { .. }
                | StoreError::Full { .. }
                | StoreError::Unknown { .. }
                | StoreError::Fenced { .. },
            ) => Self::unavailable(),
            Error::Restored => Self::restored(),
            Error::Store(StoreError::Broken { .. } | StoreError::Invariant { .. })
            | Error::Issue(_)
            | Error::Authority(_)
            | Error::Token(_) => Self::of(BROKEN),
        }
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let failed = Failed::from(&*self.0);
        log(&self.0, failed.row);
        marked(failed)
    }
}

/// The one place that logs errors, each once.
fn log(error: &Error, row: Row) {
    match error {
        Error::Malformed(errors) => tracing::debug!(fields = ?errors.0, "malformed request"),
        // The audit log tells of refusals, coalesced: a line each would let anybody fill the disk.
        Error::Refused(refusal) => tracing::debug!(code = row.code, %refusal, "refused"),
        // Told once, by the look that found it.
        Error::Stale | Error::Restored => tracing::debug!(%error, "not now"),
        Error::Store(
            cause @ (StoreError::Unavailable { .. }
            | StoreError::Full { .. }
            | StoreError::Unknown { .. }
            | StoreError::Fenced { .. }),
        ) => {
            tracing::error!(error = cause as &dyn std::error::Error, "the store is unavailable");
        }
        broken => tracing::error!(error = broken as &dyn std::error::Error, "broken invariant"),
    }
}

impl IntoResponse for Unreadable {
    fn into_response(self) -> Response {
        tracing::debug!(error = %self.0, "unreadable body");
        if let BodyError::TooSlow { .. } | BodyError::Broken(_) = &self.0 {
            return marked(Failed { detail: Some(self.0.to_string()), ..Failed::of(TOO_SLOW) });
        }
        let status = match &self.0 {
            BodyError::Encoded | BodyError::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::Chunked => StatusCode::LENGTH_REQUIRED,
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken(_)
            | BodyError::Bounds { .. }
            | BodyError::Syntax { .. }
            | BodyError::Shape { .. } => StatusCode::BAD_REQUEST,
        };
        let mut failed = Failed::of(Row { status, ..MALFORMED });
        if let BodyError::Shape { path, message, .. } = &self.0 {
            failed.errors = vec![FieldError { path: path.clone(), message: message.clone() }];
        }
        failed.detail = Some(self.0.to_string());
        marked(failed)
    }
}

/// A response that the middleware replaces by a problem document.
fn marked(failed: Failed) -> Response {
    let mut response = failed.row.status.into_response();
    response.extensions_mut().insert(failed);
    response
}

/// Writes a problem document.
pub(crate) fn written(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A path that does not take this method.
pub(crate) fn wrong_method() -> Response {
    marked(Failed::of(WRONG_METHOD))
}

#[cfg(test)]
mod tests;
