//! The stored permission that an enrollment token draws on.

use jiff::Timestamp;

use crate::{
    GrantId, ImportedHash, KeyFingerprint, Labels, MachineId, MachineKind, Role, SecretHash, SecretId,
    SiteId, TenantId,
};

/// A permission to enroll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its identifier.
    pub id: GrantId,
    /// The tenant its machines belong to.
    pub tenant: TenantId,
    /// The site its machines belong to.
    pub site: SiteId,
    /// What made it.
    pub kind: GrantKind,
    /// Selects the row when its token is presented.
    pub secret: SecretId,
    /// Proves the token.
    pub hash: SecretHash,
    /// What proves the token instead, until somebody showed it: then its own hash takes this one's place. Only a key that
    /// was brought from another server has it, while it stands.
    pub imported: Option<ImportedHash>,
    /// How often it may be drawn on, and how often it was.
    pub uses: Uses,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Stamped on its machines.
    pub labels: Labels,
    /// Stamped on its machines.
    pub role: Option<Role>,
    /// The only kind of machine it admits, if it names one.
    pub machine_kind: Option<MachineKind>,
    /// Whether a person must approve each of its machines.
    pub approval: bool,
    /// Whether it still stands.
    pub state: GrantState,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What made a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantKind {
    /// An operator, for whoever holds the token.
    Token,
    /// A generation of a site's reusable enrollment key.
    SiteKey {
        /// Counts from one at each site.
        version: u32,
        /// The first four hexadecimal digits of the key's SHA-256; of a key that was brought from another server perhaps not
        /// known before somebody showed it.
        fingerprint: Option<[u8; 2]>,
    },
    /// An operator, for one pending machine.
    Machine(MachineId),
}

/// How often a grant may be drawn on, and how often it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uses {
    /// Once, by the key that comes first; for that key for ever.
    Once(Option<Binding>),
    /// At most `limit` times, counted once per key.
    Capped {
        /// The most.
        limit: u32,
        /// So far.
        used: u32,
    },
    /// As often as anybody likes. Not counted: a fleet-wide counter would be one hot row.
    Unlimited,
}

/// The key that spent a one-time token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Which; `None` for a client that has no key of its own.
    pub key: Option<KeyFingerprint>,
    /// When.
    pub at: Timestamp,
}

/// Whether a grant still stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantState {
    /// It does.
    Live,
    /// A newer generation of the site's key took its place.
    RotatedOut(Timestamp),
    /// An operator ended it.
    Revoked(Timestamp),
}

impl Grant {
    /// Whether somebody who has not drawn on it before may do so now.
    pub fn admits(&self, now: Timestamp) -> bool {
        matches!(self.state, GrantState::Live)
            && self.expires_at.is_none_or(|end| now < end)
            && self.has_uses_left()
    }

    /// Whether this key spent this one-time token earlier. A client without a key cannot prove that it did.
    pub fn is_bound_to(&self, key: Option<KeyFingerprint>) -> bool {
        matches!(self.uses, Uses::Once(Some(Binding { key: Some(bound), .. })) if Some(bound) == key)
    }

    /// Whether one more may draw on it.
    pub fn has_uses_left(&self) -> bool {
        match self.uses {
            Uses::Once(binding) => binding.is_none(),
            Uses::Capped { limit, used } => used < limit,
            Uses::Unlimited => true,
        }
    }

    /// The uses after one more draw, or `None` where drawing changes nothing.
    pub fn drawn(&self, key: Option<KeyFingerprint>, now: Timestamp) -> Option<Uses> {
        match self.uses {
            Uses::Once(None) => Some(Uses::Once(Some(Binding { key, at: now }))),
            Uses::Capped { limit, used } => Some(Uses::Capped { limit, used: used + 1 }),
            Uses::Once(Some(_)) | Uses::Unlimited => None,
        }
    }
}

impl GrantState {
    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::RotatedOut(_) => "rotated_out",
            Self::Revoked(_) => "revoked",
        }
    }
}
