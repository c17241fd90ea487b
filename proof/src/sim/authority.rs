//! The certificate authority of every world: made once, shared by every replica. It has no part in what is random.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, OnceLock};

use muster_issuer::{Authority, NewAuthority, SealKey};

/// The authority of this process.
pub(super) struct Home {
    authority: Authority,
}

impl Home {
    /// The one of this process.
    pub(super) fn shared() -> Arc<Self> {
        static HOME: OnceLock<Arc<Home>> = OnceLock::new();
        Arc::clone(HOME.get_or_init(|| Arc::new(Self::new())))
    }

    fn new() -> Self {
        let private = std::fs::Permissions::from_mode(0o700);
        let dir = tempfile::Builder::new().permissions(private).tempdir().expect("a temporary directory");
        let new = NewAuthority {
            trust_domain: "fleet.test".parse().expect("a trust domain"),
            now: muster_testkit::at(0),
        };
        let files = dir.path().join("ca");
        Authority::create(&files, &SealKey::Beside, &new).expect("an authority");
        Self { authority: Authority::open(&files, &SealKey::Beside).expect("the same authority") }
    }

    /// The authority, as each replica has it.
    pub(super) fn authority(&self) -> Authority {
        self.authority.clone()
    }
}
