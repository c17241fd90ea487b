//! What an agent needs to know before and beside enrolling: whom to trust, what time it is, which ways in there are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The trust bundle. Anybody may read it; a pin tells whether to believe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Trust {
    /// The trust domain of this deployment's SPIFFE ids.
    pub trust_domain: String,
    /// Its version. An agent takes a higher one alone; one from before versions were given is the first.
    #[serde(default = "first")]
    pub version: u64,
    /// PEM certificates of the roots: the one that signs first, then those beside it.
    pub roots: Vec<String>,
    /// The pins of the roots, in the same order.
    pub pins: Vec<String>,
}

fn first() -> u64 {
    1
}

/// Name of the header by which a machine that opens its channel says which version it holds.
pub const BUNDLE_HEADER: &str = "muster-bundle";

/// A nonce for one signed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Nonce {
    /// Opaque. Good for one request within a minute.
    pub nonce: String,
    /// The server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub server_time: Timestamp,
}

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JoinMethod {
    /// Its name on the wire.
    pub method: String,
    /// What it is, in a sentence.
    pub summary: String,
    /// JSON Schema of its evidence.
    #[schema(value_type = Object)]
    pub evidence: serde_json::Value,
}
