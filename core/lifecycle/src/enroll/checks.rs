//! The named checks of the enrollment decision. Each reads facts and changes nothing.

use muster_model::{
    Claimant, Entitlement, Grant, GrantKind, GrantState, HoldState, KeyStanding, MachineState, PublicKey,
    Refusal, ReimagePolicy, SignedDuration, Timestamp,
};

use super::{Asked, Facts, Known, Request, Way};

/// How long a machine must have been silent, and enrolled, before known hardware may rejoin by itself.
const REJOIN_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Row 9: the claim still opens a way in. Whatever is wrong with it, the caller gets the same refusal.
pub(super) fn entitled(request: &Request, facts: &Facts, now: Timestamp) -> Result<Way, Refusal> {
    match &request.claim.entitlement {
        Entitlement::Grant { id, hash } => {
            let grant = facts.grant.clone().filter(|grant| grant.id == *id && grant.hash == *hash);
            let grant = grant.ok_or(refused("grant_unknown"))?;
            let repeats = repeats(request, facts, &grant);
            grant_stands(&grant, repeats, now)?;
            let site =
                facts.site.clone().filter(|site| site.id == grant.site).ok_or(refused("site_unknown"))?;
            let pending = match grant.kind {
                GrantKind::Machine(_) => facts.pending.clone(),
                GrantKind::Token | GrantKind::SiteKey { .. } => None,
            };
            pending_machine_waits(&grant, pending.as_ref().map(|machine| &machine.state), repeats)?;
            Ok(Way { grant: Some(grant), site, pending })
        }
        Entitlement::Nothing { .. } => {
            let site = facts.site.clone().filter(|site| site.requests).ok_or(Refusal::RequestsNotTaken)?;
            Ok(Way { grant: None, site, pending: None })
        }
    }
}

/// Whether the caller drew on this grant before: then repeating the call spends nothing and needs nothing left.
fn repeats(request: &Request, facts: &Facts, grant: &Grant) -> bool {
    let key = request.claimant.key.as_ref().map(PublicKey::fingerprint);
    let came_in = facts.by_key.as_ref().is_some_and(|known| known.machine.grant == Some(grant.id));
    let waits = facts.holds.iter().any(|hold| hold.grant == Some(grant.id));
    grant.is_bound_to(key) || came_in || (waits && key.is_some())
}

fn grant_stands(grant: &Grant, repeats: bool, now: Timestamp) -> Result<(), Refusal> {
    match grant.state {
        GrantState::Revoked(_) => Err(refused("grant_revoked")),
        _ if repeats || grant.admits(now) => Ok(()),
        GrantState::RotatedOut(_) => Err(refused("grant_rotated_out")),
        GrantState::Live if !grant.has_uses_left() => Err(refused("grant_spent")),
        GrantState::Live => Err(refused("grant_expired")),
    }
}

fn pending_machine_waits(grant: &Grant, state: Option<&MachineState>, repeats: bool) -> Result<(), Refusal> {
    match (grant.kind, state) {
        (GrantKind::Token | GrantKind::SiteKey { .. }, _) | (_, Some(MachineState::Pending(_))) => Ok(()),
        (GrantKind::Machine(_), Some(_)) if repeats => Ok(()),
        (GrantKind::Machine(_), _) => Err(refused("machine_not_pending")),
    }
}

fn refused(cause: &'static str) -> Refusal {
    Refusal::NotEntitled { cause }
}

/// Row 8: a key that was revoked, or that a newer one replaced, opens nothing again.
pub(crate) fn key_still_counts(known: Option<&Known>) -> Result<(), Refusal> {
    match known.and_then(|known| known.key.as_ref()).map(|key| key.standing) {
        Some(KeyStanding::Revoked | KeyStanding::Superseded) => Err(Refusal::Revoked),
        Some(KeyStanding::Current) | None => Ok(()),
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
/// observations and the clock count, and a machine that has a key is never taken by a caller that has none.
pub(super) fn may_rejoin(asked: &Asked<'_>, known: &Known) -> bool {
    let claimant = &asked.request.claimant;
    let hostnames_match = claimant.hostname.is_some() && claimant.hostname == known.machine.hostname;
    let policy_allows = match asked.way.site.reimage {
        ReimagePolicy::Never => false,
        ReimagePolicy::OfflineOnly => true,
        ReimagePolicy::SameName => hostnames_match,
    };
    let has_better_proof = known.machine.key.is_none() || claimant.key.is_some();
    let is_at_work = matches!(known.machine.state, MachineState::Active(_));
    policy_allows
        && has_better_proof
        && is_at_work
        && !asked.way.needs_approval()
        && was_rejected_never(asked)
        && is_long_gone(known, asked.now())
}

/// What a person turned away does not come in by policy later.
fn was_rejected_never(asked: &Asked<'_>) -> bool {
    asked.holds.iter().all(|hold| !matches!(hold.state, HoldState::Rejected { .. }))
}

fn is_long_gone(known: &Known, now: Timestamp) -> bool {
    let before = |time: Timestamp| now.duration_since(time) >= REJOIN_AFTER;
    let silent = !known.presence.online && known.presence.last_seen.is_none_or(before);
    silent && known.machine.enrolled_at.is_some_and(before)
}
