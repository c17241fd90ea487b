//! What happens to an agent, and what it has done about it.

use std::time::Duration;

use jiff::Timestamp;
use muster_wire::channel::Order;

use crate::answer::Verdict;
use crate::pace::Life;
use crate::state::{Ending, Standing};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The program started. Comes once, first.
    Started,
    /// A timer fired.
    Due(Timer),
    /// The machine is enrolled, and that is durable.
    Enrolled {
        /// The certificate's life.
        life: Life,
        /// Whether its workload may run.
        standing: Standing,
    },
    /// A person must decide, and that is durable.
    Held {
        /// The hold.
        hold: String,
        /// Ask again after this many seconds.
        poll_after: u32,
    },
    /// Enrolling or polling failed.
    EnrollFailed(Verdict),
    /// A new certificate is there, durably.
    Renewed(Life),
    /// Renewing failed.
    RenewFailed(Verdict),
    /// The next key has its certificate, durably.
    Certified,
    /// Making the next key, or asking for its certificate, failed.
    RotateFailed(Verdict),
    /// The channel by the next key is open and the server said hello.
    NextOpened {
        /// How the server says the machine stands.
        standing: Standing,
        /// The life of the next key's certificate.
        life: Life,
        /// When the next key was made.
        made_at: Timestamp,
    },
    /// The channel by the next key could not be opened.
    NextClosed(Verdict),
    /// The key that is shown is noted durably as the present one.
    Settled,
    /// Noting it failed.
    SettleFailed(Verdict),
    /// The server has heard that it is.
    Confirmed,
    /// Nothing is left of the key before.
    Forgotten,
    /// The server could not be told, or the key before not be removed.
    ConfirmFailed(Verdict),
    /// The key of the other slot is shown from now on, with the life of its certificate; nothing where there is none.
    Swapped(Option<Life>),
    /// The channel is open and the server said hello.
    ChannelOpened {
        /// How the server says the machine stands.
        standing: Standing,
    },
    /// The channel could not be opened, or was lost.
    ChannelClosed(Verdict),
    /// The server ordered something on the open channel.
    Ordered {
        /// To acknowledge by.
        id: u64,
        /// What.
        order: Order,
    },
}

/// Something to do, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send the enrollment: the same one, with the same key, every time.
    Enroll,
    /// Ask how the hold stands.
    Poll {
        /// Which.
        hold: String,
    },
    /// Ask for a new certificate.
    Renew(Proof),
    /// Make the next key durable unless it is, and ask for a certificate for it: the same request every time.
    Rotate,
    /// Open a channel by the next key, beside the present one.
    TryNext,
    /// Show the next key from now on: its channel takes the place of the present one.
    TakeNext,
    /// Note durably that the key that is shown is the present one.
    Settle,
    /// Tell the server so.
    Confirm,
    /// Remove the files of the key before.
    Forget,
    /// Remove the files of the next key: it will never be one.
    Abandon,
    /// Show the key of the other slot instead.
    Swap,
    /// Open the channel.
    OpenChannel,
    /// Close the channel.
    CloseChannel,
    /// Raise [`Event::Due`] after a while; replaces an earlier one of the same timer.
    Wake {
        /// Which.
        timer: Timer,
        /// After how long.
        after: Duration,
    },
    /// Acknowledge an order.
    Acknowledge(u64),
    /// Run a hook, then acknowledge.
    Hook {
        /// Which.
        hook: Hook,
        /// The order to acknowledge afterwards.
        acknowledge: Option<u64>,
    },
    /// Note durably how the machine stands.
    Remember(Standing),
    /// Take the server's clock for right.
    SetClock(Timestamp),
    /// Set the files of the identity aside (never delete them) and note why.
    SetAside(Ending),
    /// Leave.
    Stop(Ending),
}

/// How a request is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By the certificate, in TLS.
    Certificate,
    /// By a signature of the key over the request: for expired certificates.
    Signature,
    /// By enrolling once more under the same key, which finds the same machine: where the server renews it no more, because
    /// its last certificate was over for too long, or was given out by a clock that was wrong.
    Enrollment,
}

/// A timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// For enrolling and for polling a hold.
    Enroll,
    /// For renewing.
    Renew,
    /// For rotating the key.
    Rotate,
    /// For opening the channel again.
    Channel,
}

/// A program that the machine's owner may put in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// The machine was enrolled.
    Enrolled,
    /// It has a new certificate.
    Renewed,
    /// It was paused.
    Suspended,
    /// It goes on.
    Resumed,
    /// Its identity ended.
    Retired,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Enrolled, Self::Renewed, Self::Suspended, Self::Resumed, Self::Retired];

    /// The name of its file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enrolled => "on_enrolled",
            Self::Renewed => "on_renewed",
            Self::Suspended => "on_suspended",
            Self::Resumed => "on_resumed",
            Self::Retired => "on_retired",
        }
    }
}
