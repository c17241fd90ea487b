//! Errors as the agent and its dashboard read them: `{detail, error_code, status_code}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::problem::Failed;

#[derive(Serialize)]
struct Envelope {
    detail: String,
    error_code: String,
    status_code: u16,
}

/// Writes an error. Row 9 of the decision is one line here, so that its refusals are the same byte for byte.
pub(super) fn told(failed: Failed) -> Response {
    let row = failed.row();
    let (status, error_code) = match row.code {
        "not_found" if failed.missing() == Some("site") => (row.status, "SITE_NOT_FOUND"),
        "not_found" if failed.missing() == Some("enrollment key") => (row.status, "NO_ENROLLMENT_KEY"),
        "not_entitled" => (row.status, "ENROLL_REJECTED"),
        "malformed" => (row.status, "INVALID_REQUEST"),
        "slow_down" => (row.status, "RATE_LIMITED"),
        "unavailable" | "restored" => (row.status, "DATABASE_UNAVAILABLE"),
        "broken" => (row.status, "INTERNAL_ERROR"),
        "not_authenticated" => (row.status, "UNAUTHORIZED"),
        // An operator must act first: see `enroll`.
        "rejected" => (StatusCode::CONFLICT, "ENROLL_REJECTED_BY_OPERATOR"),
        "wrong_kind" => (StatusCode::CONFLICT, "ENROLL_WRONG_KIND"),
        "too_many_holds" => (StatusCode::CONFLICT, "ENROLL_TOO_MANY_PENDING"),
        other => (row.status, other),
    };
    let envelope = Envelope {
        detail: detail(&failed),
        error_code: error_code.to_ascii_uppercase(),
        status_code: status.as_u16(),
    };
    let mut response = (status, Json(envelope)).into_response();
    let headers = response.headers_mut();
    if let Some(seconds) = failed.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED && row.code != "not_entitled" {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn detail(failed: &Failed) -> String {
    if failed.row().code == "not_entitled" {
        return "Invalid site code or enrollment key".to_owned();
    }
    let wrong = failed.errors().iter().map(|error| format!("{} {}", error.path, error.message));
    let wrong: Vec<String> = wrong.collect();
    match (wrong.is_empty(), failed.detail()) {
        (false, _) => wrong.join("; "),
        (true, Some(detail)) => detail.to_owned(),
        (true, None) => failed.row().title.to_owned(),
    }
}
