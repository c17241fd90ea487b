//! A store in memory that applies plans and refuses impossible rows, and the acts that make its history.

use std::collections::BTreeMap;

use muster_model::{
    Actor, AuditId, Claimant, Credential, CredentialId, CredentialKind, CredentialState, Entitlement, Grant,
    GrantId, GrantKind, GrantState, Hold, HoldId, HoldState, KeyFingerprint, KeyRecord, KeyStanding, Machine,
    MachineId, MachineState, Minted, Presence, PublicKey, Refusal, ReimagePolicy, RetireCause, SecretHash,
    SecretId, SignedDuration, Site, SiteId, SiteUse, SuspendCause, Timestamp, Uses,
};

use super::fixtures;
use crate::enroll::{self, Known, Outcome, Request};
use crate::grant::NewGrant;
use crate::hold::{self, Choice};
use crate::machine::{self, NewMachine};
use crate::plan::{
    Change, Context, CredentialChange, GrantChange, HoldChange, KeyChange, MachineChange, Plan,
};
use crate::terms::Terms;
use crate::{credential, grant, site};

/// Who asks to enroll and with what; the numbers name keys, hardware and grants.
#[derive(Debug, Clone)]
pub(crate) struct Asks {
    pub(crate) key: Option<u8>,
    pub(crate) hardware: Option<u8>,
    /// `None`: a bare request at the first site.
    pub(crate) grant: Option<u8>,
    pub(crate) vouched_by: Option<u8>,
    /// A bearer key that it shows instead of a grant's secret.
    pub(crate) bearer: Option<u8>,
}

/// One act. Numbers beyond what there is count round.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Enroll(Asks),
    Approve(u8, Option<Choice>),
    Reject(u8),
    Collect(u8),
    Suspend(u8),
    Resume(u8),
    Retire(u8),
    Revoke(u8),
    Create(u8, Option<u8>),
    RevokeGrant(u8),
    RotateKey(u8),
    Renew(u8),
    Confirm,
    Presence(u8, bool),
    Pass(SignedDuration),
}

/// What an act was answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Enroll(Box<Request>, Result<Outcome, Refusal>),
    /// Whether it was carried out, or refused and nothing was changed.
    Other(bool),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) terms: Terms,
    pub(crate) sites: BTreeMap<SiteId, Site>,
    pub(crate) grants: BTreeMap<GrantId, Grant>,
    pub(crate) machines: BTreeMap<MachineId, Machine>,
    pub(crate) keys: BTreeMap<KeyFingerprint, KeyRecord>,
    pub(crate) holds: BTreeMap<HoldId, Hold>,
    pub(crate) credentials: BTreeMap<CredentialId, Credential>,
    pub(crate) presence: BTreeMap<MachineId, Presence>,
    pub(crate) entries: usize,
    serial: u64,
}

impl World {
    /// Two sites, the first with every way in, and grants of every sort.
    pub(crate) fn new() -> Self {
        let first = Site {
            requests: true,
            reimage: ReimagePolicy::OfflineOnly,
            seats: Some(2),
            hold_cap: 3,
            ..fixtures::site(1)
        };
        let second = Site { reimage: ReimagePolicy::SameName, ..fixtures::site(2) };
        let site_key = |version| GrantKind::SiteKey { version, fingerprint: Some([1, 2]) };
        let capped = Uses::Capped { limit: 2, used: 0 };
        let grants = [
            Grant { uses: Uses::Once(None), ..fixtures::grant(0) },
            Grant { uses: capped, ..fixtures::grant(1) },
            Grant { uses: capped, site: second.id, approval: true, ..fixtures::grant(2) },
            Grant { kind: site_key(1), expires_at: None, ..fixtures::grant(3) },
            Grant { kind: site_key(1), site: second.id, expires_at: None, ..fixtures::grant(4) },
        ];
        Self {
            now: fixtures::now(),
            terms: Terms::default(),
            sites: [first, second].map(|site| (site.id, site)).into(),
            grants: grants.map(|grant| (grant.id, grant)).into(),
            machines: BTreeMap::new(),
            keys: BTreeMap::new(),
            holds: BTreeMap::new(),
            credentials: BTreeMap::new(),
            presence: BTreeMap::new(),
            entries: 0,
            serial: 1000,
        }
    }

    /// Whether the rows are the same; the count of drawn identifiers may differ.
    pub(crate) fn has_rows_of(&self, other: &Self) -> bool {
        *self == Self { serial: self.serial, ..other.clone() }
    }

    fn draw(&mut self) -> [u8; 16] {
        self.serial += 1;
        u128::from(self.serial).to_be_bytes()
    }

    fn context(&mut self, actor: Actor) -> Context {
        let entry = AuditId::from_bytes(self.draw());
        Context { entry, ..fixtures::context(self.now, actor) }
    }

    fn by_operator(&mut self) -> Context {
        self.context(fixtures::operator())
    }

    /// Carries out an act.
    pub(crate) fn step(&mut self, op: &Op) -> Answer {
        match op {
            Op::Enroll(asks) => {
                let request = self.request(asks);
                let result = self.enroll(&request);
                return Answer::Enroll(Box::new(request), result);
            }
            Op::Presence(at, online) => self.hear(*at, *online),
            Op::Pass(time) => self.now += *time,
            Op::Confirm => self.confirm_all(),
            _ => return Answer::Other(self.manage(op).is_ok()),
        }
        Answer::Other(true)
    }

    fn manage(&mut self, op: &Op) -> Result<(), Refusal> {
        let context = self.by_operator();
        match op {
            Op::Approve(at, choice) => self.approve(*at, *choice, &context),
            Op::Reject(at) => {
                let hold = pick(&self.holds, *at).cloned();
                self.settle(hold::reject(hold, None, &context))
            }
            Op::Collect(at) => self.collect(*at, &context),
            Op::Suspend(at) => self.settle(machine::suspend(self.facts_of(*at), None, &context)),
            Op::Resume(at) => self.settle(machine::resume(self.facts_of(*at), None, &context)),
            Op::Retire(at) => self.settle(machine::retire(self.facts_of(*at), RetireCause::Left, &context)),
            Op::Revoke(at) => self.settle(machine::revoke(self.facts_of(*at), None, None, &context)),
            Op::Create(site, hardware) => self.create(*site, *hardware, &context),
            Op::RevokeGrant(at) => {
                let grant = pick(&self.grants, *at).cloned();
                self.settle(grant::revoke(grant, None, &context))
            }
            Op::RotateKey(at) => self.rotate(*at, &context),
            Op::Renew(key) => self.renew(*key, &context),
            Op::Enroll(_) | Op::Presence(..) | Op::Pass(_) | Op::Confirm => Ok(()),
        }
    }

    pub(crate) fn request(&mut self, asks: &Asks) -> Request {
        let mut scene = fixtures::Scene::new();
        let claimant = &mut scene.request.claimant;
        *claimant = fixtures::claimant(asks.key.unwrap_or(0));
        claimant.key = asks.key.map(fixtures::public_key);
        claimant.hardware_id = asks.hardware.map(fixtures::hardware);
        scene.request.credential = match asks.key {
            Some(key) => CredentialKind::Certificate { key: fixtures::key(key) },
            None => CredentialKind::Bearer { secret: SecretId([0; 10]), hash: fixtures::hash(0) },
        };
        let grant = asks.grant.and_then(|at| pick(&self.grants, at));
        scene.request.claim.entitlement = match grant {
            Some(grant) => Entitlement::Grant { id: grant.id, hash: grant.hash },
            None => Entitlement::Nothing { site: None },
        };
        if let Some((id, hash)) = asks.bearer.and_then(|at| self.bearer(at)) {
            scene.request.claim.entitlement = Entitlement::Credential { id, hash };
        }
        scene.request.vouched_by =
            asks.vouched_by.map(fixtures::key).filter(|key| self.keys.contains_key(key));
        scene.request
    }

    /// Some bearer key that was ever given out.
    fn bearer(&self, at: u8) -> Option<(CredentialId, SecretHash)> {
        let hash = |credential: &Credential| Some((credential.id, credential.kind.hash()?));
        let given: Vec<_> = self.credentials.values().filter_map(hash).collect();
        given.get(usize::from(at) % given.len().max(1)).copied()
    }

    pub(crate) fn enroll(&mut self, request: &Request) -> Result<Outcome, Refusal> {
        let fresh = enroll::Fresh {
            context: self.context(Actor::Anonymous),
            machine: MachineId::from_bytes(self.draw()),
            hold: HoldId::from_bytes(self.draw()),
            credential: CredentialId::from_bytes(self.draw()),
            terms: self.terms,
            accounts: Vec::new(),
        };
        let plan = enroll::decide(request, self.facts(request), &fresh)?;
        self.apply(&plan);
        Ok(plan.outcome().clone())
    }

    /// Reads what an adapter would read for an enrollment.
    fn facts(&self, request: &Request) -> enroll::Facts {
        let grant = match request.claim.entitlement {
            Entitlement::Grant { id, .. } => self.grants.get(&id).cloned(),
            Entitlement::Credential { .. } | Entitlement::Nothing { .. } => None,
        };
        let by_credential = self.by_credential(&request.claim.entitlement);
        let site = match (&grant, &by_credential) {
            (Some(grant), _) => grant.site,
            (None, Some((_, known))) => known.machine.site,
            (None, None) => fixtures::site_id(1),
        };
        let pending = match grant.as_ref().map(|grant| grant.kind) {
            Some(GrantKind::Machine(id)) => self.machines.get(&id).cloned(),
            _ => None,
        };
        let claimant = &request.claimant;
        let key = claimant.key.as_ref().map(PublicKey::fingerprint);
        let by_hardware = claimant.hardware_id.as_ref().and_then(|id| self.by_hardware(id));
        let mine = |hold: &&Hold| hold.is_by(claimant);
        enroll::Facts {
            site_use: self.site_use(site),
            site: self.sites.get(&site).cloned(),
            by_key: key.and_then(|key| self.by_key(key)),
            by_credential,
            by_previous: request.vouched_by.and_then(|key| self.by_key(key)),
            about: by_hardware.as_ref().map_or_else(Vec::new, |machine| self.about(machine.id)),
            by_hardware: by_hardware.map(|machine| self.known(machine, None)),
            holds: self.holds.values().rev().filter(mine).take(16).cloned().collect(),
            in_its_name: self.in_its_name(claimant),
            grant,
            pending,
            admitted: None,
            derived: None,
            pending_accounts: Vec::new(),
        }
    }

    fn in_its_name(&self, claimant: &Claimant) -> Option<Hold> {
        let id = claimant.hardware_id.as_ref()?;
        let same =
            |hold: &&Hold| hold.claimant.verifier.is_some() && hold.claimant.hardware_id.as_ref() == Some(id);
        self.holds.values().rev().find(same).cloned()
    }

    fn by_credential(&self, entitlement: &Entitlement) -> Option<(Credential, enroll::Known)> {
        let Entitlement::Credential { id, .. } = entitlement else { return None };
        let credential = self.credentials.get(id)?.clone();
        let machine = &self.machines[&credential.machine];
        Some((credential, self.known(machine, None)))
    }

    fn about(&self, machine: MachineId) -> Vec<Hold> {
        let about = |hold: &&Hold| hold.existing == Some(machine);
        self.holds.values().rev().filter(about).take(16).cloned().collect()
    }

    fn site_use(&self, site: SiteId) -> SiteUse {
        let machines = self.live().filter(|machine| machine.site == site).count() as u64;
        let open = self.holds.values().filter(|hold| hold.site == site && hold.is_open(self.now));
        SiteUse { machines, open_holds: open.count() as u64, from_network: 0 }
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values().filter(|machine| !matches!(machine.state, MachineState::Retired(_)))
    }

    fn by_hardware(&self, id: &muster_model::HardwareId) -> Option<&Machine> {
        let has = |machine: &&Machine| machine.hardware_id.as_ref() == Some(id);
        let retired = || self.machines.values().filter(has).max_by_key(|machine| machine.state.since());
        self.live().find(has).or_else(retired)
    }

    fn by_key(&self, key: KeyFingerprint) -> Option<Known> {
        let record = self.keys.get(&key)?.clone();
        let machine = self.machines.get(&record.machine)?;
        Some(self.known(machine, Some(record)))
    }

    fn known(&self, machine: &Machine, key: Option<KeyRecord>) -> Known {
        let presence = self.presence.get(&machine.id).copied().unwrap_or_default();
        Known {
            machine: machine.clone(),
            key,
            presence,
            credentials: self.open_credentials(machine.id),
            accounts: Vec::new(),
        }
    }

    pub(crate) fn open_credentials(&self, machine: MachineId) -> Vec<Credential> {
        let open = |credential: &&Credential| credential.machine == machine && credential.is_open();
        self.credentials.values().rev().filter(open).cloned().collect()
    }

    fn facts_of(&self, at: u8) -> machine::Facts {
        let Some(machine) = pick(&self.machines, at) else { return machine::Facts::default() };
        let keys = self.keys.values().filter(|key| key.machine == machine.id);
        let keys = keys.filter(|key| key.standing != KeyStanding::Superseded);
        let grants = self.grants.values().filter(|grant| grant.kind == GrantKind::Machine(machine.id));
        machine::Facts {
            machine: Some(machine.clone()),
            keys: keys.cloned().collect(),
            credentials: self.open_credentials(machine.id),
            grants: grants.cloned().collect(),
            agent: None,
            accounts: Vec::new(),
            holds: self.holds.values().filter(|hold| asked_by(hold, machine)).cloned().collect(),
        }
    }

    fn approve(&mut self, at: u8, choice: Option<Choice>, context: &Context) -> Result<(), Refusal> {
        let hold = pick(&self.holds, at).cloned();
        let claimant = hold.as_ref().map(|hold| hold.claimant.clone());
        let grant = hold.as_ref().and_then(|hold| self.grants.get(&hold.grant?)).cloned();
        let hardware = claimant.as_ref().and_then(|claimant| claimant.hardware_id.clone());
        let by_hardware = hardware.and_then(|id| self.live().find(|m| m.hardware_id.as_ref() == Some(&id)));
        let existing = hold.as_ref().and_then(|hold| self.machines.get(&hold.existing?));
        let facts = hold::Facts {
            site: hold.as_ref().and_then(|hold| self.sites.get(&hold.site)).cloned(),
            pending: match grant.as_ref().map(|grant| grant.kind) {
                Some(GrantKind::Machine(id)) => self.machines.get(&id).cloned(),
                _ => None,
            },
            by_key: claimant.and_then(|claimant| self.by_key(claimant.key?.fingerprint())),
            existing: existing.map(|machine| self.known(machine, None)),
            by_hardware: by_hardware.cloned(),
            hold,
            grant,
        };
        let machine = MachineId::from_bytes(self.draw());
        self.settle(hold::approve(facts, choice, machine, &[], context))
    }

    fn collect(&mut self, at: u8, context: &Context) -> Result<(), Refusal> {
        let hold = pick(&self.holds, at).cloned();
        let key = hold.as_ref().and_then(|hold| hold.claimant.key.as_ref()).map(PublicKey::fingerprint);
        let facts = hold::CollectFacts { by_key: key.and_then(|key| self.by_key(key)), hold };
        let id = CredentialId::from_bytes(self.draw());
        self.settle(hold::collect(facts, id, context, &self.terms.clone()))
    }

    fn new_grant(&mut self, kind: GrantKind, uses: Option<u32>) -> NewGrant {
        let grant = fixtures::grant(0);
        let (secret, hash, labels) = (grant.secret, grant.hash, grant.labels);
        NewGrant {
            id: GrantId::from_bytes(self.draw()),
            kind,
            secret,
            hash,
            uses,
            expires_at: Some(self.now + fixtures::DAY),
            labels,
            role: None,
            machine_kind: None,
            approval: false,
        }
    }

    fn create(&mut self, at: u8, hardware: Option<u8>, context: &Context) -> Result<(), Refusal> {
        let id = MachineId::from_bytes(self.draw());
        let hardware_id = hardware.map(fixtures::hardware);
        let new = NewMachine {
            id,
            name: fixtures::text("made"),
            kind: muster_model::MachineKind::Host,
            hardware_id: hardware_id.clone(),
            role: None,
            labels: Default::default(),
            grant: self.new_grant(GrantKind::Machine(id), Some(1)),
        };
        let taken = hardware_id.and_then(|id| self.by_hardware(&id)).cloned();
        let site = pick(&self.sites, at).cloned();
        self.settle(machine::create(new, site, taken.as_ref(), context))
    }

    fn rotate(&mut self, at: u8, context: &Context) -> Result<(), Refusal> {
        let site = pick(&self.sites, at).cloned().expect("there are two sites");
        let is_key =
            |grant: &&Grant| grant.site == site.id && matches!(grant.kind, GrantKind::SiteKey { .. });
        let newest = self.grants.values().rfind(is_key).cloned();
        let new = self.new_grant(GrantKind::Token, None);
        self.settle(site::rotate_key(new, [1, 2], Some(site), newest.as_ref(), context))
    }

    fn renew(&mut self, key: u8, context: &Context) -> Result<(), Refusal> {
        let facts = self.renew_facts(fixtures::key(key));
        let id = CredentialId::from_bytes(self.draw());
        self.settle(credential::renew(facts, id, context, &self.terms.clone()))
    }

    pub(crate) fn renew_facts(&self, key: KeyFingerprint) -> credential::RenewFacts {
        let known = self.by_key(key);
        let credentials = known.iter().flat_map(|known| known.credentials.clone()).collect();
        let (machine, key) = known.map(|known| (known.machine, known.key)).unzip();
        credential::RenewFacts { machine, key: key.flatten(), credentials }
    }

    fn confirm_all(&mut self) {
        for credential in self.credentials.clone().into_values() {
            let machine = self.machines.get(&credential.machine).cloned();
            let context = self.context(Actor::System);
            let minted = match credential.kind {
                CredentialKind::Certificate { .. } => Minted::Certificate(vec![1]),
                CredentialKind::Bearer { .. } => Minted::Bearer,
                CredentialKind::Refresh { .. } => Minted::Refresh { used_at: None },
            };
            // A refusal is an end that was decided meanwhile: nothing is issued then.
            self.settle(credential::confirm(Some(credential), machine.as_ref(), minted, &context)).ok();
        }
    }

    fn hear(&mut self, at: u8, online: bool) {
        let Some(id) = pick(&self.machines, at).map(|machine| machine.id) else { return };
        self.presence.insert(id, Presence { last_seen: Some(self.now), online });
    }

    fn settle<O>(&mut self, plan: Result<Plan<O>, Refusal>) -> Result<(), Refusal> {
        self.apply(&plan?);
        Ok(())
    }

    fn apply<O>(&mut self, plan: &Plan<O>) {
        assert!(plan.changes().is_empty() == plan.entries().is_empty(), "a change without its entry");
        self.entries += plan.entries().len();
        for change in plan.changes() {
            match change.clone() {
                Change::Grant(change) => self.change_grant(change),
                Change::Machine(change) => self.change_machine(change),
                Change::Key(change) => self.change_key(change),
                Change::Hold(change) => self.change_hold(change),
                Change::Credential(change) => self.change_credential(change),
                other => panic!("no act here makes this change: {other:?}"),
            }
        }
    }

    fn change_grant(&mut self, change: GrantChange) {
        match change {
            GrantChange::Create(grant) => assert!(self.grants.insert(grant.id, grant).is_none()),
            GrantChange::Draw { grant, uses } => {
                let row = self.grants.get_mut(&grant).expect("a grant that is drawn on exists");
                assert!(row.has_uses_left(), "drawn beyond its limit: {row:?}");
                row.uses = uses;
            }
            GrantChange::End { grant, state } => {
                let row = self.grants.get_mut(&grant).expect("a grant that ends exists");
                assert!(!matches!(row.state, GrantState::Revoked(_)), "it ended before");
                (row.state, row.imported) = (state, None);
            }
            GrantChange::Prove { .. } => panic!("no act here brings a key from another server"),
        }
    }

    fn change_machine(&mut self, change: MachineChange) {
        match change {
            MachineChange::Create(machine) => assert!(self.machines.insert(machine.id, machine).is_none()),
            MachineChange::Update(machine) => {
                let before =
                    self.machines.insert(machine.id, machine.clone()).expect("an updated machine exists");
                assert!(machine.generation >= before.generation, "a generation fell");
                assert!(before.key.is_none() || machine.key.is_some(), "a machine lost its key");
                assert!(!matches!(before.state, MachineState::Retired(_)), "a tombstone changed");
            }
            MachineChange::Order { machine, .. } => assert!(self.machines.contains_key(&machine)),
        }
    }

    fn change_key(&mut self, change: KeyChange) {
        match change {
            KeyChange::Register(record) => {
                let known = self.keys.insert(record.key.fingerprint(), record);
                assert!(known.is_none(), "registered twice: {known:?}");
            }
            KeyChange::Standing { key, standing } => {
                let row = self.keys.get_mut(&key).expect("a key that changes exists");
                assert_eq!(row.standing, KeyStanding::Current, "a dead key changed");
                row.standing = standing;
            }
            KeyChange::Order { key, at } => {
                self.keys.get_mut(&key).expect("a key that changes exists").ordered_at = Some(at);
            }
            KeyChange::SupersedeAll(machine) => {
                let counting =
                    self.keys.values_mut().filter(|key| key.machine == machine && key.standing.counts());
                counting.for_each(|key| key.standing = KeyStanding::Superseded);
            }
        }
    }

    fn change_hold(&mut self, change: HoldChange) {
        match change {
            HoldChange::Open(hold) => assert!(self.holds.insert(hold.id, hold).is_none()),
            HoldChange::Decide { hold, state } => {
                let row = self.holds.get_mut(&hold).expect("a hold that is decided exists");
                assert!(row.is_open(self.now), "decided twice or too late");
                assert!(!matches!(state, HoldState::Open));
                row.state = state;
            }
        }
    }

    fn change_credential(&mut self, change: CredentialChange) {
        match change {
            CredentialChange::Reserve(credential) => {
                let life = credential.not_after.duration_since(self.now);
                let most = match credential.kind {
                    CredentialKind::Certificate { .. } => self.terms.certificate_life,
                    CredentialKind::Bearer { .. } => self.terms.bearer_life,
                    CredentialKind::Refresh { .. } => self.terms.refresh_life,
                };
                assert!(life <= most, "it would live too long: {credential:?}");
                assert!(self.credentials.insert(credential.id, credential).is_none());
            }
            CredentialChange::State { credential, state } => {
                let row = self.credentials.get_mut(&credential).expect("a credential that changes exists");
                assert!(row.is_open(), "an ended credential changed");
                assert_ne!(state, CredentialState::Reserved);
                row.state = state;
            }
        }
    }
}

/// The row at a place that counts round, if there is any row.
pub(crate) fn pick<K, V>(rows: &BTreeMap<K, V>, at: u8) -> Option<&V> {
    rows.values().nth(usize::from(at) % rows.len().max(1))
}

/// Whether a machine waits for a new key because its own was revoked.
pub(crate) fn is_revoked(machine: &Machine) -> bool {
    matches!(
        machine.state,
        MachineState::Suspended(muster_model::Suspended { cause: SuspendCause::Revoked(_), .. })
    )
}

/// Whether the key that a machine has now opened this hold.
fn asked_by(hold: &muster_model::Hold, machine: &Machine) -> bool {
    let key = hold.claimant.key.as_ref().map(muster_model::PublicKey::fingerprint);
    key.is_some() && key == machine.key
}
