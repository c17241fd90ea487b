//! Rotating a machine's key: neither side gives the old one up before the new one has worked.
//!
//! A machine makes its next key and writes it down before it asks; its present key vouches for it. The next one is certified
//! and waits: its *first use* makes it the present one, because only then is it sure that the answer arrived. Each request
//! names the key in the machine's durable slot, its *base*. While that is an older one, the older one keeps a single right,
//! to ask for a rotation, and loses it with the first request whose base is the present key.
//!
//! A key is proposed once. A second proposal beside an unused one, a proposal by the key before the present one, and the use
//! of a superseded key are evidence: of a lost slot, or of a copy. Which of them, nobody here can tell; so they are told.
//!
//! Invariant: of a machine's keys at most one is current, one proposed and one previous; so at most two do normal work.

mod adopt;

pub use adopt::{Forgotten, adopt};

use muster_model::{
    Credential, CredentialId, CredentialKind, EndReason, Entry, KeyFingerprint, KeyRecord, KeyStanding,
    Machine, MachineState, Object, PublicKey, Reason, Refusal, SuspendCause, Suspended, Timestamp,
};

use crate::credential::{end_all, reserve, within_grace, young_for};
use crate::machine;
use crate::plan::{Change, Context, CredentialChange, KeyChange, MachineChange, Plan};
use crate::terms::Terms;

/// Why a proposal is told that was made while another was open.
const CONFLICT: &str = "conflict";

/// What was read of a machine whose key is shown or is to be replaced.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The machine.
    pub machine: Option<Machine>,
    /// Its keys that are neither superseded nor revoked.
    pub keys: Vec<KeyRecord>,
    /// What is known of the key that is proposed; `None` for one that was never seen.
    pub proposed: Option<KeyRecord>,
    /// Its credentials that are not ended, the newest first.
    pub credentials: Vec<Credential>,
}

/// A key that is to be the next one. Its holder has proved that it has it.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The key that vouches for it: the one in the machine's durable slot.
    pub by: KeyFingerprint,
    /// The next key.
    pub key: PublicKey,
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
/// [`Refusal::CredentialExpired`] after the grace of [`Terms`]; [`Refusal::KeyTaken`] for a key that was seen before.
pub fn propose(
    facts: Facts,
    proposal: &Proposal,
    context: &Context,
    terms: &Terms,
) -> Result<Plan<(Machine, Credential)>, Refusal> {
    let Facts { machine, keys, proposed, credentials } = facts;
    let machine = at_work(machine)?;
    let standing = standing_of(&keys, proposal.by)?;
    let ring = Ring::new(keys);
    within_grace(&credentials, context.now, terms)?;
    let key = proposal.key.fingerprint();
    if ring.has(key, KeyStanding::Proposed) && proposal.by != key {
        return Ok(again(machine, &credentials, proposal, context, terms));
    }
    if proposed.is_some() {
        return Err(Refusal::KeyTaken);
    }
    let mut turn = Turn { machine, ring, credentials, now: context.now, changes: Vec::new() };
    let reason = turn.make_room(standing, proposal.by);
    let credential = turn.certify(proposal, terms);
    let entry = noted("key.propose", reason, &turn.machine, key, context);
    Ok(Plan::new((turn.machine, credential), turn.changes, entry))
}

/// Whether a proposal was made while another was open: only a copy of the machine has cause for that, or a damaged slot.
pub fn is_conflict<O>(plan: &Plan<O>) -> bool {
    plan.entries().iter().any(|entry| entry.reason == Reason(CONFLICT))
}

/// A key is shown. The first use of a proposed one makes it the current one; a base that has arrived at the current key
/// ends the one before it. Else nothing is written.
///
/// # Errors
/// [`Refusal::UnknownMachine`]; [`Refusal::Revoked`] and [`Refusal::Superseded`] for a key that counts no more.
pub fn used(facts: Facts, shown: Shown, context: &Context) -> Result<Plan<(Machine, Right)>, Refusal> {
    let Facts { machine, keys, credentials, .. } = facts;
    let machine = at_work(machine)?;
    let standing = standing_of(&keys, shown.key)?;
    let ring = Ring::new(keys);
    let mut turn = Turn { machine, ring, credentials, now: context.now, changes: Vec::new() };
    let (action, reason) = match standing {
        KeyStanding::Previous => return Ok(Plan::unchanged((turn.machine, Right::Rotation))),
        KeyStanding::Proposed => {
            turn.activate(shown.base);
            ("key.activate", "first_use")
        }
        _ if shown.base == Some(shown.key) && turn.drop_previous() => ("key.settle", "durable"),
        _ => return Ok(Plan::unchanged((turn.machine, Right::Everything))),
    };
    let entry = noted(action, reason, &turn.machine, shown.key, context);
    Ok(Plan::new((turn.machine, Right::Everything), turn.changes, entry))
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
    fn make_room(&mut self, vouching: KeyStanding, by: KeyFingerprint) -> &'static str {
        match vouching {
            // It was used somewhere where nobody noted it: that it vouches is its first use.
            KeyStanding::Proposed => self.activate(Some(by)),
            KeyStanding::Previous => {}
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
            (Some(_), _) => CONFLICT,
            (None, KeyStanding::Previous) => "recovery",
            (None, _) => "rotation",
        }
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
    /// the current one, where it said nothing of it.
    fn activate(&mut self, base: Option<KeyFingerprint>) {
        let Some(next) = self.ring.at(KeyStanding::Proposed) else { return };
        let base = base.or_else(|| self.ring.at(KeyStanding::Current));
        let older = [KeyStanding::Previous, KeyStanding::Current].map(|standing| self.ring.at(standing));
        for key in older.into_iter().flatten() {
            let standing = if Some(key) == base { KeyStanding::Previous } else { KeyStanding::Superseded };
            self.stand(key, standing);
        }
        self.stand(next, KeyStanding::Current);
        self.machine.key = Some(next);
        self.machine.generation += 1;
        self.machine.enrolled_at = Some(self.now);
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
