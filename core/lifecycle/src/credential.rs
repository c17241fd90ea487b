//! Renewing, minting and ending credentials.

use muster_model::{
    Credential, CredentialId, CredentialKind, CredentialState, EndReason, KeyFingerprint, KeyRecord,
    KeyStanding, Machine, MachineState, Minted, Object, Refusal, SignedDuration, Timestamp,
};

use crate::machine::over;
use crate::plan::{Change, Context, CredentialChange, Plan};
use crate::terms::Terms;

/// What was read for a renewal.
#[derive(Debug, Clone)]
pub struct RenewFacts {
    /// The machine that proved the key; `None` where there is none.
    pub machine: Option<Machine>,
    /// The proved key.
    pub key: Option<KeyRecord>,
    /// Its credentials that are not ended, the newest first.
    pub credentials: Vec<Credential>,
}

/// A new certificate for the same key. Asking again soon gets the same one. The one before it lives on, for its successor
/// may never arrive; all older ones end.
///
/// # Errors
/// [`Refusal::UnknownMachine`], [`Refusal::Revoked`] for a key or machine that was ended, and
/// [`Refusal::CredentialExpired`] once the machine has no certificate that ended within the grace of [`Terms`].
pub fn renew(
    facts: RenewFacts,
    id: CredentialId,
    context: &Context,
    terms: &Terms,
) -> Result<Plan<(Machine, Credential)>, Refusal> {
    let RenewFacts { machine, key, mut credentials } = facts;
    let (machine, key) = machine.zip(key).ok_or(Refusal::UnknownMachine)?;
    let key = standing_key(&machine, &key)?;
    // The certificate of a proposed key waits for its first use.
    credentials.retain(|credential| credential.certifies(key));
    within_grace(&credentials, context.now, terms)?;
    if let Some(credential) = just_reserved(&credentials, &machine, context.now, terms) {
        return Ok(Plan::unchanged((machine, credential)));
    }
    let credential = reserve(id, &machine, CredentialKind::Certificate { key }, context.now, terms);
    let mut changes = end_older(&credentials, context.now);
    changes.push(CredentialChange::Reserve(credential.clone()).into());
    let mut entry = context.entry("credential.renew", Object::Machine(machine.id), "same_key");
    entry.detail =
        vec![("credential", credential.id.to_string()), ("not_after", credential.not_after.to_string())];
    Ok(Plan::new((machine, credential), changes, entry))
}

/// A machine's present key, if the machine may still be certified.
fn standing_key(machine: &Machine, key: &KeyRecord) -> Result<KeyFingerprint, Refusal> {
    let fingerprint = key.key.fingerprint();
    match (&machine.state, key.standing) {
        (MachineState::Active(_) | MachineState::Suspended(_), KeyStanding::Current)
            if machine.key == Some(fingerprint) =>
        {
            Ok(fingerprint)
        }
        // Another one took its place while this was asked: it is under way, and nothing has ended.
        (MachineState::Active(_) | MachineState::Suspended(_), KeyStanding::Previous) => {
            Err(Refusal::RotationNeeded)
        }
        _ => Err(over(&machine.state)),
    }
}

pub(crate) fn within_grace(credentials: &[Credential], now: Timestamp, terms: &Terms) -> Result<(), Refusal> {
    let end = credentials.iter().map(|credential| credential.not_after).max();
    if end.is_some_and(|end| now <= end + terms.renew_grace) {
        Ok(())
    } else {
        Err(Refusal::CredentialExpired)
    }
}

/// A certificate that was reserved so recently that this must be the same request again.
fn just_reserved(
    credentials: &[Credential],
    machine: &Machine,
    now: Timestamp,
    terms: &Terms,
) -> Option<Credential> {
    let is_fresh = |credential: &&Credential| {
        let life = credential.not_after.duration_since(credential.not_before);
        let is_late = credential.not_after.duration_since(now) <= life * 9 / 10;
        is_for(credential, machine) && !is_late && !is_outdated(credential, terms)
    };
    let is_second = credentials.iter().filter(|credential| is_for(credential, machine)).count() > 1;
    credentials
        .iter()
        .find(is_fresh)
        .filter(|credential| is_second || credential.state == CredentialState::Reserved)
        .cloned()
}

/// Makes room for a successor: ends all but the newest that was minted. What is only reserved never left the house.
pub(crate) fn end_older(credentials: &[Credential], now: Timestamp) -> Vec<Change> {
    let is_minted = |credential: &Credential| matches!(credential.state, CredentialState::Issued(_));
    let kept = credentials.iter().position(is_minted).unwrap_or(0);
    let older: Vec<Credential> =
        credentials.iter().enumerate().filter(|(at, _)| *at != kept).map(|(_, c)| c.clone()).collect();
    end_all(&older, EndReason::Renewed, now)
}

/// A certificate for this key that is open and has more than half of its life.
pub(crate) fn young_for(
    credentials: &[Credential],
    key: KeyFingerprint,
    now: Timestamp,
    terms: &Terms,
) -> Option<Credential> {
    let is_its = |credential: &&Credential| credential.certifies(key) && is_young(credential, now, terms);
    credentials.iter().find(is_its).cloned()
}

/// The credential a machine has, where it still has more than half of its life and is for its present key.
pub(crate) fn young(
    credentials: &[Credential],
    machine: &Machine,
    now: Timestamp,
    terms: &Terms,
) -> Option<Credential> {
    let is_its = |credential: &&Credential| is_for(credential, machine) && is_young(credential, now, terms);
    credentials.iter().find(is_its).cloned()
}

/// Whether another authority than the present one may have signed it.
fn is_outdated(credential: &Credential, terms: &Terms) -> bool {
    let is_certificate = matches!(credential.kind, CredentialKind::Certificate { .. });
    is_certificate && terms.certified_since.is_some_and(|since| credential.id.drawn_at() < since)
}

fn is_young(credential: &Credential, now: Timestamp, terms: &Terms) -> bool {
    let life = credential.not_after.duration_since(credential.not_before);
    credential.is_open()
        && !is_outdated(credential, terms)
        && credential.not_after.duration_since(now) > life / 2
}

fn is_for(credential: &Credential, machine: &Machine) -> bool {
    let same_key = machine.key.is_some_and(|key| credential.certifies(key));
    same_key && credential.is_open() && credential.generation == machine.generation
}

/// A credential that is decided: a certificate is still to be minted, outside of the transaction. A secret was drawn
/// beforehand, so nothing is left to mint and it is issued with the decision.
pub(crate) fn reserve(
    id: CredentialId,
    machine: &Machine,
    kind: CredentialKind,
    now: Timestamp,
    terms: &Terms,
) -> Credential {
    let (backdate, life, state) = match kind {
        // A short life must not be mostly over when it begins.
        CredentialKind::Certificate { .. } => {
            let backdate = terms.backdate.min(terms.certificate_life / 10);
            (backdate, terms.certificate_life, CredentialState::Reserved)
        }
        CredentialKind::Bearer { .. } => {
            (SignedDuration::ZERO, terms.bearer_life, CredentialState::Issued(Minted::Bearer))
        }
        CredentialKind::Refresh { .. } => {
            let unused = CredentialState::Issued(Minted::Refresh { used_at: None });
            (SignedDuration::ZERO, terms.refresh_life, unused)
        }
    };
    Credential {
        id,
        tenant: machine.tenant,
        machine: machine.id,
        generation: machine.generation,
        kind,
        not_before: whole_second(now - backdate),
        not_after: whole_second(now + life),
        state,
    }
}

/// X.509 times have whole seconds (RFC 5280 §4.1.2.5), so that the row and the certificate say the same.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).expect("a second of a valid time is valid")
}

/// Ends credentials that are not ended yet.
pub(crate) fn end_all(credentials: &[Credential], reason: EndReason, at: Timestamp) -> Vec<Change> {
    let end = |credential: &Credential| {
        let state = CredentialState::Ended { at, reason };
        CredentialChange::State { credential: credential.id, state }.into()
    };
    credentials.iter().filter(|credential| credential.is_open()).map(end).collect()
}

/// What was minted becomes durable, before it leaves the house. The first to be confirmed is the one that counts;
/// an end decided meanwhile wins.
///
/// # Errors
/// [`Refusal::Revoked`] where the credential or its machine ended between reserving and minting,
/// [`Refusal::SlowDown`] where a newer credential for the same key took its place: asking again gets that one.
pub fn confirm(
    credential: Option<Credential>,
    machine: Option<&Machine>,
    minted: Minted,
    context: &Context,
) -> Result<Plan<Credential>, Refusal> {
    let credential = credential.ok_or(Refusal::NotFound { what: "credential" })?;
    if machine.is_none_or(|machine| matches!(machine.state, MachineState::Retired(_))) {
        return Err(Refusal::Revoked);
    }
    match credential.state {
        CredentialState::Issued(_) => Ok(Plan::unchanged(credential)),
        // A newer one took its place while this was minted. The key is as good as ever, so this must neither read as a
        // revocation nor stop the machine: asking again gets the newer one.
        CredentialState::Ended { reason: EndReason::Renewed, .. } => {
            Err(Refusal::SlowDown { retry_after: 1 })
        }
        CredentialState::Ended {
            reason: EndReason::Superseded | EndReason::Revoked | EndReason::Retired,
            ..
        } => Err(Refusal::Revoked),
        CredentialState::Reserved => {
            let issued = Credential { state: CredentialState::Issued(minted), ..credential };
            let change = CredentialChange::State { credential: issued.id, state: issued.state.clone() };
            let mut entry = context.entry("credential.issue", Object::Credential(issued.id), "minted");
            entry.detail = vec![("machine", issued.machine.to_string())];
            Ok(Plan::new(issued, vec![change.into()], entry))
        }
    }
}

#[cfg(test)]
mod tests;
