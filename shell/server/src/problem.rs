//! The one table from errors to problem documents (RFC 9457), and the one place that logs them.
//!
//! The public sentence and the internal cause are separate: a caller reads the row of this table, the log reads the
//! cause. Row 9 of the enrollment decision is one row here, so that its refusals are the same byte for byte.

mod reference;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use muster_app::Error;
use muster_app::StoreError;
use muster_model::{Refusal, Timestamp};
use muster_wire::problem::{AgentAction, MEDIA_TYPE, Problem};
use muster_wire::{FieldError, FieldErrors};

pub use reference::problems;

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

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) code: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    pub(crate) action: AgentAction,
    pub(crate) help: &'static str,
}

const fn row(
    code: &'static str,
    status: StatusCode,
    action: AgentAction,
    title: &'static str,
    help: &'static str,
) -> Row {
    Row { code, status, title, action, help }
}

const MALFORMED: Row = row(
    "malformed",
    StatusCode::BAD_REQUEST,
    AgentAction::Stop,
    "The request is not one that Muster understands.",
    "Correct the fields listed under errors and send it again. Nothing was spent.",
);
const TOO_SLOW: Row = row(
    "too_slow",
    StatusCode::REQUEST_TIMEOUT,
    AgentAction::Retry,
    "The request did not arrive in time.",
    "Send it again; nothing was changed. Look at the network between the machine and the server.",
);
const WRONG_METHOD: Row = row(
    "wrong_method",
    StatusCode::METHOD_NOT_ALLOWED,
    AgentAction::Stop,
    "This path does not take that method.",
    "Use one of the methods that the Allow header lists.",
);
const UNAVAILABLE: Row = row(
    "unavailable",
    StatusCode::SERVICE_UNAVAILABLE,
    AgentAction::Retry,
    "The server cannot answer just now.",
    "Ask again after a while: repeating the same request is safe. On the server, muster doctor names the cause.",
);
const RESTORED: Row = row(
    "restored",
    StatusCode::SERVICE_UNAVAILABLE,
    AgentAction::Retry,
    "The database was put back to an older day; nothing is changed until an operator accepts that.",
    "See in muster status what is missing; to go on without it: muster restore accept.",
);
const BROKEN: Row = row(
    "broken",
    StatusCode::INTERNAL_SERVER_ERROR,
    AgentAction::Retry,
    "The server failed.",
    "Report the request id to the operator: the server's log tells what happened.",
);

/// The row of a refusal. One line each, no wildcard: a new refusal does not compile without its row.
fn refusal_row(refusal: &Refusal) -> Row {
    use AgentAction::{EnrollAgain, Retry, Rotate, Stop, Wait};
    let (status, action, title, help) = match refusal {
        Refusal::NotEntitled { .. } => (
            StatusCode::UNAUTHORIZED,
            Stop,
            "This token does not open anything here.",
            "Ask an operator for a new invite: muster invite create.",
        ),
        Refusal::Revoked => (
            StatusCode::FORBIDDEN,
            EnrollAgain,
            "This key or credential was revoked.",
            "Ask an operator for a new invite, then: muster enroll --reset.",
        ),
        Refusal::Superseded => (
            StatusCode::FORBIDDEN,
            Stop,
            "A newer key of this machine took the place of this one.",
            "The agent uses its other key by itself. Where that is lost: ask an operator for a new invite, then: muster enroll --reset.",
        ),
        Refusal::RotationNeeded => (
            StatusCode::UNAUTHORIZED,
            Rotate,
            "This key may only ask for a rotation.",
            "Nothing: the agent makes another key and asks for its rotation.",
        ),
        Refusal::UnknownMachine => (
            StatusCode::FORBIDDEN,
            EnrollAgain,
            "No machine here has this key.",
            "Ask an operator for a new invite, then: muster enroll --reset.",
        ),
        Refusal::MachineRetired => {
            (StatusCode::FORBIDDEN, Stop, "This machine was retired.", "Ask an operator to let it in anew.")
        }
        Refusal::Rejected { .. } => (
            StatusCode::FORBIDDEN,
            Stop,
            "An operator rejected this enrollment.",
            "Talk to the operator. To ask again with a new key: muster enroll --reset.",
        ),
        Refusal::MachineSuspended => (
            StatusCode::FORBIDDEN,
            Wait,
            "This machine is suspended.",
            "An operator resumes it with: muster machine resume.",
        ),
        Refusal::TooManyHolds => (
            StatusCode::TOO_MANY_REQUESTS,
            Retry,
            "Too many enrollments wait for approval here.",
            "An operator decides them with: muster hold ls, muster hold approve, muster hold reject.",
        ),
        Refusal::RequestsNotTaken => (
            StatusCode::FORBIDDEN,
            Stop,
            "Requests without a token are not taken here.",
            "Name a site with --site CODE if there are several, or ask an operator for an invite.",
        ),
        Refusal::WrongKind { .. } => (
            StatusCode::FORBIDDEN,
            Stop,
            "This token admits another kind of machine.",
            "Use --kind, or ask an operator for a token of the right kind.",
        ),
        Refusal::NotFound { .. } => (
            StatusCode::NOT_FOUND,
            Stop,
            "There is no such object, or none that you may see.",
            "List what there is, for example with: muster machine ls.",
        ),
        Refusal::WrongState { .. } => (
            StatusCode::CONFLICT,
            Stop,
            "This cannot be done to the object as it stands.",
            "Look at its state first: muster machine show, muster hold show.",
        ),
        Refusal::ChoiceNeeded => (
            StatusCode::CONFLICT,
            Stop,
            "This hold needs a choice.",
            "Compare both claimants with muster hold show, then approve --as-same or --as-new.",
        ),
        Refusal::ChoiceUnavailable { .. } => (
            StatusCode::CONFLICT,
            Stop,
            "This hold does not offer that choice.",
            "muster hold show lists the choices.",
        ),
        Refusal::NameTaken { .. } => (
            StatusCode::CONFLICT,
            Stop,
            "There is one of that name already.",
            "Choose another name, or use the one there is.",
        ),
        Refusal::AccountForeign => (
            StatusCode::CONFLICT,
            Stop,
            "In the other system there is an account of that name which Muster did not make.",
            "muster provision ls --state conflict shows it; an admin may adopt it.",
        ),
        Refusal::KeyTaken => (
            StatusCode::CONFLICT,
            Rotate,
            "This key was proposed before.",
            "Nothing: the agent makes another key and asks again.",
        ),
        Refusal::NickBarred => (
            StatusCode::FORBIDDEN,
            Stop,
            "This nick belongs to an agent that was revoked.",
            "An operator allows it to be registered again with: muster engagement free NICK.",
        ),
        Refusal::OutsideTeam => (
            StatusCode::FORBIDDEN,
            Stop,
            "This is outside the team of your token.",
            "Name your own team and its channels, or ask an admin for a token without a team.",
        ),
        Refusal::ScopeMissing { .. } => (
            StatusCode::FORBIDDEN,
            Stop,
            "Your token is confined to less.",
            "Ask an admin for a token with the scope that is named.",
        ),
        Refusal::NotAuthenticated { .. } => (
            StatusCode::UNAUTHORIZED,
            Retry,
            "You have not shown who you are.",
            "On the server's host use the local socket; elsewhere a token: muster token create.",
        ),
        Refusal::CredentialExpired => (
            StatusCode::UNAUTHORIZED,
            Rotate,
            "This credential is past its life; the identity is not.",
            "The agent renews it by itself with a signed request.",
        ),
        Refusal::NonceNeeded => (
            StatusCode::UNAUTHORIZED,
            Retry,
            "A signed request needs a fresh nonce.",
            "Get one from /v1/nonce and sign again; check the machine's clock.",
        ),
        Refusal::Forbidden { .. } => (
            StatusCode::FORBIDDEN,
            Stop,
            "You may not do this.",
            "Ask an admin for a token with a role that may.",
        ),
        Refusal::IdentityMismatch => (
            StatusCode::FORBIDDEN,
            Stop,
            "The identity in the request is not yours.",
            "Use the credential of the machine that is meant.",
        ),
        Refusal::SlowDown { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            Retry,
            "Too many requests from here.",
            "Wait as long as Retry-After says.",
        ),
        Refusal::CountDiffers { .. } => {
            (StatusCode::CONFLICT, Stop, "Another number of machines is meant.", "Look again with --dry-run.")
        }
        Refusal::IdempotencyMismatch => (
            StatusCode::CONFLICT,
            Stop,
            "This idempotency key was used for another request.",
            "Use a new key for a new request.",
        ),
    };
    row(refusal.code(), status, action, title, help)
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
