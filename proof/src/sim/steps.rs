//! The fault matrix: which step there is, and which fault can strike it.

use super::strikes::{ADOPTED, ASIDE, CHANNEL, LOST, REMOVED, SENT, SERVED, WRITTEN};

/// A step of the protocol, on one of its two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named in `Step::says`")]
pub enum Step {
    MakeKey,
    AskByRequest,
    InsertRequest,
    NoteHold,
    Approve,
    Poll,
    Collect,
    StoreApproved,
    FirstUse,
    Reject,
    Redeem,
    BindToken,
    StoreRedeemed,
    AskBySiteKey,
    Admit,
    KnownHardware,
    StoreAdmitted,
    AskRenewal,
    Renew,
    StoreRenewed,
    MakeNext,
    AskRotation,
    Propose,
    StoreNext,
    UseNext,
    Settle,
    NameBase,
    ForgetOld,
    BothSlots,
    OrderRotation,
    Adopt,
    Heartbeat,
    End,
    Sign,
    SetAside,
}

/// What strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named in `Column::says`")]
pub enum Column {
    CrashBefore,
    CrashAfter,
    ReplyLost,
    Duplicate,
    Late,
    DiskFull,
    ReadOnly,
    FsyncError,
    ClockAhead,
    ClockBehind,
    StoreDown,
    StoreRestart,
    Failover,
    Partition,
    PartialWrite,
    Corrupt,
    Permissions,
}

/// One pair of both.
pub type Cell = (Step, Column);

impl Step {
    /// Every step.
    pub const ALL: [Self; 35] = [
        Self::MakeKey,
        Self::AskByRequest,
        Self::InsertRequest,
        Self::NoteHold,
        Self::Approve,
        Self::Poll,
        Self::Collect,
        Self::StoreApproved,
        Self::FirstUse,
        Self::Reject,
        Self::Redeem,
        Self::BindToken,
        Self::StoreRedeemed,
        Self::AskBySiteKey,
        Self::Admit,
        Self::KnownHardware,
        Self::StoreAdmitted,
        Self::AskRenewal,
        Self::Renew,
        Self::StoreRenewed,
        Self::MakeNext,
        Self::AskRotation,
        Self::Propose,
        Self::StoreNext,
        Self::UseNext,
        Self::Settle,
        Self::NameBase,
        Self::ForgetOld,
        Self::BothSlots,
        Self::OrderRotation,
        Self::Adopt,
        Self::Heartbeat,
        Self::End,
        Self::Sign,
        Self::SetAside,
    ];

    /// Its name in the table.
    pub fn says(self) -> &'static str {
        match self {
            Self::MakeKey => "D0 agent: make key, durable",
            Self::AskByRequest => "D1.1 ask without a secret",
            Self::InsertRequest => "D1.2 server: insert request",
            Self::NoteHold => "D1.3 agent: note the hold",
            Self::Approve => "D1.4 operator approves",
            Self::Poll => "D1.5 poll",
            Self::Collect => "D1.5 server: machine, certificate",
            Self::StoreApproved => "D1.6 agent: store certificate",
            Self::FirstUse => "D1.7 first use",
            Self::Reject => "D1.8 operator rejects",
            Self::Redeem => "D2.1 redeem a token",
            Self::BindToken => "D2.2 server: bind token to key",
            Self::StoreRedeemed => "D2.3 agent: store certificate",
            Self::AskBySiteKey => "D3.1 ask by site key",
            Self::Admit => "D3.3 server: guards and insert",
            Self::KnownHardware => "D3.4 known hardware, other key",
            Self::StoreAdmitted => "D3.6 agent: store certificate",
            Self::AskRenewal => "N.1 ask for the next certificate",
            Self::Renew => "N.2 server: reserve the next",
            Self::StoreRenewed => "N.3 agent: store the next",
            Self::MakeNext => "R.1 agent: make the next key, durable",
            Self::AskRotation => "R.2 ask for its certificate",
            Self::Propose => "R.3 server: record the next key",
            Self::StoreNext => "R.4 agent: store its certificate",
            Self::UseNext => "R.5 first use activates it",
            Self::Settle => "R.6 agent: note the slot",
            Self::NameBase => "R.7 base ends the key before",
            Self::ForgetOld => "R.7 agent: remove the key before",
            Self::BothSlots => "R.8 both slots unreadable",
            Self::OrderRotation => "R.9 operator orders a rotation",
            Self::Adopt => "R.10 adopt what was forgotten",
            Self::Heartbeat => "H channel",
            Self::End => "V revoke, suspend, retire",
            Self::Sign => "C sign and confirm",
            Self::SetAside => "E agent: set files aside",
        }
    }

    /// Whether it is one of a key's rotation.
    pub(super) fn is_of_rotation(self) -> bool {
        matches!(
            self,
            Self::MakeNext
                | Self::AskRotation
                | Self::Propose
                | Self::StoreNext
                | Self::UseNext
                | Self::Settle
                | Self::NameBase
                | Self::ForgetOld
                | Self::BothSlots
                | Self::OrderRotation
                | Self::Adopt
        )
    }

    /// What can strike it.
    pub fn struck_by(self) -> &'static [Column] {
        match self {
            Self::MakeKey
            | Self::NoteHold
            | Self::StoreApproved
            | Self::StoreRedeemed
            | Self::StoreAdmitted
            | Self::StoreRenewed
            | Self::MakeNext
            | Self::StoreNext
            | Self::Settle => WRITTEN,
            Self::AskByRequest
            | Self::Poll
            | Self::Redeem
            | Self::AskBySiteKey
            | Self::AskRenewal
            | Self::AskRotation => SENT,
            Self::InsertRequest
            | Self::Approve
            | Self::Collect
            | Self::Reject
            | Self::BindToken
            | Self::Admit
            | Self::KnownHardware
            | Self::Renew
            | Self::Propose
            | Self::UseNext
            | Self::NameBase
            | Self::OrderRotation
            | Self::End
            | Self::Sign => SERVED,
            Self::FirstUse | Self::Heartbeat => CHANNEL,
            Self::SetAside => ASIDE,
            Self::ForgetOld => REMOVED,
            Self::BothSlots => LOST,
            Self::Adopt => ADOPTED,
        }
    }
}

impl Column {
    /// Every column, in the order of the matrix.
    pub const ALL: [Self; 17] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::ReplyLost,
        Self::Duplicate,
        Self::Late,
        Self::DiskFull,
        Self::ReadOnly,
        Self::FsyncError,
        Self::ClockAhead,
        Self::ClockBehind,
        Self::StoreDown,
        Self::StoreRestart,
        Self::Failover,
        Self::Partition,
        Self::PartialWrite,
        Self::Corrupt,
        Self::Permissions,
    ];

    /// Its name.
    pub fn says(self) -> &'static str {
        match self {
            Self::CrashBefore => "crash before",
            Self::CrashAfter => "crash after",
            Self::ReplyLost => "reply lost",
            Self::Duplicate => "duplicate",
            Self::Late => "late or reordered",
            Self::DiskFull => "disk full",
            Self::ReadOnly => "read-only",
            Self::FsyncError => "fsync error",
            Self::ClockAhead => "clock ahead",
            Self::ClockBehind => "clock behind",
            Self::StoreDown => "store down",
            Self::StoreRestart => "store restarts in a transaction",
            Self::Failover => "failover",
            Self::Partition => "replica partitioned",
            Self::PartialWrite => "partial write",
            Self::Corrupt => "corrupt file",
            Self::Permissions => "wrong permissions",
        }
    }
}
