//! Signs that a machine was copied, and when one was told last.
//!
//! No sign tells which of two is the machine. It is told to people; nothing ends by it.

use crate::Timestamp;

/// What was told last of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// When.
    pub at: Timestamp,
    /// What showed it.
    pub evidence: Evidence,
}

/// What shows that a machine may have been copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// A life of its agent that another one had followed goes on.
    EarlierBoot,
    /// What was counted in a life was counted before.
    Counter,
    /// A second key was proposed while the first one had not been used.
    Conflict,
    /// A next key was used first by somebody who did not have the key that vouched for it in the durable slot.
    BaseSkipped,
    /// The key before the present one asked for another, though the present one had been in use.
    Recovery,
    /// A key was shown whose place a newer one took.
    SupersededKey,
    /// A key of ours was shown that no row knows, older than what the database that was put back knows by now.
    ForgottenKey,
    /// More lives than an agent begins.
    ManyBoots,
    /// A key that had named a life was shown without one.
    BootMissing,
}

impl Evidence {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::EarlierBoot,
        Self::Counter,
        Self::Conflict,
        Self::BaseSkipped,
        Self::Recovery,
        Self::SupersededKey,
        Self::ForgottenKey,
        Self::ManyBoots,
        Self::BootMissing,
    ];

    /// The name in entries, metrics and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EarlierBoot => "earlier_boot",
            Self::Counter => "counter",
            Self::Conflict => "conflict",
            Self::BaseSkipped => "base_skipped",
            Self::Recovery => "recovery",
            Self::SupersededKey => "superseded_key",
            Self::ForgottenKey => "forgotten_key",
            Self::ManyBoots => "many_boots",
            Self::BootMissing => "boot_missing",
        }
    }

    /// Whether it shows that two hold one key at this moment. What an old image of a disk can bring about by itself does not:
    /// whoever finds one could stop a machine by it; nor does an agent that its supervisor starts all the time.
    pub fn shows_two(self) -> bool {
        match self {
            Self::EarlierBoot | Self::Counter | Self::Conflict | Self::BaseSkipped | Self::BootMissing => {
                true
            }
            Self::Recovery | Self::SupersededKey | Self::ForgottenKey | Self::ManyBoots => false,
        }
    }
}
