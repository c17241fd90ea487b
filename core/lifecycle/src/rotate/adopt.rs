//! Adopting what a restored database has forgotten: a certificate of ours that was issued between the day that the
//! database was put back to and the day on which an operator accepted that, and with it the key that it is for.
//!
//! Never takes what the database knows to be superseded or revoked, nor anything that is older than what it knows.

use muster_model::{
    Credential, CredentialId, CredentialKind, CredentialState, Deployment, KeyFingerprint, KeyRecord,
    KeyStanding, Machine, Minted, PublicKey, Refusal, Timestamp,
};

use super::{Facts, Ring, Turn, at_work, noted};
use crate::machine::at_liberty;
use crate::plan::{Change, Context, CredentialChange, KeyChange, MachineChange, Plan};

/// A certificate whose chain to our roots was verified, and that is in no row.
#[derive(Debug, Clone)]
pub struct Forgotten {
    /// Its identifier, drawn when it was issued.
    pub credential: CredentialId,
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// The key that it is for.
    pub key: PublicKey,
    /// The key in the durable slot of whoever shows it; `None` where it said nothing of it.
    pub base: Option<KeyFingerprint>,
    /// Start of its life.
    pub not_before: Timestamp,
    /// End of its life.
    pub not_after: Timestamp,
}

/// Takes a forgotten certificate, and its key, for what they were. The key in the machine's durable slot keeps the right to
/// recover, until the machine has named the adopted one as its base.
///
/// # Errors
/// [`Refusal::NotAuthenticated`] for one that was not issued in a stretch that was forgotten, and as long as the key in the
/// machine's durable slot is forgotten as well: that one is adopted first, for after a newer one it could not be.
/// [`Refusal::Superseded`] and [`Refusal::Revoked`] for a key that is known to be that; [`Refusal::MachineSuspended`] while
/// the machine's keys rest.
pub fn adopt(
    facts: Facts,
    forgotten: &Forgotten,
    deployment: Option<&Deployment>,
    context: &Context,
) -> Result<Plan<Machine>, Refusal> {
    let Facts { machine, keys, proposed: known, credentials, .. } = facts;
    let machine = at_work(machine)?;
    if !was_forgotten(forgotten, &credentials, deployment) {
        return Err(Refusal::NotAuthenticated { cause: "credential_unknown" });
    }
    let key = forgotten.key.fingerprint();
    let mut turn =
        Turn { machine, ring: Ring::new(keys), credentials, now: context.now, changes: Vec::new() };
    match known {
        None if !turn.stands_on(forgotten) => {
            return Err(Refusal::NotAuthenticated { cause: "base_unknown" });
        }
        None => {
            at_liberty(&turn.machine)?;
            turn.succeed(forgotten);
        }
        Some(KeyRecord { machine, .. }) if machine != turn.machine.id => {
            return Err(Refusal::IdentityMismatch);
        }
        Some(KeyRecord { standing: KeyStanding::Superseded, .. }) => return Err(Refusal::Superseded),
        Some(KeyRecord { standing: KeyStanding::Revoked, .. }) => return Err(Refusal::Revoked),
        Some(KeyRecord {
            standing: KeyStanding::Current | KeyStanding::Proposed | KeyStanding::Previous,
            ..
        }) => {}
    }
    turn.remember(forgotten);
    let mut entry = noted("key.adopt", "restored", &turn.machine, key, context);
    entry.detail.push(("credential", forgotten.credential.to_string()));
    Ok(Plan::new(turn.machine, turn.changes, entry))
}

/// Whether the certificate is of a forgotten stretch, and for a key that is in no row, but not newer than what is known of
/// its machine: whoever spoke first after the older database was accepted has shut this one out, and it may be the owner.
pub fn is_shut_out(facts: &Facts, forgotten: &Forgotten, deployment: Option<&Deployment>) -> bool {
    let is_at_work = at_work(facts.machine.clone()).is_ok();
    let before = deployment
        .and_then(Deployment::accepted_at)
        .is_some_and(|accepted_at| forgotten.credential.drawn_at() < accepted_at);
    is_at_work
        && before
        && facts.proposed.is_none()
        && !was_forgotten(forgotten, &facts.credentials, deployment)
}

/// Whether it was issued after everything that is known of its machine, and before the older database was accepted.
fn was_forgotten(forgotten: &Forgotten, known: &[Credential], deployment: Option<&Deployment>) -> bool {
    let Some(accepted_at) = deployment.and_then(Deployment::accepted_at) else { return false };
    let issued_at = forgotten.credential.drawn_at();
    let is_newer = known.iter().all(|credential| credential.id.drawn_at() < issued_at);
    is_newer && issued_at < accepted_at
}

impl Turn {
    /// Whether the key that its holder would wake up with is this one or one that counts.
    fn stands_on(&self, forgotten: &Forgotten) -> bool {
        let is_it = |base: KeyFingerprint| base == forgotten.key.fingerprint();
        forgotten.base.is_none_or(|base| is_it(base) || self.ring.standing(base).is_some())
    }

    /// A key that is in no row takes the place of the current one. Of those that are known stays the one that the machine has
    /// in its durable slot, however the day stood to it that the database was put back to.
    fn succeed(&mut self, forgotten: &Forgotten) {
        let all = [KeyStanding::Previous, KeyStanding::Proposed, KeyStanding::Current];
        let known = all.map(|standing| self.ring.at(standing));
        let base = forgotten.base.or_else(|| self.ring.at(KeyStanding::Current));
        // What makes room first: there is one place for a key before.
        for key in known.into_iter().flatten().filter(|key| Some(*key) != base) {
            self.stand(key, KeyStanding::Superseded);
        }
        if let Some(base) = base.filter(|base| known.contains(&Some(*base))) {
            self.stand(base, KeyStanding::Previous);
        }
        self.machine.generation += 1;
        self.machine.key = Some(forgotten.key.fingerprint());
        self.machine.key_since = Some(self.now);
        let record = KeyRecord {
            key: forgotten.key.clone(),
            machine: self.machine.id,
            generation: self.machine.generation,
            standing: KeyStanding::Current,
            ordered_at: None,
        };
        self.changes.push(MachineChange::Update(self.machine.clone()).into());
        self.changes.push(KeyChange::Register(record).into());
    }

    fn remember(&mut self, forgotten: &Forgotten) {
        let credential = Credential {
            id: forgotten.credential,
            tenant: self.machine.tenant,
            machine: self.machine.id,
            generation: self.machine.generation,
            kind: CredentialKind::Certificate { key: forgotten.key.fingerprint() },
            not_before: forgotten.not_before,
            not_after: forgotten.not_after,
            state: CredentialState::Issued(Minted::Certificate(forgotten.der.clone())),
        };
        self.changes.push(Change::from(CredentialChange::Reserve(credential)));
    }
}
