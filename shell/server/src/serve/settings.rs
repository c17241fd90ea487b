//! The bounds of one listener. Every one has a default and none can be switched off: work before authentication
//! is bounded.

use std::time::Duration;

/// Bounds of one listener. Each listener counts for itself, so a flood on the public port cannot starve the
/// local socket.
#[derive(Debug, Clone)]
pub struct ServeSettings {
    /// From accept to the end of the TLS handshake.
    pub tls_timeout: Duration,
    /// From the first byte of a request (or from the start of the connection) to the end of its headers.
    pub header_timeout: Duration,
    /// A connection on which no request runs and nothing moves.
    pub idle_timeout: Duration,
    /// What requests in flight get once draining started.
    pub drain_timeout: Duration,
    /// Open connections, upgraded ones included.
    pub max_connections: usize,
    /// Open connections of one source: an IPv4 address or an IPv6 /64.
    pub max_per_source: usize,
    /// The same for loopback addresses, behind which a whole fleet may stand (a proxy, a test).
    pub max_per_loopback: usize,
    /// Bytes of the header section of one request.
    pub max_header_bytes: u32,
    /// Header lines of one HTTP/1.1 request.
    pub max_headers: usize,
    /// Streams one HTTP/2 connection may have open.
    pub max_streams: u32,
    /// Streams reset by the client before they were accepted, after which the connection ends (CVE-2023-44487).
    pub max_pending_resets: usize,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            tls_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
            max_connections: 16_384,
            max_per_source: 256,
            max_per_loopback: 12_288,
            max_header_bytes: 16 * 1024,
            max_headers: 64,
            max_streams: 16,
            max_pending_resets: 16,
        }
    }
}
