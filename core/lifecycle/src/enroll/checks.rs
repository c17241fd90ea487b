//! The named checks of the enrollment decision. Each reads facts and changes nothing.

use muster_model::{
    Claimant, Credential, CredentialId, Entitlement, Grant, GrantKind, GrantState, Hold, HoldState,
    KeyStanding, Machine, MachineState, PublicKey, Refusal, ReimagePolicy, SecretHash, SignedDuration,
    Timestamp,
};

use super::{Asked, Facts, Known, Request, Way, keyless, proof};
use crate::machine::over_by;

/// How long a machine must have been silent, and enrolled, before known hardware may rejoin by itself.
pub(super) const REJOIN_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// How the caller stands to the grant it presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has not drawn on it before.
    Anew,
    /// It drew on it before, so nothing is spent on it again.
    Again,
    /// It asked a person while the grant stood, and the grant lets nobody in any more, for the cause given here. It may
    /// learn what became of its hold and nothing else: a rotated key must not admit those who asked by it in time.
    Waiting(&'static str),
}

/// Row 9: the claim still opens a way in. Whatever is wrong with it, the caller gets the same refusal.
pub(super) fn entitled(request: &Request, facts: &Facts, now: Timestamp) -> Result<Way, Refusal> {
    match &request.claim.entitlement {
        Entitlement::Grant { id, hash } => {
            let is_proved = |grant: &Grant| grant.id == *id && proof::holds(request, grant, *hash);
            let grant = facts.grant.clone().filter(is_proved);
            let grant = grant.ok_or(refused("grant_unknown"))?;
            let standing = standing(request, facts, &grant, now)?;
            let site =
                facts.site.clone().filter(|site| site.id == grant.site).ok_or(refused("site_unknown"))?;
            if request.site.as_ref().is_some_and(|named| *named != site.code) {
                return Err(refused("site_wrong"));
            }
            let pending = facts.pending.clone().filter(|made| grant.kind == GrantKind::Machine(made.id));
            let is_known = standing != Standing::Anew && facts.by_key.is_some();
            pending_machine_waits(&grant, pending.as_ref(), is_known)?;
            Ok(Way { grant: Some(grant), site, pending, standing })
        }
        Entitlement::Credential { id, hash } => {
            let standing = as_machine(request, facts, (*id, *hash), now)?;
            let site = facts.site.clone().ok_or(refused("site_unknown"))?;
            Ok(Way { grant: None, site, pending: None, standing })
        }
        Entitlement::Nothing { .. } => {
            let site = facts.site.clone().filter(|site| site.requests).ok_or(Refusal::RequestsNotTaken)?;
            Ok(Way { grant: None, site, pending: None, standing: Standing::Anew })
        }
    }
}

/// Whoever holds the secret of a machine's credential is that machine, while it has no key of its own. The key that it
/// came back with may repeat the call for ever, whatever became of the credential.
fn as_machine(
    request: &Request,
    facts: &Facts,
    (id, hash): (CredentialId, SecretHash),
    now: Timestamp,
) -> Result<Standing, Refusal> {
    let is_named = |credential: &Credential| credential.id == id && credential.kind.hash() == Some(hash);
    let (credential, known) = facts
        .by_credential
        .as_ref()
        .filter(|(credential, known)| is_named(credential) && known.machine.id == credential.machine)
        .ok_or(refused("credential_unknown"))?;
    // What is asked for is a key of its own.
    if request.claimant.key.is_none() {
        return Err(refused("key_missing"));
    }
    match &facts.by_key {
        Some(own) if own.machine.id == known.machine.id => return Ok(Standing::Again),
        Some(_) => return Err(Refusal::IdentityMismatch),
        None => {}
    }
    if matches!(known.machine.state, MachineState::Retired(_)) {
        return Err(over_by(&known.machine.state, now));
    }
    let is_over = !credential.is_open();
    // It proved the credential, it may know. So may one that comes after a machine got its key.
    if is_over || known.machine.key.is_some() {
        return Err(Refusal::Revoked);
    }
    if credential.is_live(now) { Ok(Standing::Anew) } else { Err(refused("credential_expired")) }
}

fn standing(request: &Request, facts: &Facts, grant: &Grant, now: Timestamp) -> Result<Standing, Refusal> {
    if matches!(grant.state, GrantState::Revoked(_)) {
        return Err(refused("grant_revoked"));
    }
    let key = request.claimant.key.as_ref().map(PublicKey::fingerprint);
    let came_in = facts.by_key.as_ref().is_some_and(|known| known.machine.grant == Some(grant.id));
    let answer_was_lost = keyless::lost_answer(facts, now).is_some();
    if grant.is_bound_to(key) || came_in || answer_was_lost {
        return Ok(Standing::Again);
    }
    let waits = facts.holds.iter().any(|hold| hold.grant == Some(grant.id));
    // Opening the hold was counted for this key. A client without one cannot prove that the hold is its own; what a
    // person let in, once, needs no proof.
    let has_paid = waits && (key.is_some() || keyless::approved(request, facts).is_some());
    match lapse(grant, has_paid, now) {
        None if has_paid => Ok(Standing::Again),
        None => Ok(Standing::Anew),
        Some(cause) if waits => Ok(Standing::Waiting(cause)),
        Some(cause) => Err(refused(cause)),
    }
}

/// Why a grant that was not revoked lets nobody in, if so.
fn lapse(grant: &Grant, has_paid: bool, now: Timestamp) -> Option<&'static str> {
    match grant.state {
        GrantState::RotatedOut(_) => Some("grant_rotated_out"),
        _ if grant.expires_at.is_some_and(|end| now >= end) => Some("grant_expired"),
        _ if !has_paid && !grant.has_uses_left() => Some("grant_spent"),
        _ => None,
    }
}

/// The invite of a pending machine lets in whoever becomes that machine, and nobody once somebody did.
fn pending_machine_waits(grant: &Grant, pending: Option<&Machine>, is_known: bool) -> Result<(), Refusal> {
    match (grant.kind, pending.map(|machine| &machine.state)) {
        (GrantKind::Token | GrantKind::SiteKey { .. }, _) | (_, Some(MachineState::Pending(_))) => Ok(()),
        (GrantKind::Machine(_), Some(_)) if is_known => Ok(()),
        (GrantKind::Machine(_), _) => Err(refused("machine_not_pending")),
    }
}

fn refused(cause: &'static str) -> Refusal {
    Refusal::NotEntitled { cause }
}

/// Row 8: a key that was revoked, that a newer one replaced, or whose machine was ended, opens nothing again. Where the end of
/// its machine can still be undone, it is told so.
pub(crate) fn key_still_counts(known: Option<&Known>, now: Timestamp) -> Result<(), Refusal> {
    let Some(known) = known else { return Ok(()) };
    match (&known.machine.state, known.key.as_ref().map(|key| key.standing)) {
        (_, Some(KeyStanding::Revoked | KeyStanding::Superseded)) => Err(Refusal::Revoked),
        (state @ MachineState::Retired(_), _) => Err(over_by(state, now)),
        // Such a key has its own way to the next one.
        (_, Some(KeyStanding::Proposed | KeyStanding::Previous)) => {
            Err(Refusal::WrongState { verb: "enroll", state: "rotating" })
        }
        (_, Some(KeyStanding::Current) | None) => Ok(()),
    }
}

/// Row 8, and that the key before the present one of its machine may ask: only by a certificate that is not over for too
/// long does it vouch for the next one.
pub(super) fn may_ask(facts: &Facts, way: &Way, now: Timestamp) -> Result<(), Refusal> {
    let Facts { by_key, by_previous, .. } = facts;
    let is_before = |known: &Known| {
        known.key.as_ref().is_some_and(|key| key.standing == KeyStanding::Previous)
            && !matches!(known.machine.state, MachineState::Retired(_))
            && known.machine.site == way.site.id
    };
    match by_key {
        Some(known) if is_before(known) => Ok(()),
        // Once the new key is known, the one that vouched for it is rightly superseded: the answer was lost.
        _ => key_still_counts(by_key.as_ref().or(by_previous.as_ref()), now),
    }
}

/// A grant may be for one kind of machine only.
pub(super) fn kind_is_admitted(way: &Way, claimant: &Claimant) -> Result<(), Refusal> {
    match way.grant.as_ref().and_then(|grant| grant.machine_kind) {
        Some(expected) if expected != claimant.kind => {
            Err(Refusal::WrongKind { expected: expected.as_str() })
        }
        _ => Ok(()),
    }
}

/// Row 4a: the machine itself asks for another key. Its hardware, if it names any, must not be somebody else's.
pub(super) fn is_rekey(old: &Known, hardware: Option<&Known>, way: &Way) -> bool {
    old.machine.site == way.site.id && hardware.is_none_or(|known| known.machine.id == old.machine.id)
}

/// Row 4b: known hardware may come back under another key by itself. Only the site's policy, the server's own
/// observations and the clock count. It comes back as what it was: of the same kind, with a key or without one as before,
/// and by a grant, for what a person let in without one only a person lets in again.
pub(super) fn may_rejoin(asked: &Asked<'_>, known: &Known) -> bool {
    let claimant = &asked.request.claimant;
    let hostnames_match =
        claimant.hostname.is_some() && keyless::same_name(&claimant.hostname, &known.machine.hostname);
    let policy_allows = match asked.way.site.reimage {
        ReimagePolicy::Never => false,
        // A site's key lies in every installer, and who has none is heard of by others at most: that is no silence.
        ReimagePolicy::KeylessOnly => known.machine.key.is_none() && !asked.way.is_by_site_key(),
        ReimagePolicy::OfflineOnly => true,
        ReimagePolicy::SameName => hostnames_match,
    };
    let is_alike = known.machine.kind == claimant.kind
        && known.machine.key.is_some() == claimant.key.is_some()
        && known.machine.grant.is_some();
    let is_at_work = matches!(known.machine.state, MachineState::Active(_));
    policy_allows
        && is_alike
        && is_at_work
        && asked.way.pending.is_none()
        && !asked.way.needs_approval()
        && no_person_has_a_say(asked, known)
        && is_long_gone(known, asked.now())
}

/// Row 7: an operator permitted that a tombstone's hardware comes back, once. By a grant of its site, and with a key where it
/// had one. Whom a person turned away stays so.
pub(super) fn may_return(asked: &Asked<'_>, known: &Known) -> bool {
    let is_rejected = |hold: &Hold| {
        matches!(hold.state, HoldState::Rejected { .. }) && hold.existing == Some(known.machine.id)
    };
    known.machine.state.may_return(asked.now())
        && known.machine.site == asked.way.site.id
        && known.machine.kind == asked.request.claimant.kind
        && (known.machine.key.is_none() || asked.request.claimant.key.is_some())
        && asked.way.grant.is_some()
        && asked.way.pending.is_none()
        && !asked.holds.iter().any(is_rejected)
}

/// What a person turned away, or has still to decide, does not come in by policy.
fn no_person_has_a_say(asked: &Asked<'_>, known: &Known) -> bool {
    // Whoever asks chooses the key, so what was decided about the machine since it enrolled counts as well.
    let since = known.machine.enrolled_at;
    let about = asked.about.iter().filter(|hold| Some(hold.created_at) >= since);
    asked.holds.iter().chain(about).all(|hold| match hold.state {
        HoldState::Rejected { .. } => false,
        HoldState::Open => hold.existing != Some(known.machine.id) || hold.is_expired(asked.now()),
        HoldState::Approved { .. } => true,
    })
}

fn is_long_gone(known: &Known, now: Timestamp) -> bool {
    let before = |time: Timestamp| now.duration_since(time) >= REJOIN_AFTER;
    // A machine without a channel is heard of by what it was issued.
    if !known.credentials.iter().all(|credential| before(credential.not_before)) {
        return false;
    }
    let silent = !known.presence.online && known.presence.last_seen.is_none_or(before);
    silent && known.machine.enrolled_at.is_some_and(before)
}
