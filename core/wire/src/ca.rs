//! Changing the certificate authority.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where the change stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CaStatus {
    /// `settled`, `prepared`, `published`, `activated` or `tainted`.
    pub phase: String,
    /// Rises with each step, the ones back too.
    pub revision: u64,
    /// Since when it stands so; missing where it was never begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// The version of the bundle of roots that everybody is given.
    pub bundle: u64,
    /// The pin of the root that signs: what new invites name.
    pub pin: String,
    /// The pins of every root of the bundle.
    pub pins: Vec<String>,
    /// End of the issuing authority.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
    /// How many machines with a key there are.
    pub machines: u64,
    /// How many of them said that they hold which version of the bundle.
    pub holders: Vec<BundleHolders>,
    /// How many are not ready for the next step that would need them to be.
    pub behind: u64,
    /// Some of them, at most 50.
    pub machines_behind: Vec<MachineBehind>,
    /// Where an authority was ever declared tainted: how many have not changed their key since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_rotated: Option<u64>,
    /// The steps that can follow.
    pub next: Vec<String>,
}

/// How many machines hold a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BundleHolders {
    /// The version; 0 for those that never said.
    pub bundle: u64,
    /// How many.
    pub machines: u64,
}

/// A machine that is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MachineBehind {
    /// Its identifier.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The bundle that it said it holds; 0 where it said nothing.
    pub bundle: u64,
}

/// A step that may leave machines behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeCa {
    /// Go on although machines are not ready, if they are so many at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub even_so: Option<u64>,
}
