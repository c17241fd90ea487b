//! Every size, count and time of the server that can be set, with its default and its bounds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds::{Count, Period};

/// What the server gives and takes at most. None can be switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// From accepting a connection to the end of its TLS handshake: 1s to 60s.
    pub(crate) tls_timeout: Period<1, 60>,
    /// From the start of a request to the end of its headers: 1s to 60s.
    pub(crate) header_timeout: Period<1, 60>,
    /// From the end of the headers to the end of the body: 1s to 5m.
    pub(crate) body_timeout: Period<1, 300>,
    /// How long a connection may stay without a request: 5s to 10m.
    pub(crate) idle_timeout: Period<5, 600>,
    /// What requests in flight get when the server stops: 1s to 5m.
    pub(crate) drain_timeout: Period<1, 300>,
    /// Open connections, channels included.
    pub(crate) max_connections: Count<64, 1_000_000>,
    /// Open connections of one source: an IPv4 address or an IPv6 /64.
    pub(crate) max_connections_per_source: Count<4, 1_000_000>,
    /// The same for this host itself, behind which a proxy may stand.
    pub(crate) max_connections_per_loopback: Count<4, 1_000_000>,
    /// Bytes of a request's headers.
    pub(crate) max_header_bytes: Count<8_192, 262_144>,
    /// Bytes of a body on the agents' routes.
    pub(crate) max_body_bytes: Count<16_384, 1_048_576>,
    /// How deep JSON may nest.
    pub(crate) max_json_depth: Count<8, 128>,
    /// Requests without a proved identity that one source may make in a second, on average.
    pub(crate) anonymous_per_second: Count<1, 1_000_000>,
    /// The same all at once.
    pub(crate) anonymous_burst: Count<1, 1_000_000>,
    /// Holds that may be open at one site; sites made later take it.
    pub(crate) max_holds_per_site: Count<1, 100_000>,
    /// How long a hold waits for a person: 1h to 90d.
    pub(crate) hold_life: Period<3_600, 7_776_000>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tls_timeout: Period::of(5),
            header_timeout: Period::of(10),
            body_timeout: Period::of(20),
            idle_timeout: Period::of(60),
            drain_timeout: Period::of(10),
            max_connections: Count::of(16_384),
            max_connections_per_source: Count::of(256),
            max_connections_per_loopback: Count::of(12_288),
            max_header_bytes: Count::of(16_384),
            max_body_bytes: Count::of(65_536),
            max_json_depth: Count::of(32),
            anonymous_per_second: Count::of(100),
            anonymous_burst: Count::of(1_000),
            max_holds_per_site: Count::of(1_000),
            hold_life: Period::of(7 * 86_400),
        }
    }
}
