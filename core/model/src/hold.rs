//! Enrollments that wait for a person.
//!
//! A hold is durable, says who asks and why it was held, expires, and never becomes accepted by itself.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::{
    Actor, Attributes, GrantId, HardwareId, HoldId, Hostname, MachineId, MachineKind, MethodName, PublicKey,
    ReasonText, SiteId, TenantId, Verifier, network,
};

/// An enrollment that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its identifier.
    pub id: HoldId,
    /// The tenant it was asked of.
    pub tenant: TenantId,
    /// The site it was asked of.
    pub site: SiteId,
    /// Why a person is needed.
    pub reason: HoldReason,
    /// Who asks.
    pub claimant: Claimant,
    /// The machine it claims to be, or that stands in its way.
    pub existing: Option<MachineId>,
    /// The grant it presented.
    pub grant: Option<GrantId>,
    /// Where it stands.
    pub state: HoldState,
    /// How many requests there were in this claimant's name, this one included: of callers without a key who gave the same
    /// hardware and another secret. A hint like the rest: anybody may ask in any name.
    pub asked: u32,
    /// When it was first asked.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// Who asks, as evidence for a person. Nothing here is authority but the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// The key it proved; `None` for clients that have none.
    pub key: Option<PublicKey>,
    /// By what a client without a key will be known again: whoever shows the secret behind it is the same caller.
    pub verifier: Option<Verifier>,
    /// The hardware signal it gave.
    pub hardware_id: Option<HardwareId>,
    /// What it calls itself.
    pub hostname: Option<Hostname>,
    /// What sort of thing it says it is.
    pub kind: MachineKind,
    /// What else it says of itself.
    pub attributes: Attributes,
    /// Where it asked from.
    pub source: Option<IpAddr>,
    /// The join method it used.
    pub method: MethodName,
}

/// Why a person is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldReason {
    /// The site, the grant or the join method asks for approval.
    Approval,
    /// The hardware is known here under another key.
    KeyMismatch,
    /// The machine is known at another site.
    SiteMismatch,
    /// The hardware belongs to a machine that was retired.
    WasRemoved,
    /// The site has no seat left.
    Quota,
}

/// Where a hold stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldState {
    /// Waiting for a person.
    Open,
    /// A person let it in.
    Approved {
        /// As which machine.
        machine: MachineId,
        /// When.
        at: Timestamp,
        /// Who.
        by: Actor,
    },
    /// A person turned it away.
    Rejected {
        /// When.
        at: Timestamp,
        /// Who.
        by: Actor,
        /// What they said.
        reason: Option<ReasonText>,
    },
}

impl HoldReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Approval, Self::KeyMismatch, Self::SiteMismatch, Self::WasRemoved, Self::Quota];

    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::KeyMismatch => "key_mismatch",
            Self::SiteMismatch => "site_mismatch",
            Self::WasRemoved => "was_removed",
            Self::Quota => "quota",
        }
    }
}

impl HoldState {
    /// The name in wires and tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
        }
    }
}

impl Claimant {
    /// Whether both say the same name, from one network. Names of hosts are told apart by no case (RFC 1035 §2.3.3).
    fn is_said_alike(&self, other: &Self) -> bool {
        let name =
            |claimant: &Self| claimant.hostname.as_ref().map(|name| name.as_str().to_ascii_lowercase());
        name(self) == name(other) && self.source.map(network) == other.source.map(network)
    }
}

impl Hold {
    /// Whether it ended by itself. Rejections are remembered beyond it.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        matches!(self.state, HoldState::Open) && now >= self.expires_at
    }

    /// Whether a person may still decide it.
    pub fn is_open(&self, now: Timestamp) -> bool {
        matches!(self.state, HoldState::Open) && now < self.expires_at
    }

    /// Whether the same caller asks: the same key; without one the same secret; without that all that it says of itself,
    /// from the same network. One who left a verifier is nobody who left none or another, whatever hardware they name.
    pub fn is_by(&self, asking: &Claimant) -> bool {
        let mine = &self.claimant;
        let same_hardware = mine.hardware_id == asking.hardware_id;
        match (&mine.key, &asking.key) {
            (Some(mine), Some(asked)) => mine.fingerprint() == asked.fingerprint(),
            (None, None) => match (&mine.verifier, &asking.verifier) {
                (Some(mine), Some(asked)) => mine == asked && same_hardware,
                (None, None) => asking.hardware_id.is_some() && same_hardware && mine.is_said_alike(asking),
                _ => false,
            },
            _ => false,
        }
    }
}
