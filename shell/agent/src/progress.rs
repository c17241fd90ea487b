//! What the agent tells whoever started it.

use jiff::Timestamp;
use muster_agent_core::Standing;
use muster_wire::enroll::EnrolledMachine;

/// Something worth telling a person or a supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A person must decide; the machine shows these words for them to compare.
    Held {
        /// The hold.
        hold: String,
        /// Why.
        reason: String,
        /// The words, derived here from the machine key.
        words: Vec<String>,
        /// When the hold ends by itself.
        expires_at: Timestamp,
    },
    /// The machine is enrolled.
    Enrolled {
        /// As which.
        machine: EnrolledMachine,
    },
    /// Something failed and will be tried again.
    Trouble {
        /// What, safe to show.
        what: String,
    },
    /// The channel is open.
    Online,
    /// The channel is lost.
    Offline,
    /// There is a new certificate.
    Renewed {
        /// Its end.
        not_after: Timestamp,
    },
    /// The next key has worked and is the machine's from now on.
    Rotated {
        /// Its fingerprint.
        key: String,
    },
    /// The machine was paused or goes on.
    Standing(Standing),
}

/// Takes progress.
pub(crate) type Observer = Box<dyn FnMut(Progress) + Send>;
