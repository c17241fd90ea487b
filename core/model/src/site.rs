//! Tenants and their sites: where machines enroll into, and by which policy.

use jiff::Timestamp;

use crate::{SiteCode, SiteId, TenantId};

/// The isolation boundary. Owns everything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its identifier.
    pub id: TenantId,
    /// Its short name.
    pub code: SiteCode,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A named part of a tenant that machines enroll into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its identifier.
    pub id: SiteId,
    /// The tenant it is part of.
    pub tenant: TenantId,
    /// Its short name, unique in its tenant.
    pub code: SiteCode,
    /// Whether a person must approve each new machine.
    pub approval: bool,
    /// Whether machines may ask to enroll without any secret.
    pub requests: bool,
    /// What happens when known hardware comes back under another key.
    pub reimage: ReimagePolicy,
    /// The most machines that may live here at once.
    pub seats: Option<u32>,
    /// The most holds that may be open here at once.
    pub hold_cap: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// How full a site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SiteUse {
    /// Machines that are not retired.
    pub machines: u64,
    /// Holds that are open and not expired.
    pub open_holds: u64,
    /// Those of them that somebody without a grant opened from the network that asks; not counted for whoever has one.
    pub from_network: u64,
}

/// What happens when known hardware comes back under another key, with nobody's word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReimagePolicy {
    /// A person decides, always.
    Never,
    /// A person decides, but for a client without a key that comes by a token of its own: that one may come back as under
    /// `OfflineOnly`.
    KeylessOnly,
    /// It may rejoin when the known machine has been silent for an hour and enrolled over an hour ago.
    OfflineOnly,
    /// As `OfflineOnly`, and only under the same hostname.
    SameName,
}

impl ReimagePolicy {
    /// Every policy.
    pub const ALL: [Self; 4] = [Self::Never, Self::KeylessOnly, Self::OfflineOnly, Self::SameName];

    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::KeylessOnly => "keyless_only",
            Self::OfflineOnly => "offline_only",
            Self::SameName => "same_name",
        }
    }
}

impl std::str::FromStr for ReimagePolicy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or("is not one of never, keyless_only, offline_only, same_name")
    }
}

/// What people see of a generation of a site's enrollment key: `v3 (7F2A)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnrollmentKey {
    /// Counts from one at each site.
    pub version: u32,
    /// The first four hexadecimal digits of the key's SHA-256, where the key was ever shown.
    pub fingerprint: Option<[u8; 2]>,
}

impl EnrollmentKey {
    /// The fingerprint as people read it: `7F2A`.
    pub fn code(&self) -> String {
        self.fingerprint
            .map_or_else(|| "????".to_owned(), |[first, second]| format!("{first:02X}{second:02X}"))
    }
}

impl std::fmt::Display for EnrollmentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "v{} ({})", self.version, self.code())
    }
}
