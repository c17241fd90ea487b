//! Entries of the audit log: who did what to which object, why, from where, when.
//!
//! Client values appear in an entry as data in `detail`, already bounded and printable by their types, and can
//! never make an entry fail.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::{
    AccessTokenId, AccountId, AuditId, CredentialId, GrantId, HoldId, MachineId, OperatorId, SiteId, TenantId,
};

/// One act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its identifier.
    pub id: AuditId,
    /// The tenant it happened in.
    pub tenant: TenantId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What, as `noun.verb`.
    pub action: &'static str,
    /// To what.
    pub object: Object,
    /// Why, or with which outcome.
    pub reason: Reason,
    /// From where.
    pub source: Option<IpAddr>,
    /// What else a reader wants to know, in order.
    pub detail: Vec<(&'static str, String)>,
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// An operator, through a token or session or the local socket.
    Operator(OperatorId),
    /// A machine that proved its identity.
    Machine(MachineId),
    /// Somebody who has shown no identity yet.
    Anonymous,
    /// Muster itself.
    System,
}

/// What something was done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Object {
    /// The deployment as a whole.
    Deployment,
    /// A tenant.
    Tenant(TenantId),
    /// A site.
    Site(SiteId),
    /// A grant.
    Grant(GrantId),
    /// A machine.
    Machine(MachineId),
    /// A hold.
    Hold(HoldId),
    /// A credential.
    Credential(CredentialId),
    /// An operator.
    Operator(OperatorId),
    /// A token or session of an operator.
    AccessToken(AccessTokenId),
    /// An account of a machine in another system.
    Account(AccountId),
}

/// The stable code of why, or with which outcome, something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(pub &'static str);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator(id) => id.fmt(f),
            Self::Machine(id) => id.fmt(f),
            Self::Anonymous => f.write_str("anonymous"),
            Self::System => f.write_str("system"),
        }
    }
}

impl std::str::FromStr for Actor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "anonymous" => Ok(Self::Anonymous),
            "system" => Ok(Self::System),
            _ => text.parse().map(Self::Operator).or_else(|_| text.parse().map(Self::Machine)).or(Err(())),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployment => f.write_str("deployment"),
            Self::Tenant(id) => id.fmt(f),
            Self::Site(id) => id.fmt(f),
            Self::Grant(id) => id.fmt(f),
            Self::Machine(id) => id.fmt(f),
            Self::Hold(id) => id.fmt(f),
            Self::Credential(id) => id.fmt(f),
            Self::Operator(id) => id.fmt(f),
            Self::AccessToken(id) => id.fmt(f),
            Self::Account(id) => id.fmt(f),
        }
    }
}
