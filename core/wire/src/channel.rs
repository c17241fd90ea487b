//! Frames of the channel: one JSON object in each WebSocket text message (RFC 6455).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::trust::Trust;

/// WebSocket sub-protocol of the channel.
pub const SUBPROTOCOL: &str = "muster.channel.v1";
/// Where the channel is opened.
pub const PATH: &str = "/v1/machines/self/channel";
/// The server pings this often, in seconds.
pub const PING_EVERY: u64 = 5;
/// The server counts a machine as offline after this many silent seconds.
pub const SERVER_PATIENCE: u64 = 12;
/// The agent connects anew after this many silent seconds.
pub const AGENT_PATIENCE: u64 = 20;
/// The longest frame either side takes, in bytes.
pub const MAX_FRAME: usize = 16 * 1024;

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// First of all: who the server takes the caller for, and where it stands.
    Hello {
        /// The machine.
        machine: String,
        /// Its state: `active` or `suspended`.
        state: String,
        /// The server's clock.
        server_time: Timestamp,
    },
    /// Whom to trust from now on. Said to machines that named the version that they hold, where there is a newer one.
    Trust {
        /// The bundle.
        trust: Trust,
    },
    /// Something to do. Repeated on the next connection until it is acknowledged or overtaken.
    Order {
        /// Rises within a connection.
        id: u64,
        /// What.
        order: Order,
        /// What the operator said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// What the agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AgentFrame {
    /// It holds this version of the bundle of roots, durably.
    Holds {
        /// Which.
        bundle: u64,
    },
    /// An order was carried out.
    Ack {
        /// Which.
        id: u64,
    },
}

/// What a server may order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Get a new certificate for the same key, now.
    Renew,
    /// Make the next key, and get a certificate for it, now.
    Rotate,
    /// Stop the workload.
    Suspend,
    /// Start the workload again.
    Resume,
    /// The machine was ended: stop for good, set the files aside.
    Retire,
    /// The credential was ended: stop for good, set the files aside.
    Revoked,
}
