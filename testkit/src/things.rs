//! Things with sensible defaults. A test names what matters to it and takes the rest as it comes:
//! `Machine { hardware_id: None, ..kit.machine(&site) }`.

use muster_lifecycle::Context;
use muster_model::text::DisplayName;
use muster_model::{
    AccessKind, AccessToken, Account, Active, Actor, Attributes, Claimant, Credential, CredentialKind,
    CredentialState, Delivery, Entry, Grant, GrantKind, GrantState, Hold, HoldReason, HoldState,
    KeyAlgorithm, KeyRecord, KeyStanding, Labels, Machine, MachineKind, MachineState, Object, Operator,
    OperatorRole, Provenance, PublicKey, Reason, ReimagePolicy, SecretHash, SecretId, SignedDuration, Site,
    Tenant, TenantId, Timestamp, Uses, Wanted,
};

use crate::{Ids, counted_bytes};

/// Seconds after noon of 1 November 2026.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_793_534_400 + second).expect("a time of our century")
}

/// A public key that nobody has the other half of. The same number gives the same key.
pub fn public_key(number: u64) -> PublicKey {
    let mut spki = b"\x30\x59\x30\x13".to_vec();
    spki.extend_from_slice(&counted_bytes::<88>(number));
    PublicKey::new(KeyAlgorithm::P256, spki)
}

/// The stored halves of a secret.
pub fn secret_pair(number: u64) -> (SecretId, SecretHash) {
    (SecretId(counted_bytes(number)), SecretHash(counted_bytes(number)))
}

/// Makes things of one tenant, each with identifiers of its own.
#[derive(Debug)]
pub struct Kit {
    /// The tenant.
    pub tenant: TenantId,
    /// Where its identifiers come from.
    pub ids: Ids,
}

impl Default for Kit {
    fn default() -> Self {
        Self::numbered(0)
    }
}

impl Kit {
    /// One of several kits in a test: their things never have an identifier in common.
    pub fn numbered(number: u64) -> Self {
        let ids = Ids::after(number << 32);
        Self { tenant: ids.next(), ids }
    }

    /// The tenant itself.
    pub fn tenant(&self) -> Tenant {
        Tenant { id: self.tenant, code: text(&format!("tenant-{}", self.ids.count())), created_at: at(0) }
    }

    /// A site that asks nobody and bounds nothing.
    pub fn site(&self) -> Site {
        Site {
            id: self.ids.next(),
            tenant: self.tenant,
            code: text(&format!("site-{}", self.ids.count())),
            approval: false,
            requests: true,
            reimage: ReimagePolicy::Never,
            seats: None,
            hold_cap: 100,
            created_at: at(0),
        }
    }

    /// A token for one machine, live and without an end.
    pub fn grant(&self, site: &Site) -> Grant {
        let (secret, hash) = secret_pair(self.ids.count());
        Grant {
            id: self.ids.next(),
            tenant: self.tenant,
            site: site.id,
            kind: GrantKind::Token,
            secret,
            hash,
            imported: None,
            uses: Uses::Once(None),
            expires_at: None,
            labels: Labels::default(),
            role: None,
            machine_kind: None,
            approval: false,
            state: GrantState::Live,
            created_at: at(0),
        }
    }

    /// An active host with hardware of its own and no key.
    pub fn machine(&self, site: &Site) -> Machine {
        let number = self.ids.count();
        Machine {
            id: self.ids.next(),
            tenant: self.tenant,
            site: site.id,
            name: text(&format!("web-{number}")),
            hostname: Some(text(&format!("web-{number}.example.net"))),
            kind: MachineKind::Host,
            hardware_id: Some(text(&format!("hw_{number:016x}"))),
            key: None,
            generation: 1,
            role: None,
            labels: Labels::default(),
            attributes: Attributes::default(),
            grant: None,
            state: MachineState::Active(Active { since: at(0) }),
            created_at: at(0),
            enrolled_at: Some(at(0)),
            key_since: None,
            alarm: None,
            lineage: Default::default(),
        }
    }

    /// A key nobody used before: the current one of a machine.
    pub fn key(&self, machine: &Machine) -> KeyRecord {
        KeyRecord {
            key: public_key(self.ids.count()),
            machine: machine.id,
            generation: machine.generation,
            standing: KeyStanding::Current,
            ordered_at: None,
        }
    }

    /// A caller with a key of its own that nobody used before.
    pub fn claimant(&self) -> Claimant {
        let number = self.ids.count();
        Claimant {
            key: Some(public_key(number)),
            verifier: None,
            hardware_id: Some(text(&format!("hw_{number:016x}"))),
            hostname: Some(text(&format!("web-{number}.example.net"))),
            kind: MachineKind::Host,
            attributes: Attributes::new([("os", "Debian 13")]).expect("a well-formed map"),
            source: Some([192, 0, 2, 7].into()),
            method: text("token"),
        }
    }

    /// An open hold for approval that lasts a day.
    pub fn hold(&self, site: &Site) -> Hold {
        Hold {
            id: self.ids.next(),
            tenant: self.tenant,
            site: site.id,
            reason: HoldReason::Approval,
            claimant: self.claimant(),
            existing: None,
            grant: None,
            state: HoldState::Open,
            asked: 1,
            created_at: at(0),
            expires_at: at(86_400),
        }
    }

    /// A reserved bearer key for a day.
    pub fn credential(&self, machine: &Machine) -> Credential {
        let (secret, hash) = secret_pair(self.ids.count());
        Credential {
            id: self.ids.next(),
            tenant: self.tenant,
            machine: machine.id,
            generation: machine.generation,
            kind: CredentialKind::Bearer { secret, hash },
            not_before: at(0),
            not_after: at(0) + SignedDuration::from_hours(24),
            state: CredentialState::Reserved,
        }
    }

    /// Somebody who may do everything.
    pub fn operator(&self) -> Operator {
        Operator {
            id: self.ids.next(),
            tenant: self.tenant,
            name: text::<DisplayName>(&format!("operator {}", self.ids.count())),
            role: OperatorRole::Admin,
            disabled_at: None,
            password: None,
            second: None,
            created_at: at(0),
        }
    }

    /// A token for scripts that lasts a day.
    pub fn access_token(&self, operator: &Operator) -> AccessToken {
        let (secret, hash) = secret_pair(self.ids.count());
        AccessToken {
            id: self.ids.next(),
            tenant: self.tenant,
            operator: operator.id,
            kind: AccessKind::Api,
            name: text("deploys"),
            role: operator.role,
            secret,
            hash,
            created_at: at(0),
            expires_at: at(86_400),
            ended_at: None,
            scope: None,
            entrance: None,
        }
    }

    /// An account that is to be made.
    pub fn account(&self, machine: &Machine) -> Account {
        Account {
            id: self.ids.next(),
            tenant: self.tenant,
            machine: machine.id,
            provisioner: text("irc"),
            name: text("w-two"),
            wanted: Wanted::Live,
            version: 1,
            secret: 1,
            provenance: Provenance::Unknown,
            delivery: Delivery::Due { at: at(0), attempts: 0, last: None },
            created_at: at(0),
        }
    }

    /// An entry of the system about the deployment.
    pub fn entry(&self, action: &'static str) -> Entry {
        Entry {
            id: self.ids.next(),
            tenant: self.tenant,
            at: at(0),
            actor: Actor::System,
            action,
            object: Object::Deployment,
            reason: Reason("test"),
            source: None,
            detail: Vec::new(),
        }
    }

    /// The system at work, at a second after noon.
    pub fn context(&self, second: i64) -> Context {
        Context {
            tenant: self.tenant,
            actor: Actor::System,
            source: None,
            now: at(second),
            entry: self.ids.next(),
        }
    }
}

fn text<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("well-formed text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kits_have_nothing_in_common() {
        let (one, two) = (Kit::default(), Kit::numbered(1));
        let (a, b) = (one.site(), two.site());
        assert_ne!(one.tenant, two.tenant);
        assert_ne!(a.id, b.id);
        assert_ne!(one.machine(&a).hardware_id, two.machine(&b).hardware_id);
        assert_ne!(one.grant(&a).secret, two.grant(&b).secret);
        assert_ne!(one.key(&one.machine(&a)).key, two.key(&two.machine(&b)).key);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(at(60).to_string(), "2026-11-01T12:01:00Z");
    }
}
