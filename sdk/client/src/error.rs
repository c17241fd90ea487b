//! What can go wrong between a caller and the server. An outage is never an answer: each kind says who spoke.

use muster_wire::Problem;
use muster_wire::invite::CaPin;
use thiserror::Error;

/// Why a call brought no answer of the expected shape.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The server answered with a problem document.
    #[error("{}", .0.detail.as_deref().unwrap_or(&.0.title))]
    Problem(Box<Problem>),
    /// Nobody answered.
    #[error("no answer from {server}")]
    Unreachable {
        /// Who was asked: an address or a socket's path.
        server: String,
        /// What the transport said.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke after the request had left: whether it took effect is unknown.
    #[error("the connection to {server} broke before the answer was complete")]
    Broken {
        /// Who was asked.
        server: String,
        /// What the transport said.
        #[source]
        source: reqwest::Error,
    },
    /// Somebody answered whose certificate does not lead to the pinned root.
    #[error("{server} is not trusted: its certificate does not lead to the pinned CA")]
    Untrusted {
        /// Who was asked.
        server: String,
        /// What TLS said.
        #[source]
        source: reqwest::Error,
    },
    /// The server has another CA than the pin names.
    #[error("{server} has another CA: it shows {}, expected is {expected}", shown(.offered))]
    PinMismatch {
        /// Who was asked.
        server: String,
        /// The pin that was given.
        expected: CaPin,
        /// The pins of what it showed.
        offered: Vec<CaPin>,
    },
    /// Somebody answered who is not a Muster server: a proxy, a portal, another program.
    #[error("{server} answered with HTTP {status} and {content_type}: this is not a Muster server")]
    Foreign {
        /// Who was asked.
        server: String,
        /// The HTTP status.
        status: u16,
        /// What it called its answer.
        content_type: String,
    },
    /// The answer has another shape than this version knows.
    #[error("{server} answered in a shape that this version does not know")]
    Shape {
        /// Who was asked.
        server: String,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// The answer is larger than any honest one.
    #[error("{server} sent an answer of more than {max} bytes")]
    TooLarge {
        /// Who was asked.
        server: String,
        /// The bound, in bytes.
        max: usize,
    },
    /// A text that cannot be an identifier or code: nothing was sent.
    #[error("{text:?} is not an identifier or code")]
    Segment {
        /// What was given.
        text: String,
    },
    /// The address is not one a client connects to.
    #[error("{url:?} is not an address of the form https://host:port")]
    Address {
        /// What was given.
        url: String,
    },
    /// A certificate that cannot be read.
    #[error("a root certificate cannot be read")]
    Certificate {
        /// What the parser said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API token holds characters that cannot travel in a header.
    #[error("the API token holds characters that no token has")]
    Token,
    /// The transport could not be set up on this machine.
    #[error("the client could not be set up")]
    Setup {
        /// What the library said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ClientError {
    /// The problem document, where the server sent one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether the server said, in its own words, that there is no such object.
    pub fn is_not_found(&self) -> bool {
        self.problem().is_some_and(|problem| problem.status == 404)
    }
}

fn shown(pins: &[CaPin]) -> String {
    match pins {
        [] => "none".to_owned(),
        pins => pins.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
    }
}
