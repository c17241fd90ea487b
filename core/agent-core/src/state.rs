//! Where an agent stands. Each state carries what exists in it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::answer::{EndReason, Verdict};
use crate::event::Proof;
use crate::pace::Life;

/// Where an agent stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It asks to enroll, or will ask again after a while.
    Enrolling {
        /// Failures in a row.
        attempt: u32,
    },
    /// A person decides.
    Waiting {
        /// The hold.
        hold: String,
        /// The rhythm the server asked for, in seconds.
        poll_after: u32,
        /// Failures in a row.
        attempt: u32,
    },
    /// It is a known machine.
    Running(Running),
    /// Nothing more will happen.
    Ended(Ending),
}

/// A known machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The life of its certificate.
    pub life: Life,
    /// Whether its workload may run.
    pub standing: Standing,
    /// Its channel.
    pub channel: Channel,
    /// Its next certificate.
    pub renewal: Renewal,
    /// A renew order that is acknowledged once the certificate is there.
    pub ordered: Option<u64>,
    /// Its keys.
    pub keys: Keys,
    /// Its next key.
    pub rotation: Rotation,
    /// A rotate order that is acknowledged once the new key has worked.
    pub rotate_ordered: Option<u64>,
    /// What was said to the key of the other slot, while it is not known whether this one works.
    pub said: Option<Ending>,
}

/// What is known of the keys in the machine's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// When the present one was made.
    pub made_at: Timestamp,
    /// How old a key may grow; for ever where nothing is said.
    pub rotate_after: Option<SignedDuration>,
    /// What comes next in a rotation that was under way when the agent stopped.
    pub open: Option<Step>,
    /// Whether the one that is shown is a next one of which no answer ever came, and the only one that is left.
    pub untried: bool,
}

/// The steps of a rotation. Each leaves something durable, by which a restart knows the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The next key is made, and a certificate is asked for it.
    Ask,
    /// It is shown for the first time, beside the present one.
    Use,
    /// It has worked: it is noted as the present one.
    Settle,
    /// The server hears of that; then the key before is of no use to anybody.
    Confirm,
}

/// The next key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It will be made.
    Planned {
        /// When; never where nothing is said.
        at: Option<Timestamp>,
    },
    /// A step is under way.
    Doing {
        /// Which.
        step: Step,
        /// Failures in a row.
        attempt: u32,
    },
    /// A step will be tried when the timer fires.
    BackingOff {
        /// Which.
        step: Step,
        /// Failures in a row.
        attempt: u32,
    },
}

/// Whether the workload may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may.
    Active,
    /// An operator paused the machine.
    Suspended,
}

/// The channel to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Being opened.
    Opening {
        /// Failures in a row.
        attempt: u32,
    },
    /// Open.
    Up {
        /// Since when.
        since: Timestamp,
        /// Failures in a row before it; forgotten once it has held for a while.
        attempt: u32,
    },
    /// Closed until its timer fires, or a new certificate is there.
    Down {
        /// Failures in a row.
        attempt: u32,
    },
}

/// The next certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It will be asked for.
    Planned {
        /// When.
        at: Timestamp,
    },
    /// It was asked for.
    Asking {
        /// Failures in a row.
        attempt: u32,
        /// How the request is authenticated.
        proof: Proof,
    },
    /// It will be asked for again when the timer fires.
    BackingOff {
        /// Failures in a row.
        attempt: u32,
    },
}

/// How an agent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The server said so, in answer to a request.
    Told(EndReason),
    /// The machine was retired by order.
    Retired,
    /// The credential was revoked by order.
    Revoked,
    /// A person turned the enrollment away.
    Rejected {
        /// What they said.
        reason: Option<String>,
    },
    /// The present key is lost, and the server has never heard of the next one: nothing is left to ask by.
    KeyLost,
    /// A person must decide, and nobody wants to wait.
    Pending,
    /// Enrolling failed in a way that the caller does not want to sit out.
    GaveUp(Verdict),
}

/// How much an enrollment bears before it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Nothing: one request, one answer.
    Once,
    /// Outages and holds; a wrong server or a wrong clock is told at once.
    Foreground,
    /// All but a decided no.
    Service,
}

impl Standing {
    /// The word on the wire and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// Reads the server's word. Anything but `suspended` leaves the workload alone.
    pub fn from_wire(state: &str) -> Self {
        if state == "suspended" { Self::Suspended } else { Self::Active }
    }
}

impl Step {
    /// The word in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Use => "use",
            Self::Settle => "settle",
            Self::Confirm => "confirm",
        }
    }
}

impl Ending {
    /// The word in files and tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Told(reason) => reason.as_str(),
            Self::Retired => "retired",
            Self::Revoked => "revoked",
            Self::Rejected { .. } => "rejected",
            Self::KeyLost => "key_lost",
            Self::Pending => "pending",
            Self::GaveUp(_) => "gave_up",
        }
    }
}
