//! What the tests share: a time, an authority in a private directory, requests of machines.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use muster_issuer::{Authority, MachineTemplate, NewAuthority, SealKey, TrustDomain};
use muster_model::{CredentialId, MachineId, SignedDuration, TenantId, Timestamp};
use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("in range")
}

pub(crate) fn trust_domain() -> TrustDomain {
    "fleet.example".parse().expect("a trust domain")
}

pub(crate) struct World {
    root: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let private = std::fs::Permissions::from_mode(0o700);
        let root = tempfile::Builder::new().permissions(private).tempdir().expect("a temporary directory");
        Self { root }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("ca")
    }

    pub(crate) fn create(&self) -> Authority {
        Authority::create(&self.dir(), &SealKey::Beside, &new_authority()).expect("a new authority")
    }
}

pub(crate) fn new_authority() -> NewAuthority {
    NewAuthority { trust_domain: trust_domain(), now: now() }
}

pub(crate) fn template() -> MachineTemplate {
    MachineTemplate {
        serial: CredentialId::new(1_763_000_000_000, [9; 10]),
        tenant: TenantId::new(1, [1; 10]),
        machine: MachineId::new(2, [2; 10]),
        not_before: now() - SignedDuration::from_mins(10),
        not_after: now() + SignedDuration::from_hours(24),
    }
}

pub(crate) fn key_pair(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).expect("a key pair")
}

pub(crate) fn csr(key: &KeyPair, params: &CertificateParams) -> Vec<u8> {
    params.serialize_request(key).expect("a request").der().to_vec()
}
