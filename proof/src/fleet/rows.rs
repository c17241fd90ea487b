//! Rows of this model as values of the product, and changes of the product as rows.

use muster_lifecycle::enroll::Known;
use muster_lifecycle::{
    Change, Context, CredentialChange, GrantChange, HoldChange, KeyChange, MachineChange, rotate,
};
use muster_model::{
    Active, Actor, Claim, Claimant, Credential, CredentialId, CredentialKind, CredentialState, Deployment,
    DeploymentId, Entitlement, Grant, GrantKind, Hold, HoldId, HoldState, IncarnationId, KeyFingerprint,
    KeyRecord, KeyStanding, Machine, MachineId, MachineState, Minted, OperatorId, Presence, PublicKey,
    SignedDuration, Site, SuspendCause, Suspended, Timestamp, Uses,
};
use muster_testkit::{Kit, at, public_key};

use super::state::{
    Broken, CertificateRow, Db, Decided, Door, Epoch, HoldRow, KEYS, Key, KeyRow, MachineRow, Standing,
};

/// What every row is made of that does not change.
pub(super) struct Rows {
    pub(super) site: Site,
    machine: Machine,
    claimant: Claimant,
    certificate: Credential,
    hold: Hold,
    grants: [Grant; 2],
    keys: Vec<PublicKey>,
    prints: Vec<KeyFingerprint>,
    context: Context,
}

/// The middle of a stretch: what is drawn in one is drawn before everything of the next.
fn moment(epoch: Epoch) -> Timestamp {
    at(i64::from(epoch) * 100)
}

fn millis(epoch: Epoch) -> u64 {
    moment(epoch).as_millisecond() as u64
}

impl Rows {
    pub(super) fn new() -> Self {
        let things = Kit::numbered(1);
        let site = things.site();
        let keys: Vec<PublicKey> = (0..KEYS as u64).map(|number| public_key(1_000 + number)).collect();
        let machine = things.machine(&site);
        let claimant = Claimant { hardware_id: machine.hardware_id.clone(), ..things.claimant() };
        let token = things.grant(&site);
        let kind = GrantKind::SiteKey { version: 1, fingerprint: None };
        let site_key = Grant { kind, uses: Uses::Unlimited, ..things.grant(&site) };
        Self {
            certificate: Credential {
                not_after: at(0) + SignedDuration::from_hours(24),
                ..things.credential(&machine)
            },
            hold: things.hold(&site),
            prints: keys.iter().map(PublicKey::fingerprint).collect(),
            context: things.context(0),
            grants: [token, site_key],
            site,
            machine,
            claimant,
            keys,
        }
    }

    // ---- names

    pub(super) fn key(&self, key: Key) -> PublicKey {
        self.keys[usize::from(key)].clone()
    }

    pub(super) fn print(&self, key: Key) -> KeyFingerprint {
        self.prints[usize::from(key)]
    }

    fn number(&self, print: KeyFingerprint) -> Key {
        self.prints.iter().position(|known| *known == print).expect("a key of this model") as Key
    }

    pub(super) fn machine_id(&self, number: Key) -> MachineId {
        MachineId::new(1, [number; 10])
    }

    pub(super) fn machine_number(&self, id: MachineId) -> Key {
        id.as_bytes()[15]
    }

    pub(super) fn hold_id(&self, number: Key) -> HoldId {
        HoldId::new(1, [number; 10])
    }

    /// Of the keys of one agent, the later one's is drawn later.
    pub(super) fn credential_id(&self, key: Key, epoch: Epoch) -> CredentialId {
        CredentialId::new(millis(epoch) + u64::from(key) * 1_000, [key; 10])
    }

    /// The key that a certificate is for, and when it was drawn.
    pub(super) fn drawn(&self, id: CredentialId) -> (Key, Epoch) {
        let since = id.drawn_at().duration_since(moment(0)).as_secs();
        (id.as_bytes()[15], (since / 100) as Epoch)
    }

    // ---- rows as values

    pub(super) fn context(&self, epoch: Epoch) -> Context {
        Context { now: moment(epoch), ..self.context.clone() }
    }

    pub(super) fn operator(&self, epoch: Epoch) -> Context {
        Context { actor: Actor::Operator(OperatorId::from_bytes([1; 16])), ..self.context(epoch) }
    }

    pub(super) fn claimant(&self, key: Key) -> Claimant {
        Claimant { key: Some(self.key(key)), ..self.claimant.clone() }
    }

    pub(super) fn claim(&self, door: Door) -> Claim {
        let Grant { id, hash, .. } = self.grants[door as usize];
        Claim { method: "token", entitlement: Entitlement::Grant { id, hash } }
    }

    pub(super) fn grant(&self, db: &Db, door: Door) -> Grant {
        let grant = self.grants[door as usize].clone();
        match (door, db.spent_by) {
            (Door::Token, Some(key)) => {
                let binding = muster_model::Binding { key: Some(self.print(key)), at: at(0) };
                Grant { uses: Uses::Once(Some(binding)), ..grant }
            }
            _ => grant,
        }
    }

    pub(super) fn machine(&self, db: &Db, number: Key) -> Option<Machine> {
        let row = db.machines[usize::from(number)]?;
        let revoked = Suspended { since: at(0), cause: SuspendCause::Revoked(None) };
        Some(Machine {
            id: self.machine_id(number),
            key: row.key.map(|key| self.print(key)),
            generation: u32::from(row.generation),
            hardware_id: self.machine.hardware_id.clone().filter(|_| row.has_hardware),
            grant: row.door.map(|door| self.grants[door as usize].id),
            state: match row.is_revoked {
                true => MachineState::Suspended(revoked),
                false => MachineState::Active(Active { since: at(0) }),
            },
            ..self.machine.clone()
        })
    }

    pub(super) fn record(&self, db: &Db, key: Key) -> Option<KeyRecord> {
        let row = db.keys[usize::from(key)]?;
        let (machine, generation) = (self.machine_id(row.machine), u32::from(row.generation));
        Some(KeyRecord { key: self.key(key), machine, generation, standing: row.standing, ordered_at: None })
    }

    pub(super) fn certificate(&self, key: Key, drawn: Epoch) -> Credential {
        let kind = CredentialKind::Certificate { key: self.print(key) };
        Credential { id: self.credential_id(key, drawn), kind, ..self.certificate.clone() }
    }

    pub(super) fn credential(&self, db: &Db, key: Key) -> Option<Credential> {
        let row = db.certificates[usize::from(key)]?;
        let state = match row.state {
            Standing::Reserved => CredentialState::Reserved,
            Standing::Issued => CredentialState::Issued(Minted::Certificate(Vec::new())),
            Standing::Ended(reason) => CredentialState::Ended { at: at(0), reason },
        };
        let (machine, generation) = (self.machine_id(row.machine), u32::from(row.generation));
        Some(Credential { machine, generation, state, ..self.certificate(key, row.drawn) })
    }

    /// Those of a machine that are not ended, the newest first.
    fn open_credentials(&self, db: &Db, machine: Key) -> Vec<Credential> {
        let its = |key: &Key| db.certificates[usize::from(*key)].is_some_and(|row| row.machine == machine);
        let known = (0..KEYS as Key).filter(its).filter_map(|key| self.credential(db, key));
        let mut open: Vec<Credential> = known.filter(Credential::is_open).collect();
        open.sort_by_key(|credential| std::cmp::Reverse(credential.id.drawn_at()));
        open
    }

    pub(super) fn known(&self, db: &Db, number: Key) -> Option<Known> {
        let machine = self.machine(db, number)?;
        let credentials = self.open_credentials(db, number);
        Some(Known { machine, key: None, presence: Presence::default(), credentials, accounts: Vec::new() })
    }

    pub(super) fn known_by_key(&self, db: &Db, key: Key) -> Option<Known> {
        let record = self.record(db, key)?;
        let known = self.known(db, self.machine_number(record.machine))?;
        Some(Known { key: Some(record), ..known })
    }

    /// The machine of the one hardware that there is.
    pub(super) fn with_hardware(&self, db: &Db) -> Option<Key> {
        let found = db.machines.iter().position(|row| row.is_some_and(|row| row.has_hardware));
        found.map(|number| number as Key)
    }

    pub(super) fn hold(&self, db: &Db, key: Key) -> Option<Hold> {
        let row = db.holds[usize::from(key)]?;
        let (at, by) = (at(0), Actor::System);
        Some(Hold {
            id: self.hold_id(key),
            reason: row.reason,
            claimant: self.claimant(key),
            existing: row.existing.map(|machine| self.machine_id(machine)),
            grant: Some(self.grants[row.door as usize].id),
            state: match row.state {
                Decided::Open => HoldState::Open,
                Decided::Approved(machine) => {
                    HoldState::Approved { machine: self.machine_id(machine), at, by }
                }
                Decided::Rejected => HoldState::Rejected { at, by, reason: None },
            },
            ..self.hold.clone()
        })
    }

    pub(super) fn holds_about(&self, db: &Db, machine: MachineId) -> Vec<Hold> {
        let all = (0..KEYS as Key).filter_map(|key| self.hold(db, key));
        all.filter(|hold| hold.existing == Some(machine)).collect()
    }

    pub(super) fn holds_of_keys(&self, db: &Db, keys: &[KeyRecord]) -> Vec<Hold> {
        let asked = |hold: &Hold| {
            let print = hold.claimant.key.as_ref().map(PublicKey::fingerprint);
            keys.iter().any(|record| Some(record.key.fingerprint()) == print)
        };
        (0..KEYS as Key).filter_map(|key| self.hold(db, key)).filter(asked).collect()
    }

    /// What decides about the keys of a machine.
    pub(super) fn facts(&self, db: &Db, machine: Key) -> rotate::Facts {
        let its = |key: &Key| db.keys[usize::from(*key)].is_some_and(|row| row.machine == machine);
        let known = (0..KEYS as Key).filter(its).filter_map(|key| self.record(db, key));
        rotate::Facts {
            machine: self.machine(db, machine),
            keys: known.filter(|record| record.standing.counts()).collect(),
            credentials: self.open_credentials(db, machine),
            deployment: Some(self.deployment(db)),
            ..rotate::Facts::default()
        }
    }

    pub(super) fn deployment(&self, db: &Db) -> Deployment {
        let incarnation = |millis: u64| IncarnationId::new(millis, [1; 10]);
        // It was accepted before the stretch that began with it.
        let accepted = db.accepted.map(|epoch| incarnation(millis(epoch) - 50_000));
        let incarnations = std::iter::once(incarnation(1)).chain(accepted).collect();
        Deployment { id: DeploymentId::new(1, [1; 10]), proof: [0; 32], incarnations, gap: None }
    }

    // ---- changes as rows

    /// The rows as they are from now on.
    pub(super) fn applied(&self, mut db: Db, changes: &[Change]) -> (Db, Broken) {
        let mut broken = Broken::default();
        for change in changes {
            match change {
                Change::Machine(MachineChange::Create(machine) | MachineChange::Update(machine)) => {
                    self.keep_machine(&mut db, machine);
                }
                Change::Key(change) => broken = broken.and(self.keep_key(&mut db, change)),
                Change::Credential(change) => self.keep_certificate(&mut db, change),
                Change::Hold(change) => self.keep_hold(&mut db, change),
                Change::Grant(GrantChange::Draw { uses: Uses::Once(Some(binding)), .. }) => {
                    db.spent_by = binding.key.map(|key| self.number(key));
                    db.drew |= db.spent_by.map_or(0, |key| 1 << key);
                }
                other => unreachable!("a change that is not of this model: {other:?}"),
            }
        }
        let hardware = db.machines.iter().flatten().filter(|row| row.has_hardware).count();
        if hardware > 1 {
            broken = broken.and(Broken::TWO_MACHINES);
        }
        (db, broken)
    }

    fn keep_machine(&self, db: &mut Db, machine: &Machine) {
        let row = &mut db.machines[usize::from(self.machine_number(machine.id))];
        let revoked = SuspendCause::Revoked(None);
        *row = Some(MachineRow {
            key: machine.key.map(|key| self.number(key)),
            generation: machine.generation as u8,
            is_revoked: matches!(&machine.state, MachineState::Suspended(now) if now.cause == revoked),
            has_hardware: machine.hardware_id.is_some(),
            door: self.door(machine.grant),
            is_ended: row.is_some_and(|row| row.is_ended),
        });
    }

    fn door(&self, grant: Option<muster_model::GrantId>) -> Option<Door> {
        [Door::Token, Door::Site].into_iter().find(|door| grant == Some(self.grants[*door as usize].id))
    }

    fn keep_key(&self, db: &mut Db, change: &KeyChange) -> Broken {
        match change {
            KeyChange::Register(record) => {
                let row = &mut db.keys[usize::from(self.number(record.key.fingerprint()))];
                let is_new = row.is_none();
                let (machine, generation) = (self.machine_number(record.machine), record.generation as u8);
                *row = Some(KeyRow { machine, generation, standing: record.standing, signed: None });
                return if is_new { Broken::default() } else { Broken::TWO_MACHINES };
            }
            KeyChange::Standing { key, standing } => {
                let row = &mut db.keys[usize::from(self.number(*key))];
                *row = row.map(|row| KeyRow { standing: *standing, ..row });
            }
            KeyChange::SupersedeAll(machine) => {
                let machine = self.machine_number(*machine);
                let its = db.keys.iter_mut().flatten().filter(|row| row.machine == machine);
                its.filter(|row| row.standing.counts())
                    .for_each(|row| row.standing = KeyStanding::Superseded);
            }
            KeyChange::Order { .. } => {}
        }
        Broken::default()
    }

    fn keep_certificate(&self, db: &mut Db, change: &CredentialChange) {
        let state = |state: &CredentialState| match state {
            CredentialState::Reserved => Standing::Reserved,
            CredentialState::Issued(_) => Standing::Issued,
            CredentialState::Ended { reason, .. } => Standing::Ended(*reason),
        };
        match change {
            CredentialChange::Reserve(credential) => {
                let (key, drawn) = self.drawn(credential.id);
                db.certificates[usize::from(key)] = Some(CertificateRow {
                    machine: self.machine_number(credential.machine),
                    generation: credential.generation as u8,
                    state: state(&credential.state),
                    drawn,
                });
            }
            CredentialChange::State { credential, state: now } => {
                let (key, drawn) = self.drawn(*credential);
                let row = db.certificates[usize::from(key)].as_mut().filter(|row| row.drawn == drawn);
                if let Some(row) = row {
                    row.state = state(now);
                }
            }
        }
    }

    fn keep_hold(&self, db: &mut Db, change: &HoldChange) {
        match change {
            HoldChange::Open(hold) => {
                let existing = hold.existing.map(|machine| self.machine_number(machine));
                let door = self.door(hold.grant).expect("every claimant of this model has a grant");
                let row = HoldRow { reason: hold.reason, existing, door, state: Decided::Open };
                db.holds[usize::from(hold.id.as_bytes()[15])] = Some(row);
            }
            HoldChange::Decide { hold, state } => {
                let row = &mut db.holds[usize::from(hold.as_bytes()[15])];
                let state = match state {
                    HoldState::Open => Decided::Open,
                    HoldState::Approved { machine, .. } => Decided::Approved(self.machine_number(*machine)),
                    HoldState::Rejected { .. } => Decided::Rejected,
                };
                *row = row.map(|row| HoldRow { state, ..row });
            }
        }
    }
}
