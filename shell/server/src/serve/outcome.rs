//! How a connection ended, and its counter. Labels come from these two closed sets alone, never from a client
//!

use metrics::counter;

use super::admission::Refused;

/// What a listener carries; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    Tls,
    Unix,
    Plain,
}

impl Carrier {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Unix => "unix",
            Self::Plain => "plain",
        }
    }
}

/// The end of a connection; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Closed by the client or by agreement, or handed over to an upgrade.
    Served,
    /// The connection broke or was no HTTP.
    Broken,
    /// Too many connections in total.
    RefusedTotal,
    /// Too many connections of one source.
    RefusedSource,
    /// No TLS, or a certificate that was not accepted.
    HandshakeFailed,
    /// No end of the handshake in time.
    HandshakeTimeout,
    /// No complete headers in time.
    HeaderTimeout,
    /// Nothing moved for the idle time.
    Idle,
    /// Ended by our own shutdown.
    Drained,
    /// A handler panicked.
    Panicked,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Broken => "broken",
            Self::RefusedTotal => "refused_total",
            Self::RefusedSource => "refused_source",
            Self::HandshakeFailed => "handshake_failed",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HeaderTimeout => "header_timeout",
            Self::Idle => "idle",
            Self::Drained => "drained",
            Self::Panicked => "panicked",
        }
    }

    /// Counts one connection that ended so.
    pub(super) fn count(self, carrier: Carrier) {
        counter!("muster_connections_total", "transport" => carrier.as_str(), "outcome" => self.as_str())
            .increment(1);
    }
}

impl From<Refused> for Outcome {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Total => Self::RefusedTotal,
            Refused::Source => Self::RefusedSource,
        }
    }
}
