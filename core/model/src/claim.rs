//! What a door accepted as proved.

use std::net::{IpAddr, Ipv6Addr};

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

/// Where somebody counts as coming from: whoever has one address of an IPv6 /64 has them all.
pub fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => {
            Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into()
        }
        IpAddr::V6(_) | IpAddr::V4(_) => source,
    }
}
