//! What a door accepted as proved.

use crate::{CredentialId, GrantId, SecretHash, SiteCode};

/// What a door accepted as proved. A claim permits nothing: the grant behind it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The join method that judged it.
    pub method: &'static str,
    /// What the caller showed itself entitled to.
    pub entitlement: Entitlement,
}

/// What the caller showed itself entitled to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entitlement {
    /// It holds the secret of this grant.
    Grant {
        /// Which.
        id: GrantId,
        /// The hash that was compared: settles whether the grant still has the same secret when it is drawn on.
        hash: SecretHash,
    },
    /// It holds the secret of this credential of a machine.
    Credential {
        /// Which.
        id: CredentialId,
        /// The hash that was compared.
        hash: SecretHash,
    },
    /// It has shown nothing and asks a person. The code is where it would like to be; `None`: the only site.
    Nothing {
        /// The site it names.
        site: Option<SiteCode>,
    },
}
