//! Rotating a machine's key: neither side gives the old one up before the new one has worked.
//!
//! A machine makes its next key and writes it down before it asks; its present key vouches for it. The next one is certified
//! and waits: its *first use* makes it the present one, because only then is it sure that the answer arrived. Each request
//! names the key in the machine's durable slot, its *base*. While that is an older one, the older one keeps a single right,
//! to ask for a rotation, and loses it with the first request whose base is the present key.
//!
//! A proposal is signed, with a nonce, and counts as long as its key has used no later one: one that arrives late, or that
//! somebody had in hand for long, was asked by a machine that may have lost the key since, and have made another.
//!
//! A key is proposed once. A second proposal beside an unused one, a first use that skips the key that vouched, a recovery
//! though the present key was at work, and the use of a superseded key are evidence: of a lost slot, or of a copy. Which of
//! them, nobody here can tell; so they are told, by [`fork::raise`].
//!
//! While somebody looks which of two is the machine, its keys rest: none is proposed, used first or ended by its successor.
//!
//! Invariant: of a machine's keys at most one is current, one proposed and one previous; so at most two do normal work.

mod adopt;

pub use adopt::{Forgotten, adopt, is_shut_out};

use muster_model::{
    Account, Credential, CredentialId, CredentialKind, Deployment, EndReason, Entry, Evidence,
    KeyFingerprint, KeyRecord, KeyStanding, Machine, MachineState, Object, PublicKey, Refusal,
    SignedDuration, SuspendCause, Suspended, Timestamp,
};

use crate::credential::{end_all, reserve, within_grace, young_for};
use crate::fork::{self, Boots, Sign, Watch};
use crate::machine::{self, at_liberty};
use crate::nonce::UsedNonces;
use crate::plan::{Change, Context, CredentialChange, KeyChange, MachineChange, Plan};
use crate::terms::Terms;

/// Why a proposal is told that was made while another was open.
const CONFLICT: &str = "conflict";
/// Next keys that a machine may have within an hour. Each costs a signature, and a row that stays.
pub const PROPOSALS: usize = 30;
const MEASURED: SignedDuration = SignedDuration::from_hours(1);

/// What was read of a machine whose key is shown or is to be replaced.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The machine.
    pub machine: Option<Machine>,
    /// Its keys that are neither superseded nor revoked.
    pub keys: Vec<KeyRecord>,
    /// What is known of the key that is proposed; `None` for one that was never seen.
    pub proposed: Option<KeyRecord>,
    /// Which nonces the key that vouches for a proposal has used.
    pub used: Option<UsedNonces>,
    /// Its credentials that are not ended, the newest first.
    pub credentials: Vec<Credential>,
    /// Its newest credentials, ended or not, the newest first: how many keys it had lately.
    pub lately: Vec<Credential>,
    /// The lives that its present key was shown in.
    pub boots: Option<Boots>,
    /// Its accounts.
    pub accounts: Vec<Account>,
    /// Whether the database was put back to an older day since a key was proposed.
    pub deployment: Option<Deployment>,
}

/// A key that is to be the next one. Its holder has proved that it has it.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The key that vouches for it: the one in the machine's durable slot.
    pub by: KeyFingerprint,
    /// The next key.
    pub key: PublicKey,
    /// The place of the nonce that this was signed with: it was used when the signature was looked at.
    pub nonce: u64,
    /// For its certificate, should there be none yet.
    pub credential: CredentialId,
}

/// A key that is shown, with what the machine says of its own store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The key that was proved.
    pub key: KeyFingerprint,
    /// The key in the machine's durable slot; `None` where it said nothing of it.
    pub base: Option<KeyFingerprint>,
}

/// What a key that counts is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Everything that its machine may do.
    Everything,
    /// To ask for a rotation, and nothing else.
    Rotation,
}

/// Makes a key the next one of its machine, or finds that it is already.
///
/// # Errors
/// [`Refusal::UnknownMachine`]; [`Refusal::Revoked`] and [`Refusal::Superseded`] where the key that vouches counts no more;
/// [`Refusal::CredentialExpired`] after the grace of [`Terms`]; [`Refusal::KeyTaken`] for a key that was seen before;
/// [`Refusal::NonceNeeded`] where the key that vouches has used a later nonce; [`Refusal::MachineSuspended`] while the
/// machine's keys rest; [`Refusal::SlowDown`] for one too many within an hour.
pub fn propose(
    facts: Facts,
    proposal: &Proposal,
    context: &Context,
    terms: &Terms,
    watch: &Watch,
) -> Result<Plan<(Machine, Credential)>, Refusal> {
    let machine = at_work(facts.machine.clone())?;
    let standing = standing_of(&facts.keys, proposal.by)?;
    if facts.used.as_ref().is_none_or(|used| used.last != proposal.nonce) {
        return Err(Refusal::NonceNeeded);
    }
    let own: Vec<Credential> =
        facts.credentials.iter().filter(|credential| credential.certifies(proposal.by)).cloned().collect();
    within_grace(&own, context.now, terms)?;
    at_liberty(&machine)?;
    let ring = Ring::new(facts.keys.clone());
    let key = proposal.key.fingerprint();
    if ring.has(key, KeyStanding::Proposed) && proposal.by != key {
        return Ok(again(machine, &facts.credentials, proposal, context, terms));
    }
    if facts.proposed.is_some() {
        return Err(Refusal::KeyTaken);
    }
    in_measure(&facts.lately, context.now)?;
    let credentials = facts.credentials.clone();
    let mut turn = Turn { machine, ring, credentials, now: context.now, changes: Vec::new() };
    let (reason, evidence) = turn.make_room(standing, proposal.by, &facts);
    let credential = turn.certify(proposal, terms);
    let entry = noted("key.propose", reason, &turn.machine, key, context);
    let plan = Plan::new((turn.machine.clone(), credential), turn.changes, entry);
    let by = (proposal.by, standing != KeyStanding::Previous);
    Ok(raised(plan, evidence, by, (turn.machine, &facts.accounts), watch, context))
}

/// A key is shown. The first use of a proposed one makes it the current one; a base that has arrived at the current key
/// ends the one before it. Else nothing is written.
///
/// # Errors
/// [`Refusal::UnknownMachine`]; [`Refusal::Revoked`] and [`Refusal::Superseded`] for a key that counts no more;
/// [`Refusal::CredentialExpired`] for a proposed one without a certificate, and [`Refusal::MachineSuspended`] for one whose
/// machine is paused so that its keys rest.
pub fn used(
    facts: Facts,
    shown: Shown,
    watch: &Watch,
    context: &Context,
) -> Result<Plan<(Machine, Right)>, Refusal> {
    let machine = at_work(facts.machine.clone())?;
    let standing = standing_of(&facts.keys, shown.key)?;
    let ring = Ring::new(facts.keys.clone());
    let credentials = facts.credentials.clone();
    let mut turn = Turn { machine, ring, credentials, now: context.now, changes: Vec::new() };
    let (action, reason, evidence) = match standing {
        KeyStanding::Previous => return Ok(Plan::unchanged((turn.machine, Right::Rotation))),
        KeyStanding::Proposed => {
            turn.may_begin(shown.key)?;
            let evidence = turn.skipped(shown.base, &facts);
            turn.activate(shown.base);
            ("key.activate", "first_use", evidence)
        }
        _ if shown.base == Some(shown.key) && !turn.machine.keys_rest() && turn.drop_previous() => {
            ("key.settle", "durable", None)
        }
        _ => return Ok(Plan::unchanged((turn.machine, Right::Everything))),
    };
    let entry = noted(action, reason, &turn.machine, shown.key, context);
    let plan = Plan::new((turn.machine.clone(), Right::Everything), turn.changes, entry);
    let sign = (shown.key, true);
    Ok(raised(plan, evidence, sign, (turn.machine, &facts.accounts), watch, context))
}

/// The plan, with what is done about a sign of a copy that it shows; the outcome is the machine as it is by that.
fn raised<T>(
    plan: Plan<(Machine, T)>,
    evidence: Option<Evidence>,
    (key, is_present): (KeyFingerprint, bool),
    (machine, accounts): (Machine, &[Account]),
    watch: &Watch,
    context: &Context,
) -> Plan<(Machine, T)> {
    let Some(evidence) = evidence else { return plan };
    let plan = fork::raise(plan, Sign { evidence, key, is_present }, machine, accounts, watch, context);
    let last = plan.changes().iter().rev().find_map(|change| match change {
        Change::Machine(MachineChange::Update(machine)) => Some(machine.clone()),
        _ => None,
    });
    plan.map(|(machine, rest)| (last.unwrap_or(machine), rest))
}

/// A machine changes its key now and then, and more often where its slots are lost: not in a circle.
fn in_measure(lately: &[Credential], now: Timestamp) -> Result<(), Refusal> {
    let mut keys: Vec<(KeyFingerprint, Timestamp)> = Vec::new();
    for credential in lately {
        let CredentialKind::Certificate { key } = credential.kind else { continue };
        let drawn_at = credential.id.drawn_at();
        if now.duration_since(drawn_at) < MEASURED && !keys.iter().any(|(known, _)| *known == key) {
            keys.push((key, drawn_at));
        }
    }
    match keys.get(PROPOSALS) {
        // The one that it began with is among them.
        Some((_, drawn_at)) => {
            let left = MEASURED.saturating_sub(now.duration_since(*drawn_at)).as_secs().clamp(1, 3_600);
            Err(Refusal::SlowDown { retry_after: u32::try_from(left).unwrap_or(3_600) })
        }
        None => Ok(()),
    }
}

/// A machine that may have a key at all.
fn at_work(machine: Option<Machine>) -> Result<Machine, Refusal> {
    let machine = machine.ok_or(Refusal::UnknownMachine)?;
    match &machine.state {
        MachineState::Retired(_)
        | MachineState::Pending(_)
        | MachineState::Suspended(Suspended { cause: SuspendCause::Revoked(_), .. }) => {
            Err(machine::over(&machine.state))
        }
        MachineState::Active(_) | MachineState::Suspended(_) => Ok(machine),
    }
}

/// The same proposal again: the certificate that was lost on the way, or the next one where that is too old.
fn again(
    machine: Machine,
    credentials: &[Credential],
    proposal: &Proposal,
    context: &Context,
    terms: &Terms,
) -> Plan<(Machine, Credential)> {
    let key = proposal.key.fingerprint();
    if let Some(credential) = young_for(credentials, key, context.now, terms) {
        return Plan::unchanged((machine, credential));
    }
    let mut turn = Turn {
        machine,
        ring: Ring::default(),
        credentials: credentials.to_vec(),
        now: context.now,
        changes: Vec::new(),
    };
    turn.end_certificates(key, EndReason::Renewed);
    let credential = turn.certify_as_next(proposal, terms);
    let entry = noted("key.propose", "again", &turn.machine, key, context);
    Plan::new((turn.machine, credential), turn.changes, entry)
}

/// How a key stands that was proved a moment ago. Superseded keys are not read: who is not among them is one.
fn standing_of(keys: &[KeyRecord], key: KeyFingerprint) -> Result<KeyStanding, Refusal> {
    let record = keys.iter().find(|record| record.key.fingerprint() == key);
    match record.map(|record| record.standing) {
        Some(standing) if standing.counts() => Ok(standing),
        Some(KeyStanding::Revoked) => Err(Refusal::Revoked),
        Some(_) | None => Err(Refusal::Superseded),
    }
}

/// The keys of a machine that count.
#[derive(Debug, Clone, Default)]
struct Ring(Vec<KeyRecord>);

impl Ring {
    fn new(keys: Vec<KeyRecord>) -> Self {
        Self(keys.into_iter().filter(|record| record.standing.counts()).collect())
    }

    fn standing(&self, key: KeyFingerprint) -> Option<KeyStanding> {
        self.0.iter().find(|record| record.key.fingerprint() == key).map(|record| record.standing)
    }

    fn has(&self, key: KeyFingerprint, standing: KeyStanding) -> bool {
        self.standing(key) == Some(standing)
    }

    /// The key that stands so.
    fn at(&self, standing: KeyStanding) -> Option<KeyFingerprint> {
        self.0.iter().find(|record| record.standing == standing).map(|record| record.key.fingerprint())
    }

    fn set(&mut self, key: KeyFingerprint, standing: KeyStanding) {
        for record in self.0.iter_mut().filter(|record| record.key.fingerprint() == key) {
            record.standing = standing;
        }
        self.0.retain(|record| record.standing.counts());
    }
}

/// A machine's keys as they move, with the changes that make it so.
struct Turn {
    machine: Machine,
    ring: Ring,
    credentials: Vec<Credential>,
    now: Timestamp,
    changes: Vec<Change>,
}

impl Turn {
    /// Makes the place of the next key free, and says by which right and against which odds.
    fn make_room(
        &mut self,
        vouching: KeyStanding,
        by: KeyFingerprint,
        facts: &Facts,
    ) -> (&'static str, Option<Evidence>) {
        let mut evidence = None;
        match vouching {
            // It was used somewhere where nobody noted it: that it vouches is its first use.
            KeyStanding::Proposed => {
                evidence = self.skipped(Some(by), facts);
                self.activate(Some(by));
            }
            KeyStanding::Previous => evidence = facts.boots.as_ref().map(|_| Evidence::Recovery),
            // It vouches, so it is what the machine has in its durable slot.
            _ => {
                self.drop_previous();
            }
        }
        let unused = self.ring.at(KeyStanding::Proposed);
        if let Some(unused) = unused {
            self.stand(unused, KeyStanding::Superseded);
        }
        match (unused, vouching) {
            (Some(_), _) => (CONFLICT, Some(Evidence::Conflict)),
            (None, KeyStanding::Previous) => ("recovery", evidence),
            (None, _) => ("rotation", evidence),
        }
    }

    /// Whether a proposed key may be used for the first time.
    fn may_begin(&self, key: KeyFingerprint) -> Result<(), Refusal> {
        at_liberty(&self.machine)?;
        let is_certified = self.credentials.iter().any(|known| known.certifies(key) && known.is_open());
        if is_certified { Ok(()) } else { Err(Refusal::CredentialExpired) }
    }

    /// A machine wakes up with the key that vouched until the next one has worked: whoever uses that first, and has another
    /// one in the durable slot, is not whoever asked for it; or the database has forgotten the first use.
    fn skipped(&self, base: Option<KeyFingerprint>, facts: &Facts) -> Option<Evidence> {
        let at = |standing| self.ring.at(standing);
        let has_lives = facts.boots.is_some();
        let evidence = match base {
            Some(base) if Some(base) == at(KeyStanding::Current) => None,
            Some(base) if Some(base) == at(KeyStanding::Previous) => has_lives.then_some(Evidence::Recovery),
            // Not every client says what is in its slot, but one that has does so each time.
            None => has_lives.then_some(Evidence::BaseSkipped),
            Some(_) => Some(Evidence::BaseSkipped),
        };
        evidence.filter(|_| !self.is_forgotten(facts.deployment.as_ref()))
    }

    /// Whether the next key was proposed in a stretch before the present one, of which some is forgotten.
    fn is_forgotten(&self, deployment: Option<&Deployment>) -> bool {
        let Some(accepted_at) = deployment.and_then(Deployment::accepted_at) else { return false };
        let Some(next) = self.ring.at(KeyStanding::Proposed) else { return false };
        self.credentials.iter().any(|known| known.certifies(next) && known.id.drawn_at() < accepted_at)
    }

    /// Registers the next key and reserves its certificate.
    fn certify(&mut self, proposal: &Proposal, terms: &Terms) -> Credential {
        let record = KeyRecord {
            key: proposal.key.clone(),
            machine: self.machine.id,
            generation: self.machine.generation + 1,
            standing: KeyStanding::Proposed,
            ordered_at: None,
        };
        self.changes.push(KeyChange::Register(record).into());
        self.certify_as_next(proposal, terms)
    }

    fn certify_as_next(&mut self, proposal: &Proposal, terms: &Terms) -> Credential {
        let next = Machine { generation: self.machine.generation + 1, ..self.machine.clone() };
        let kind = CredentialKind::Certificate { key: proposal.key.fingerprint() };
        let credential = reserve(proposal.credential, &next, kind, self.now, terms);
        self.changes.push(CredentialChange::Reserve(credential.clone()).into());
        credential
    }

    /// The proposed key becomes the current one. Of the older ones stays the one that the machine has in its durable slot:
    /// the current one, where it said nothing of it or named none of them.
    fn activate(&mut self, base: Option<KeyFingerprint>) {
        let Some(next) = self.ring.at(KeyStanding::Proposed) else { return };
        let older = [KeyStanding::Previous, KeyStanding::Current].map(|standing| self.ring.at(standing));
        let [previous, current] = older;
        let kept = base.filter(|base| previous == Some(*base)).or(current);
        for key in older.into_iter().flatten() {
            let standing = if Some(key) == kept { KeyStanding::Previous } else { KeyStanding::Superseded };
            self.stand(key, standing);
        }
        self.stand(next, KeyStanding::Current);
        self.machine.key = Some(next);
        self.machine.generation += 1;
        self.machine.key_since = Some(self.now);
        self.changes.push(MachineChange::Update(self.machine.clone()).into());
    }

    /// The key before the current one loses its last right. False where there is none.
    fn drop_previous(&mut self) -> bool {
        let previous = self.ring.at(KeyStanding::Previous);
        if let Some(previous) = previous {
            self.stand(previous, KeyStanding::Superseded);
        }
        previous.is_some()
    }

    /// How a key stands from now on; what was issued for one that counts no more ends.
    fn stand(&mut self, key: KeyFingerprint, standing: KeyStanding) {
        if self.ring.has(key, standing) {
            return;
        }
        self.ring.set(key, standing);
        self.changes.push(KeyChange::Standing { key, standing }.into());
        if standing == KeyStanding::Superseded {
            self.end_certificates(key, EndReason::Superseded);
        }
    }

    fn end_certificates(&mut self, key: KeyFingerprint, reason: EndReason) {
        let is_for = |credential: &&Credential| credential.certifies(key);
        let its: Vec<Credential> = self.credentials.iter().filter(is_for).cloned().collect();
        self.changes.extend(end_all(&its, reason, self.now));
    }
}

fn noted(
    action: &'static str,
    reason: &'static str,
    machine: &Machine,
    key: KeyFingerprint,
    context: &Context,
) -> Entry {
    let mut entry = context.entry(action, Object::Machine(machine.id), reason);
    entry.detail = vec![("key", key.to_string()), ("generation", machine.generation.to_string())];
    entry
}

#[cfg(test)]
mod adopt_tests;
#[cfg(test)]
mod tests;
