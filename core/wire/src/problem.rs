//! Problem documents (RFC 9457): every error answer of Muster has this shape.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::FieldError;

/// Media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// A URI reference naming the kind of problem, made of the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// One sentence for people, the same for every problem of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is particular to this occurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The stable code to program against.
    pub code: String,
    /// What an agent should do.
    pub action: AgentAction,
    /// What a person should do.
    pub help: String,
    /// Finds this occurrence in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Every wrong field, where the request was malformed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Seconds to wait, as in the `Retry-After` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// The server's clock, where clocks may be the trouble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub server_time: Option<Timestamp>,
}

/// What an agent should do about a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentAction {
    /// Repeat the same request after a while.
    Retry,
    /// Wait for a person, asking again at the given rhythm.
    Wait,
    /// Ask for a new certificate or key.
    Rotate,
    /// Enroll again, once an operator has given a new way in.
    EnrollAgain,
    /// Give up until a person steps in.
    Stop,
}
