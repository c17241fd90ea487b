//! The JSON shapes of Muster's protocol, version 1, and the texts that travel beside them.
//!
//! Owns how a value is written on the wire: requests refuse unknown fields, answers may grow. Turning a request into
//! values of the model lists every field that is wrong, each with its path. Decides nothing.

pub mod access;
pub mod account;
pub mod alarm;
pub mod audit;
pub mod ca;
pub mod caller;
pub mod channel;
pub mod ending;
pub mod engagement;
pub mod enroll;
pub mod fields;
pub mod go_json;
pub mod grant;
pub mod hold;
pub mod invite;
pub mod machine;
pub mod operator;
pub mod overview;
pub mod problem;
pub mod reaper;
pub mod replica;
pub mod rotate;
pub mod signature;
pub mod site;
pub mod status;
pub mod trust;

pub use fields::{FieldError, FieldErrors, Fields};
pub use problem::{AgentAction, Problem};

/// The protocol version, as the agent offers it in ALPN: `muster/1`.
pub const ALPN: &[u8] = b"muster/1";

/// One page of a list.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The items, in the list's own order.
    pub items: Vec<T>,
    /// Ask again with this cursor for more; `null` at the end. Bound to the query it came from.
    pub next: Option<String>,
}

/// What a list may be asked for.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// At most this many items, 1 to 1000; 100 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only what these words occur in. Machines also by field: `label:ring=canary version:1.2* online:no state:active
    /// site:lab grant:grt_… os:debian* kind:host role:gpu address:192.0.2.7`; what stands in double quotes is words alone. A page
    /// of a search by `online:` may hold fewer items than were asked for, or none, and go on by its `next`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// Only objects in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Only objects of this site (its code).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

/// Words derived from a key; none where there is no key.
pub fn words(key: Option<muster_model::KeyFingerprint>) -> Vec<String> {
    key.map(|key| key.short_words().map(str::to_owned).to_vec()).unwrap_or_default()
}

/// Writes labels or attributes.
pub fn pairs<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> std::collections::BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
