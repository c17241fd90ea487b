//! What there is: rows of the database, slots of agents, what is under way.
//!
//! Keys are numbers. A machine, a hold and the certificates of a key are named by the key that they came with, so that
//! nothing is told apart that only its identifier tells apart.

use muster_model::{EndReason, HoldReason, KeyStanding};

/// Keys that there may be at all.
pub(super) const KEYS: usize = 6;

/// A key, and what is named by it.
pub(super) type Key = u8;

/// A stretch of time: one ends with the backup, the next one with the restore.
pub(super) type Epoch = u8;

/// The database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Db {
    pub(super) machines: [Option<MachineRow>; KEYS],
    pub(super) keys: [Option<KeyRow>; KEYS],
    pub(super) certificates: [Option<CertificateRow>; KEYS],
    pub(super) holds: [Option<HoldRow>; KEYS],
    /// The key that spent the token.
    pub(super) spent_by: Option<Key>,
    /// When the restored database was accepted, if it was.
    pub(super) accepted: Option<Epoch>,
    /// Beside the rows, for the properties: every key that drew on the token.
    pub(super) drew: u8,
    /// The same: machines that an operator let somebody else in as, also where the database has forgotten it.
    pub(super) merged: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct MachineRow {
    pub(super) key: Option<Key>,
    pub(super) generation: u8,
    pub(super) is_revoked: bool,
    pub(super) has_hardware: bool,
    pub(super) door: Option<Door>,
    /// Beside the row, for the properties: an operator revoked it, and let nobody in as it since.
    pub(super) is_ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyRow {
    pub(super) machine: Key,
    pub(super) generation: u8,
    pub(super) standing: KeyStanding,
    /// The key that was proposed by the last nonce that this one used.
    pub(super) signed: Option<Key>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CertificateRow {
    pub(super) machine: Key,
    pub(super) generation: u8,
    pub(super) state: Standing,
    pub(super) drawn: Epoch,
}

/// How a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Standing {
    Reserved,
    Issued,
    Ended(EndReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct HoldRow {
    pub(super) reason: HoldReason,
    pub(super) existing: Option<Key>,
    pub(super) door: Door,
    pub(super) state: Decided,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Decided {
    Open,
    Approved(Key),
    Rejected,
}

/// By what somebody asks to come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Door {
    /// A token for one machine.
    Token,
    /// The site's key.
    Site,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Asks {
    Enroll {
        key: Key,
        door: Door,
    },
    Collect {
        key: Key,
    },
    /// Signed, with a nonce.
    Propose {
        by: Key,
        key: Key,
    },
    /// For another certificate, by the one that was drawn in this stretch.
    Renew {
        key: Key,
        machine: Key,
        drawn: Epoch,
    },
    /// By a certificate of this machine, drawn in this stretch.
    Use {
        key: Key,
        machine: Key,
        drawn: Epoch,
        base: Key,
    },
}

/// What travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Message {
    Asks(Asks),
    /// A certificate, for whoever asked to come in, and as which machine.
    Admitted {
        key: Key,
        drawn: Epoch,
        machine: Key,
    },
    Held {
        key: Key,
    },
    /// A certificate for the next key.
    Certified {
        by: Key,
        key: Key,
        drawn: Epoch,
    },
    /// Another certificate for the same key.
    Renewed {
        key: Key,
        drawn: Epoch,
    },
    Used {
        key: Key,
    },
}

/// A replica at work on a request: which transaction comes next, and what was read for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Work {
    pub(super) asks: Asks,
    pub(super) stage: u8,
    pub(super) seen: u32,
}

/// A key with its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Slot {
    pub(super) key: Key,
    pub(super) drawn: Option<Epoch>,
}

/// An agent's store. All of it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Agent {
    pub(super) durable: Slot,
    pub(super) next: Option<Slot>,
    /// Which machine it was told that it is.
    pub(super) machine: Option<Key>,
    pub(super) is_held: bool,
    pub(super) made: u8,
}

/// Somebody who has a copy of a slot, and perhaps a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Thief {
    /// What was copied, and of which machine it is.
    pub(super) copied: Option<(Slot, Key)>,
    /// The certificate for its own key, and of which machine it is.
    pub(super) own: Option<(Epoch, Key)>,
}

/// What must never have happened, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Broken(pub(super) u8);

impl Broken {
    pub(super) const TWO_MACHINES: Self = Self(1);
    pub(super) const DEAD_KEY_SERVED: Self = Self(2);
    pub(super) const TAKEN_BY_STRANGER: Self = Self(4);
    pub(super) const GENERATION_FELL: Self = Self(8);
    pub(super) const HOLD_TOUCHED: Self = Self(16);
    pub(super) const UNTOLD_CHANGE: Self = Self(32);

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// The database, by its number among those that were seen.
    pub(super) db: u32,
    pub(super) backup: Option<u32>,
    pub(super) is_restored: bool,
    pub(super) epoch: Epoch,
    pub(super) agents: [Agent; 2],
    pub(super) thief: Option<Thief>,
    /// What travels, by its number among those that were sent.
    pub(super) under_way: u128,
    pub(super) replicas: [Option<Work>; 2],
    /// Whether an operator was told of something that should not be.
    pub(super) told: bool,
    pub(super) broken: Broken,
}
