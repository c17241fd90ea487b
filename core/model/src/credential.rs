//! Issued things with an end: certificates, bearer keys and refresh tokens of machines.
//!
//! A credential is `Reserved` in the same transaction that decides it, minted outside any transaction, and `Issued`
//! once what was minted is durable. A reserved credential authenticates nobody.

use jiff::Timestamp;

use crate::{CredentialId, KeyFingerprint, MachineId, SecretHash, SecretId, TenantId};

/// The record of an issued thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its identifier; for certificates also the serial number.
    pub id: CredentialId,
    /// The tenant of its machine.
    pub tenant: TenantId,
    /// Whose it is.
    pub machine: MachineId,
    /// The generation of the machine it belongs to.
    pub generation: u32,
    /// What it is.
    pub kind: CredentialKind,
    /// Start of its life.
    pub not_before: Timestamp,
    /// End of its life.
    pub not_after: Timestamp,
    /// Where it stands.
    pub state: CredentialState,
}

/// What a credential is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKind {
    /// An X.509 certificate for this key. Its serial number is the sixteen bytes of the credential's identifier.
    Certificate {
        /// The certified key.
        key: KeyFingerprint,
    },
    /// A bearer key of which only the hash is kept.
    Bearer {
        /// Selects the row.
        secret: SecretId,
        /// Proves the right to it.
        hash: SecretHash,
    },
    /// A refresh token of which only the hash is kept. What is issued beside it counts while it does.
    Refresh {
        /// Selects the row.
        secret: SecretId,
        /// Proves the right to it.
        hash: SecretHash,
    },
}

/// Where a credential stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialState {
    /// Decided and durable, not yet minted.
    Reserved,
    /// Minted and durable: it may leave the house and authenticates until its end.
    Issued(Minted),
    /// Ended before its time.
    Ended {
        /// When.
        at: Timestamp,
        /// Why.
        reason: EndReason,
    },
}

/// What was made for a reserved credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Minted {
    /// The DER certificate, kept so that a repeated request gets the same one.
    Certificate(Vec<u8>),
    /// A bearer key leaves nothing behind but its hash.
    Bearer,
    /// Nor does a refresh token.
    Refresh {
        /// When it, or what was issued beside it, was used first: its holder has it then.
        used_at: Option<Timestamp>,
    },
}

/// Why a credential ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// A newer one for the same key took its place.
    Renewed,
    /// A newer generation of the machine took its place.
    Superseded,
    /// An operator ended it.
    Revoked,
    /// Its machine was ended.
    Retired,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Renewed, Self::Superseded, Self::Revoked, Self::Retired];

    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Superseded => "superseded",
            Self::Revoked => "revoked",
            Self::Retired => "retired",
        }
    }
}

impl CredentialKind {
    /// Selects the row of one that is presented as a secret.
    pub fn secret(&self) -> Option<SecretId> {
        match self {
            Self::Bearer { secret, .. } | Self::Refresh { secret, .. } => Some(*secret),
            Self::Certificate { .. } => None,
        }
    }

    /// Proves the right to one that is presented as a secret.
    pub fn hash(&self) -> Option<SecretHash> {
        match self {
            Self::Bearer { hash, .. } | Self::Refresh { hash, .. } => Some(*hash),
            Self::Certificate { .. } => None,
        }
    }
}

impl Credential {
    /// Whether it is neither reserved only, nor ended, nor past its life. Says nothing of its machine.
    pub fn is_live(&self, now: Timestamp) -> bool {
        matches!(self.state, CredentialState::Issued(_)) && self.not_before <= now && now < self.not_after
    }

    /// Whether it is a certificate for this key.
    pub fn certifies(&self, key: KeyFingerprint) -> bool {
        matches!(self.kind, CredentialKind::Certificate { key: certified } if certified == key)
    }

    /// Whether it has not been ended; it may be reserved or past its life.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, CredentialState::Ended { .. })
    }
}
