//! People and scripts that use the management API, and what they show to prove it.

use jiff::Timestamp;

use crate::text::DisplayName;
use crate::{AccessTokenId, OperatorId, SecretHash, SecretId, TenantId};

/// A person or script that uses the management API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Its identifier.
    pub id: OperatorId,
    /// The tenant it works in.
    pub tenant: TenantId,
    /// What people call it.
    pub name: DisplayName,
    /// What it may do.
    pub role: OperatorRole,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperatorRole {
    /// Look.
    Viewer,
    /// Look, and run the fleet.
    Operator,
    /// Everything.
    Admin,
}

/// A token, session or login link of an operator. Its rights never exceed its operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Its identifier.
    pub id: AccessTokenId,
    /// The tenant it works in.
    pub tenant: TenantId,
    /// Whose it is.
    pub operator: OperatorId,
    /// What it is.
    pub kind: AccessKind,
    /// What it is for, in its maker's words.
    pub name: DisplayName,
    /// What it may do, at most.
    pub role: OperatorRole,
    /// Selects the row.
    pub secret: SecretId,
    /// Proves it.
    pub hash: SecretHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was ended or, for a login link, spent.
    pub ended_at: Option<Timestamp>,
}

/// What sort of token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessKind {
    /// For scripts.
    Api,
    /// Opens one session, once.
    Login,
    /// A browser's session.
    Session,
}

impl AccessKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Api, Self::Login, Self::Session];

    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Login => "login",
            Self::Session => "session",
        }
    }
}

impl OperatorRole {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for OperatorRole {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|r| r.as_str() == text).ok_or("is not one of viewer, operator, admin")
    }
}

impl AccessToken {
    /// Whether it still opens anything.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }
}
