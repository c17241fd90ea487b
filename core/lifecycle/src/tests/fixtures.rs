//! Small well-formed rows to start a test from, and a short way to say which rows a plan writes.

use muster_model::text::DisplayName;
use muster_model::{
    AccessKind, AccessToken, AccessTokenId, Active, Actor, Attributes, AuditId, Binding, Claim, Claimant,
    Credential, CredentialId, CredentialKind, CredentialState, EndReason, Entitlement, Entry, Grant, GrantId,
    GrantKind, GrantState, HardwareId, Hold, HoldId, HoldReason, HoldState, KeyAlgorithm, KeyFingerprint,
    KeyRecord, KeyStanding, Labels, Machine, MachineId, MachineKind, MachineState, Minted, OperatorId,
    OperatorRole, Pending, Presence, PublicKey, ReimagePolicy, RetireCause, Retired, SecretHash, SecretId,
    SignedDuration, Site, SiteId, SuspendCause, Suspended, TenantId, Timestamp, Uses,
};

use crate::enroll::{Facts, Fresh, Known, Outcome, Request, decide};
use crate::fork::{OnCopy, Watch};
use crate::plan::{
    AccessChange, AccountChange, AgentChange, Change, Context, CredentialChange, DeploymentChange,
    GrantChange, HoldChange, KeyChange, MachineChange, MemoryChange, Plan, SiteChange, TenantChange,
};
use crate::terms::Terms;

pub(crate) const HOUR: SignedDuration = SignedDuration::from_hours(1);
pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The present of every test.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time in range")
}

pub(crate) fn ago(time: SignedDuration) -> Timestamp {
    now() - time
}

pub(crate) fn tenant_id() -> TenantId {
    TenantId::from_bytes([1; 16])
}

pub(crate) fn site_id(n: u8) -> SiteId {
    SiteId::from_bytes([n; 16])
}

pub(crate) fn machine_id(n: u8) -> MachineId {
    MachineId::from_bytes([n; 16])
}

pub(crate) fn grant_id(n: u8) -> GrantId {
    GrantId::from_bytes([n; 16])
}

pub(crate) fn hold_id(n: u8) -> HoldId {
    HoldId::from_bytes([n; 16])
}

pub(crate) fn credential_id(n: u8) -> CredentialId {
    CredentialId::from_bytes([n; 16])
}

pub(crate) fn operator() -> Actor {
    Actor::Operator(OperatorId::from_bytes([1; 16]))
}

pub(crate) fn public_key(n: u8) -> PublicKey {
    PublicKey::new(KeyAlgorithm::P256, vec![n; 8])
}

pub(crate) fn key(n: u8) -> KeyFingerprint {
    public_key(n).fingerprint()
}

pub(crate) fn hardware(n: u8) -> HardwareId {
    format!("hw_{n}").parse().expect("a printable text")
}

pub(crate) fn hash(n: u8) -> SecretHash {
    SecretHash([n; 32])
}

pub(crate) fn text<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a text that its type takes")
}

pub(crate) fn context(now: Timestamp, actor: Actor) -> Context {
    Context { tenant: tenant_id(), actor, source: None, now, entry: AuditId::from_bytes([7; 16]) }
}

/// What is done about a copy, by this policy.
pub(crate) fn watch(on_copy: OnCopy) -> Watch {
    Watch { on_copy, alarm: AuditId::from_bytes([8; 16]) }
}

pub(crate) fn by_operator() -> Context {
    context(now(), operator())
}

/// A site where a token is enough, hardware never rejoins by itself and nothing is scarce.
pub(crate) fn site(n: u8) -> Site {
    Site {
        id: site_id(n),
        tenant: tenant_id(),
        code: text(&format!("site-{n}")),
        approval: false,
        requests: false,
        reimage: ReimagePolicy::Never,
        seats: None,
        hold_cap: 10,
        created_at: ago(DAY),
    }
}

/// A grant of the first site that stamps a role and a label and is never used up.
pub(crate) fn grant(n: u8) -> Grant {
    Grant {
        id: grant_id(n),
        tenant: tenant_id(),
        site: site_id(1),
        kind: GrantKind::Token,
        secret: SecretId([n; 10]),
        hash: hash(n),
        imported: None,
        uses: Uses::Unlimited,
        expires_at: Some(now() + DAY),
        labels: Labels::new([("rack", "r1")]).expect("a valid label"),
        role: Some(text("edge")),
        machine_kind: None,
        approval: false,
        state: GrantState::Live,
        created_at: ago(DAY),
    }
}

pub(crate) fn bound(to: Option<KeyFingerprint>) -> Uses {
    Uses::Once(Some(Binding { key: to, at: ago(HOUR) }))
}

/// A machine of the first site with the key and hardware of its number, enrolled two hours ago by the ninth grant.
pub(crate) fn machine(n: u8) -> Machine {
    Machine {
        id: machine_id(n),
        tenant: tenant_id(),
        site: site_id(1),
        name: text(&format!("machine-{n}")),
        hostname: Some(text(&format!("host-{n}"))),
        kind: MachineKind::Host,
        hardware_id: Some(hardware(n)),
        key: Some(key(n)),
        generation: 1,
        role: None,
        labels: Labels::default(),
        attributes: Attributes::default(),
        grant: Some(grant_id(9)),
        state: active(),
        created_at: ago(HOUR * 2),
        enrolled_at: Some(ago(HOUR * 2)),
        key_since: None,
        alarm: None,
        lineage: Default::default(),
    }
}

pub(crate) fn active() -> MachineState {
    MachineState::Active(Active { since: ago(HOUR * 2) })
}

pub(crate) fn suspended(cause: SuspendCause) -> MachineState {
    MachineState::Suspended(Suspended { since: ago(HOUR), cause })
}

pub(crate) fn retired() -> MachineState {
    MachineState::Retired(Retired { since: ago(HOUR), cause: RetireCause::Operator(None), readmit: None })
}

/// A machine that an operator made ahead of the real one.
pub(crate) fn pending(n: u8) -> Machine {
    let state = MachineState::Pending(Pending { since: ago(HOUR) });
    let (hardware_id, key, grant, enrolled_at, hostname) = (None, None, None, None, None);
    Machine { state, hardware_id, key, grant, enrolled_at, hostname, ..machine(n) }
}

pub(crate) fn key_record(n: u8, machine: &Machine, standing: KeyStanding) -> KeyRecord {
    KeyRecord {
        key: public_key(n),
        machine: machine.id,
        generation: machine.generation,
        standing,
        ordered_at: None,
    }
}

/// A minted certificate of a machine, as old as given.
pub(crate) fn certificate(n: u8, machine: &Machine, age: SignedDuration) -> Credential {
    let kind = CredentialKind::Certificate { key: machine.key.expect("a machine with a key") };
    let state = CredentialState::Issued(Minted::Certificate(vec![n]));
    let (not_before, not_after) = (ago(age), ago(age) + DAY);
    let (id, tenant, generation) = (credential_id(n), machine.tenant, machine.generation);
    Credential { id, tenant, machine: machine.id, generation, kind, not_before, not_after, state }
}

pub(crate) fn bearer(n: u8, machine: &Machine) -> Credential {
    let kind = CredentialKind::Bearer { secret: SecretId([n; 10]), hash: hash(n) };
    let state = CredentialState::Issued(Minted::Bearer);
    let (id, tenant, generation) = (credential_id(n), machine.tenant, machine.generation);
    let (not_before, not_after) = (ago(HOUR), now() + DAY);
    Credential { id, tenant, machine: machine.id, generation, kind, not_before, not_after, state }
}

/// A machine as it is found by its key or hardware: silent for two hours, with one certificate as old as itself.
pub(crate) fn known(machine: Machine, key: Option<KeyRecord>) -> Known {
    let credentials = match machine.key {
        Some(_) => vec![certificate(100, &machine, HOUR * 2)],
        None => vec![bearer(100, &machine), bearer(101, &machine)],
    };
    let presence = Presence { last_seen: Some(ago(HOUR * 2)), online: false };
    Known { machine, key, presence, credentials, accounts: Vec::new() }
}

/// A machine found by the key it has.
pub(crate) fn by_key(n: u8) -> Known {
    let machine = machine(n);
    let record = key_record(n, &machine, KeyStanding::Current);
    known(machine, Some(record))
}

pub(crate) fn claimant(n: u8) -> Claimant {
    Claimant {
        key: Some(public_key(n)),
        verifier: None,
        hardware_id: None,
        hostname: Some(text(&format!("host-{n}"))),
        kind: MachineKind::Host,
        attributes: Attributes::default(),
        source: None,
        method: text("token"),
    }
}

/// An open hold of the second key at the first site, opened by the ninth grant.
pub(crate) fn hold(reason: HoldReason, existing: Option<MachineId>) -> Hold {
    Hold {
        id: hold_id(50),
        tenant: tenant_id(),
        site: site_id(1),
        reason,
        claimant: claimant(2),
        existing,
        grant: Some(grant_id(9)),
        state: HoldState::Open,
        asked: 1,
        created_at: ago(HOUR),
        expires_at: now() + DAY,
    }
}

pub(crate) fn rejected() -> HoldState {
    HoldState::Rejected { at: ago(HOUR), by: operator(), reason: Some(text("who is this?")) }
}

pub(crate) fn fresh(now: Timestamp) -> Fresh {
    Fresh {
        context: context(now, Actor::Anonymous),
        machine: machine_id(200),
        hold: hold_id(200),
        credential: credential_id(200),
        terms: Terms::default(),
        accounts: Vec::new(),
    }
}

/// An enrollment to be decided. As made, the second key asks by the ninth grant, and nothing is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) request: Request,
    pub(crate) facts: Facts,
    pub(crate) fresh: Fresh,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let claim =
            Claim { method: "token", entitlement: Entitlement::Grant { id: grant_id(9), hash: hash(9) } };
        let credential = CredentialKind::Certificate { key: key(2) };
        let facts = Facts { grant: Some(grant(9)), site: Some(site(1)), ..Facts::default() };
        let request =
            Request { claimant: claimant(2), claim, site: None, vouched_by: None, credential, shown: None };
        Self { request, facts, fresh: fresh(now()) }
    }

    /// The same, as a client without a key would ask.
    pub(crate) fn keyless() -> Self {
        let mut scene = Self::new();
        scene.request.claimant.key = None;
        scene.request.credential = CredentialKind::Bearer { secret: SecretId([2; 10]), hash: hash(2) };
        scene
    }

    /// The same, with this hardware, which belongs to this machine.
    pub(crate) fn on_hardware_of(mut self, known: Known) -> Self {
        self.request.claimant.hardware_id = known.machine.hardware_id.clone();
        self.facts.by_hardware = Some(known);
        self
    }

    pub(crate) fn grant(&mut self) -> &mut Grant {
        self.facts.grant.as_mut().expect("the scene has a grant")
    }

    pub(crate) fn site(&mut self) -> &mut Site {
        self.facts.site.as_mut().expect("the scene has a site")
    }

    pub(crate) fn decide(&self) -> Result<Plan<Outcome>, muster_model::Refusal> {
        decide(&self.request, self.facts.clone(), &self.fresh)
    }

    pub(crate) fn plan(&self) -> Plan<Outcome> {
        self.decide().expect("the enrollment is not refused")
    }
}

pub(crate) fn enrolled(plan: &Plan<Outcome>) -> (&Machine, &Credential, bool) {
    match plan.outcome() {
        Outcome::Enrolled { machine, credential, again } => (machine, credential, *again),
        Outcome::Held(hold) => panic!("held instead of enrolled: {hold:?}"),
    }
}

pub(crate) fn held(plan: &Plan<Outcome>) -> &Hold {
    match plan.outcome() {
        Outcome::Held(hold) => hold,
        Outcome::Enrolled { machine, .. } => panic!("enrolled instead of held: {machine:?}"),
    }
}

/// Action and reason of the only entry of a plan.
pub(crate) fn told<O>(plan: &Plan<O>) -> (&'static str, &'static str) {
    match plan.entries() {
        [Entry { action, reason, .. }] => (action, reason.0),
        entries => panic!("not one entry: {entries:?}"),
    }
}

pub(crate) fn operator_token(role: OperatorRole, kind: AccessKind) -> AccessToken {
    AccessToken {
        id: AccessTokenId::from_bytes([role as u8 + 1; 16]),
        tenant: tenant_id(),
        operator: OperatorId::from_bytes([1; 16]),
        kind,
        name: "laptop".parse::<DisplayName>().expect("a printable name"),
        role,
        secret: SecretId([1; 10]),
        hash: hash(1),
        created_at: ago(HOUR),
        expires_at: now() + HOUR,
        ended_at: None,
        scope: None,
        entrance: None,
    }
}

/// What a plan writes, one word for each row, in order.
pub(crate) fn rows<O>(plan: &Plan<O>) -> Vec<String> {
    plan.changes().iter().map(row).collect()
}

fn row(change: &Change) -> String {
    match change {
        Change::Deployment(DeploymentChange::Found { .. }) => "deployment founded".into(),
        Change::Deployment(DeploymentChange::Doubt { .. }) => "restore noticed".into(),
        Change::Deployment(DeploymentChange::Accept { .. }) => "restore accepted".into(),
        Change::Tenant(TenantChange::Create(_)) => "tenant made".into(),
        Change::Tenant(TenantChange::Reaper(Some(_))) => "reaper stopped".into(),
        Change::Tenant(TenantChange::Reaper(None)) => "reaper goes on".into(),
        Change::Site(SiteChange::Create(_)) => "site made".into(),
        Change::Grant(GrantChange::Create(_)) => "grant made".into(),
        Change::Grant(GrantChange::Draw { .. }) => "grant drawn".into(),
        Change::Grant(GrantChange::Prove { .. }) => "key proved".into(),
        Change::Grant(GrantChange::End { state, .. }) => format!("grant {}", state.as_str()),
        Change::Machine(MachineChange::Create(machine)) => format!("machine made {}", machine.state.as_str()),
        Change::Machine(MachineChange::Update(machine)) => format!("machine {}", machine.state.as_str()),
        Change::Machine(MachineChange::Order { order, .. }) => format!("machine told to {}", order.as_str()),
        Change::Key(KeyChange::Register(_)) => "key registered".into(),
        Change::Key(KeyChange::Order { .. }) => "key ordered".into(),
        Change::Key(KeyChange::SupersedeAll(_)) => "keys superseded".into(),
        Change::Key(KeyChange::Standing { standing, .. }) => format!("key {}", standing.as_str()),
        Change::Hold(HoldChange::Open(_)) => "hold opened".into(),
        Change::Hold(HoldChange::Decide { state, .. }) => format!("hold {}", state.as_str()),
        Change::Credential(CredentialChange::Reserve(_)) => "credential reserved".into(),
        Change::Credential(CredentialChange::State { state, .. }) => match state {
            CredentialState::Ended { reason, .. } => format!("credential {}", reason.as_str()),
            CredentialState::Issued(_) => "credential issued".into(),
            CredentialState::Reserved => "credential back to reserved".into(),
        },
        Change::Agent(AgentChange::Register(agent)) => format!("agent {}", agent.nick),
        Change::Agent(AgentChange::Update(agent)) if agent.freed_at.is_some() => "nick freed".into(),
        Change::Agent(AgentChange::Update(_)) => "agent changed".into(),
        Change::Agent(AgentChange::Engage(version)) => format!("engagement {}", version.version),
        Change::Agent(AgentChange::Acknowledge { version, .. }) => {
            format!("engagement {version} acknowledged")
        }
        Change::Access(AccessChange::RotateToken { .. }) => "token rotated".into(),
        Change::Access(AccessChange::CreateOperator(_)) => "operator made".into(),
        Change::Access(AccessChange::UpdateOperator(_)) => "operator changed".into(),
        Change::Access(AccessChange::CreateToken(_)) => "token made".into(),
        Change::Access(AccessChange::EndToken { .. }) => "token ended".into(),
        Change::Access(AccessChange::EndAllOf { kinds, .. }) => {
            kinds.iter().map(|kind| format!("each {} ended", kind.as_str())).collect::<Vec<_>>().join(", ")
        }
        Change::Account(AccountChange::Create(_)) => "account made".into(),
        Change::Account(AccountChange::Update(account)) => format!("account {}", account.wanted.as_str()),
        Change::Memory(MemoryChange::Request(_)) => "request remembered".into(),
        Change::Deployment(DeploymentChange::Authority(_)) => "authority changed".into(),
        Change::Memory(MemoryChange::Nonce { .. }) => "nonce used".into(),
        Change::Memory(MemoryChange::Failures { .. }) => "failures known".into(),
        Change::Memory(MemoryChange::Boots { .. }) => "boots known".into(),
    }
}

/// Which credentials a plan ends, and why.
pub(crate) fn ended<O>(plan: &Plan<O>) -> Vec<(CredentialId, EndReason)> {
    let end = |change: &Change| match change {
        Change::Credential(CredentialChange::State {
            credential,
            state: CredentialState::Ended { reason, .. },
        }) => Some((*credential, *reason)),
        _ => None,
    };
    plan.changes().iter().filter_map(end).collect()
}
