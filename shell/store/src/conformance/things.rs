//! Things to write: of each kind one for each state it can be in, with every field filled somewhere and empty elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};

use muster_lifecycle::{Change, MachineChange, SiteChange, TenantChange};
use muster_model::engagement::{Draft, RateLimit};
use muster_model::id::Draw;
use muster_model::{
    AccessKind, AccessToken, Account, Active, Actor, AgentRole, Alarm, Attributes, AuditId, Binding,
    Claimant, Credential, CredentialKind, CredentialState, Delivery, EndReason, Engagement,
    EngagementVersion, Entry, Evidence, Grant, GrantKind, GrantState, Hold, HoldReason, HoldState,
    KeyAlgorithm, KeyFingerprint, KeyRecord, KeyStanding, Labels, Lineage, Machine, MachineKind,
    MachineState, Minted, Mishap, MishapKind, Object, Operator, OperatorRole, Pending, Provenance, PublicKey,
    Reason, ReimagePolicy, RetireCause, Retired, SecretHash, SecretId, Site, SoftwareAgent, SuspendCause,
    Suspended, Tenant, TenantId, Timestamp, Uses, Verifier, Wanted,
};

use super::decisions::write;
use crate::Store;

/// Makes things of one tenant. Identifiers rise in the order in which they are drawn.
pub(super) struct Things {
    pub(super) tenant: TenantId,
    count: AtomicU64,
}

/// A time, in milliseconds after the start of the test's calendar.
pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_793_534_400_123 + millis).expect("a time of our century")
}

pub(super) fn text<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("well-formed text")
}

fn bytes<const N: usize>(count: u64) -> [u8; N] {
    let mut bytes = [0xa5; N];
    let shown = N.min(8);
    bytes[N - shown..].copy_from_slice(&count.to_be_bytes()[8 - shown..]);
    bytes
}

pub(super) fn public_key(count: u64) -> PublicKey {
    let algorithm = if count.is_multiple_of(2) { KeyAlgorithm::P256 } else { KeyAlgorithm::Ed25519 };
    PublicKey::new(algorithm, bytes::<91>(count).to_vec())
}

impl Things {
    /// Of a tenant of their own; each number gives things that no other gives.
    pub(super) fn numbered(number: u64) -> Self {
        let count = AtomicU64::new(number << 32);
        let mut things = Self { tenant: TenantId::from_bytes([0; 16]), count };
        things.tenant = things.id();
        things
    }

    /// With the tenant and a site in the store.
    pub(super) async fn in_store<S: Store>(store: &S, number: u64) -> (Self, Site) {
        let things = Self::numbered(number);
        let site = things.site();
        let tenant = TenantChange::Create(things.tenant());
        write(store, &things, vec![tenant.into(), SiteChange::Create(site.clone()).into()]).await;
        (things, site)
    }

    pub(super) fn count(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn id<T: Draw>(&self) -> T {
        let count = self.count();
        T::draw(1_793_534_400_000 + count, bytes(count))
    }

    pub(super) fn fingerprint(&self) -> KeyFingerprint {
        public_key(self.count()).fingerprint()
    }

    pub(super) fn secret(&self) -> (SecretId, SecretHash) {
        let count = self.count();
        (SecretId(bytes(count)), SecretHash(bytes(count)))
    }

    pub(super) fn entry(&self) -> Entry {
        Entry {
            id: self.id::<AuditId>(),
            tenant: self.tenant,
            at: at(0),
            actor: Actor::System,
            action: "test.write",
            object: Object::Tenant(self.tenant),
            reason: Reason("test"),
            source: None,
            detail: Vec::new(),
        }
    }

    pub(super) fn tenant(&self) -> Tenant {
        Tenant { id: self.tenant, code: text(&format!("tenant-{}", self.count())), created_at: at(-5) }
    }

    pub(super) fn site(&self) -> Site {
        Site {
            id: self.id(),
            tenant: self.tenant,
            code: text(&format!("site-{}", self.count())),
            approval: true,
            requests: false,
            reimage: ReimagePolicy::SameName,
            seats: Some(u32::MAX),
            hold_cap: 7,
            created_at: at(-4),
        }
    }

    pub(super) fn grant(&self, site: &Site) -> Grant {
        let (secret, hash) = self.secret();
        Grant {
            id: self.id(),
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
            created_at: at(-3),
        }
    }

    /// Grants of each kind, use and state.
    pub(super) fn grants(&self, site: &Site) -> Vec<Grant> {
        let plain = || self.grant(site);
        let site_key = GrantKind::SiteKey { version: 3, fingerprint: Some([0x7f, 0x2a]) };
        let keyless = Binding { key: None, at: at(1) };
        let keyed = Binding { key: Some(self.fingerprint()), at: at(2) };
        vec![
            Grant {
                expires_at: Some(at(99)),
                labels: labels(),
                role: Some(text("db")),
                machine_kind: Some(MachineKind::Worker),
                approval: true,
                ..plain()
            },
            Grant { uses: Uses::Once(Some(keyless)), state: GrantState::Revoked(at(3)), ..plain() },
            Grant { uses: Uses::Once(Some(keyed)), kind: GrantKind::Machine(self.id()), ..plain() },
            Grant { uses: Uses::Capped { limit: u32::MAX, used: 0 }, ..plain() },
            Grant { uses: Uses::Unlimited, kind: site_key, state: GrantState::RotatedOut(at(4)), ..plain() },
        ]
    }

    pub(super) fn machine(&self, site: &Site) -> Machine {
        let count = self.count();
        Machine {
            id: self.id(),
            tenant: self.tenant,
            site: site.id,
            name: text(&format!("web-{count}")),
            hostname: None,
            kind: MachineKind::Host,
            hardware_id: Some(text(&format!("hw_{count:012x}"))),
            key: None,
            generation: 1,
            role: None,
            labels: Labels::default(),
            attributes: Attributes::default(),
            grant: None,
            state: MachineState::Active(Active { since: at(1) }),
            created_at: at(0),
            enrolled_at: None,
            key_since: None,
            alarm: None,
            lineage: Default::default(),
        }
    }

    /// Machines in each state, for each reason, of each kind.
    pub(super) fn machines(&self, site: &Site) -> Vec<Machine> {
        let since = at(6);
        let said = || Some(text("moved to the other rack"));
        let suspended = |cause| MachineState::Suspended(Suspended { since, cause });
        let retired = |cause| MachineState::Retired(Retired { since, cause, readmit: None });
        let states = [
            MachineState::Pending(Pending { since }),
            MachineState::Active(Active { since }),
            suspended(SuspendCause::Operator(said())),
            suspended(SuspendCause::Operator(None)),
            suspended(SuspendCause::Probation),
            suspended(SuspendCause::Silent),
            suspended(SuspendCause::Quarantine),
            suspended(SuspendCause::Revoked(said())),
            suspended(SuspendCause::Revoked(None)),
            retired(RetireCause::Operator(said())),
            retired(RetireCause::Operator(None)),
            retired(RetireCause::Left),
            retired(RetireCause::Silent),
            MachineState::Retired(Retired { since, cause: RetireCause::Left, readmit: Some(at(8)) }),
        ];
        let bare = states.into_iter().zip(MachineKind::ALL.into_iter().cycle());
        let mut machines: Vec<Machine> =
            bare.map(|(state, kind)| Machine { state, kind, ..self.machine(site) }).collect();
        machines.push(Machine {
            hostname: Some(text("größe.example.net")),
            hardware_id: None,
            key: Some(self.fingerprint()),
            generation: u32::MAX,
            role: Some(text("db")),
            labels: labels(),
            attributes: attributes(),
            grant: Some(self.id()),
            enrolled_at: Some(at(7)),
            key_since: Some(at(8)),
            alarm: Some(Alarm { at: at(9), evidence: Evidence::BaseSkipped }),
            lineage: Lineage {
                at: Some(at(7)),
                source: Some(std::net::IpAddr::from([192, 0, 2, 7])),
                approved_by: Some(Actor::Operator(self.id())),
                grant: Some(self.id()),
            },
            ..self.machine(site)
        });
        machines
    }

    pub(super) fn key(&self, machine: &Machine) -> KeyRecord {
        KeyRecord {
            key: public_key(self.count()),
            machine: machine.id,
            generation: machine.generation,
            standing: KeyStanding::Current,
            ordered_at: None,
        }
    }

    pub(super) fn hold(&self, site: &Site) -> Hold {
        Hold {
            id: self.id(),
            tenant: self.tenant,
            site: site.id,
            reason: HoldReason::Approval,
            claimant: Claimant {
                key: Some(public_key(self.count())),
                verifier: None,
                hardware_id: None,
                hostname: None,
                kind: MachineKind::Host,
                attributes: Attributes::default(),
                source: None,
                method: text("token"),
            },
            existing: None,
            grant: None,
            state: HoldState::Open,
            asked: 1,
            created_at: at(0),
            expires_at: at(1000),
        }
    }

    /// Holds for each reason, in each state, by callers with and without a key.
    pub(super) fn holds(&self, site: &Site) -> Vec<Hold> {
        let by = Actor::Operator(self.id());
        let states = [
            HoldState::Open,
            HoldState::Approved { machine: self.id(), at: at(8), by },
            HoldState::Rejected { at: at(9), by: Actor::System, reason: Some(text("unknown rack")) },
            HoldState::Rejected { at: at(9), by, reason: None },
            HoldState::Open,
        ];
        let reasons = HoldReason::ALL.into_iter().zip(states);
        let mut holds: Vec<Hold> =
            reasons.map(|(reason, state)| Hold { reason, state, ..self.hold(site) }).collect();
        let claimant = Claimant {
            key: None,
            verifier: None,
            hardware_id: Some(text("hw_of_a_caller_without_a_key")),
            hostname: Some(text("lab 7")),
            kind: MachineKind::SoftwareAgent,
            attributes: attributes(),
            source: Some("2001:db8::7".parse().expect("an address")),
            method: text("request"),
        };
        let verifier = Some(Verifier::from_bytes([7; 32]));
        let by_secret = Claimant { verifier, ..claimant.clone() };
        let existing = Some(self.id());
        holds.push(Hold { claimant, existing, grant: Some(self.id()), ..self.hold(site) });
        holds.push(Hold { claimant: by_secret, asked: 3, ..self.hold(site) });
        holds
    }

    pub(super) fn credential(&self, machine: &Machine) -> Credential {
        let (secret, hash) = self.secret();
        Credential {
            id: self.id(),
            tenant: self.tenant,
            machine: machine.id,
            generation: machine.generation,
            kind: CredentialKind::Bearer { secret, hash },
            not_before: at(-10),
            not_after: at(86_400_000),
            state: CredentialState::Reserved,
        }
    }

    /// Credentials of each kind in each state.
    pub(super) fn credentials(&self, machine: &Machine) -> Vec<Credential> {
        let ended = |reason| CredentialState::Ended { at: at(11), reason };
        let bearer = |state| Credential { state, ..self.credential(machine) };
        let certificate = |state| Credential {
            kind: CredentialKind::Certificate { key: self.fingerprint() },
            state,
            ..self.credential(machine)
        };
        let refresh = |state| {
            let (secret, hash) = self.secret();
            let kind = CredentialKind::Refresh { secret, hash };
            Credential { kind, state, ..self.credential(machine) }
        };
        let mut credentials: Vec<Credential> =
            EndReason::ALL.into_iter().map(|reason| bearer(ended(reason))).collect();
        credentials.extend([
            bearer(CredentialState::Reserved),
            bearer(CredentialState::Issued(Minted::Bearer)),
            certificate(CredentialState::Reserved),
            certificate(CredentialState::Issued(Minted::Certificate(vec![0x30, 0x82, 0x00, 0xff]))),
            refresh(CredentialState::Issued(Minted::Refresh { used_at: None })),
            refresh(CredentialState::Issued(Minted::Refresh { used_at: Some(at(12)) })),
            refresh(CredentialState::Issued(Minted::Refresh { used_at: None })),
            certificate(ended(EndReason::Revoked)),
        ]);
        credentials
    }

    pub(super) fn agent(&self, machine: &Machine, nick: &str) -> SoftwareAgent {
        SoftwareAgent {
            tenant: self.tenant,
            machine: machine.id,
            nick: text(nick),
            role: AgentRole::Worker,
            team: None,
            skills: vec![text("go"), text("größe \"x\"")],
            version: 1,
            freed_at: None,
        }
    }

    /// The version of an agent's engagement that is in force.
    pub(super) fn engagement(&self, agent: &SoftwareAgent) -> EngagementVersion {
        let draft = Draft {
            channels: vec!["#general".to_owned()],
            rate_limit: RateLimit { messages_per_second: 0.1, burst: 3 },
            system_prompt: "a <b>\n\"c\"".to_owned(),
            temperature: Some(0.7),
            ..Draft::default()
        };
        EngagementVersion {
            tenant: agent.tenant,
            machine: agent.machine,
            version: agent.version,
            engagement: Engagement::new(draft).expect("a well-formed engagement"),
            author: Actor::Operator(self.id()),
            at: at(12),
            acknowledged_at: None,
        }
    }

    /// An account that is to be made.
    pub(super) fn account(&self, machine: &Machine) -> Account {
        let count = self.count();
        Account {
            id: self.id(),
            tenant: self.tenant,
            machine: machine.id,
            provisioner: text("irc"),
            name: text(&format!("Agent-{count}")),
            wanted: Wanted::Live,
            version: 1,
            secret: 1,
            provenance: Provenance::Unknown,
            delivery: Delivery::Due { at: at(0), attempts: 0, last: None },
            created_at: at(0),
        }
    }

    /// An account in each of its deliveries.
    pub(super) fn accounts(&self, machine: &Machine) -> Vec<Account> {
        let mishap = |text| Mishap { kind: MishapKind::Failed, text };
        let said = Some(mishap(Some(text("no such thing, it said"))));
        let deliveries = [
            (Wanted::Live, Delivery::Due { at: at(9), attempts: 0, last: None }),
            (Wanted::Locked, Delivery::Due { at: at(3), attempts: 7, last: said }),
            (Wanted::Live, Delivery::Done { at: at(4) }),
            (Wanted::Locked, Delivery::Done { at: at(4) }),
            (Wanted::Live, Delivery::Conflict { at: at(5) }),
            (Wanted::Locked, Delivery::Dead { at: at(6), attempts: u32::MAX, last: mishap(None) }),
        ];
        let provenances = Provenance::ALL.into_iter().cycle();
        let account = |((wanted, delivery), provenance)| Account {
            wanted,
            delivery,
            provenance,
            version: 3,
            secret: 2,
            ..self.account(machine)
        };
        deliveries.into_iter().zip(provenances).map(account).collect()
    }

    pub(super) fn operator(&self) -> Operator {
        Operator {
            id: self.id(),
            tenant: self.tenant,
            name: text(&format!("Ada Lovelace {}", self.count())),
            role: OperatorRole::Operator,
            created_at: at(0),
            disabled_at: None,
            password: None,
            second: None,
        }
    }

    pub(super) fn token(&self, operator: &Operator, kind: AccessKind) -> AccessToken {
        let (secret, hash) = self.secret();
        AccessToken {
            id: self.id(),
            tenant: self.tenant,
            operator: operator.id,
            kind,
            name: text("deploys"),
            role: OperatorRole::Viewer,
            secret,
            hash,
            created_at: at(0),
            expires_at: at(3_600_000),
            ended_at: None,
            scope: None,
            entrance: None,
        }
    }
}

fn labels() -> Labels {
    Labels::new([("env", "prod"), ("rack", "b-12"), ("empty", "")]).expect("well-formed labels")
}

fn attributes() -> Attributes {
    Attributes::new([("os", "Debian \"13\" \\ ütf"), ("agent", "0.1.0")]).expect("well-formed attributes")
}

/// The change that makes a machine.
pub(super) fn created(machine: &Machine) -> Change {
    MachineChange::Create(machine.clone()).into()
}

/// The change that makes a machine what it is here.
pub(super) fn updated(machine: &Machine) -> Change {
    MachineChange::Update(machine.clone()).into()
}
