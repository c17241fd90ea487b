//! What the decision knows of callers without a key: an answer of theirs that was lost, and what a person decided.
//!
//! Such a caller proves nothing but its token, so it is recognised by all that it says of itself together, and from where:
//! site, grant, hardware, hostname and network. That much lets it have an answer again that nobody has used, or what a person decided for
//! just this claimant, once. It never takes a machine that has a key.

use muster_model::{
    Credential, CredentialKind, GrantId, Hold, HoldState, Hostname, Machine, MachineState, Timestamp,
};

use super::checks::REJOIN_AFTER;
use super::{Asked, Facts, Known, Outcome, Request, admit};
use crate::identity::after;
use crate::plan::{MachineChange, Plan};

/// The machine and the bearer key of an answer that was lost. The key was derived for this very claimant and asked for
/// again before anybody used it; after an hour the site's re-image policy has the word.
pub(super) fn lost_answer(facts: &Facts, now: Timestamp) -> Option<Outcome> {
    let derived = facts.derived?;
    let found = [&facts.by_hardware, &facts.admitted].into_iter().flatten().find_map(|known| {
        let credential = known.credentials.iter().find(|credential| credential.id == derived)?;
        is_unused(known, credential, now).then_some((known, credential))
    });
    let (known, credential) = found?;
    let (machine, credential) = (Box::new(known.machine.clone()), Box::new(credential.clone()));
    Some(Outcome::Enrolled { machine, credential, again: true })
}

fn is_unused(known: &Known, credential: &Credential, now: Timestamp) -> bool {
    let Known { machine, presence, .. } = known;
    let is_heard_of = presence.online || presence.last_seen.is_some_and(|seen| seen >= credential.not_before);
    is_at_work_without_a_key(machine)
        && matches!(credential.kind, CredentialKind::Bearer { .. })
        && credential.is_open()
        && credential.generation == machine.generation
        && now.duration_since(credential.not_before) < REJOIN_AFTER
        && !is_heard_of
}

fn is_at_work_without_a_key(machine: &Machine) -> bool {
    machine.key.is_none() && matches!(machine.state, MachineState::Active(_))
}

/// The newest hold by which a person let this claimant in. The holds are those of its hardware.
pub fn approval<'h>(request: &Request, grant: Option<GrantId>, holds: &'h [Hold]) -> Option<&'h Hold> {
    let claimant = &request.claimant;
    let newest = holds.iter().find(|hold| hold.is_by(claimant) && grant.is_some() && hold.grant == grant);
    newest.filter(|hold| claimant.key.is_none() && matches!(hold.state, HoldState::Approved { .. }))
}

/// The machine that a person let this claimant in as, until it has collected its key: that dates the enrollment anew, so
/// that one approval admits once, and what ends the machine or its keys meanwhile counts.
pub(super) fn approved<'f>(request: &Request, facts: &'f Facts) -> Option<&'f Known> {
    let grant = facts.grant.as_ref()?;
    let hold = approval(request, Some(grant.id), &facts.holds).filter(|hold| hold.site == grant.site)?;
    let HoldState::Approved { machine, at, .. } = hold.state else { return None };
    facts.admitted.as_ref().filter(|known| {
        known.machine.id == machine
            && known.machine.enrolled_at == Some(at)
            && is_at_work_without_a_key(&known.machine)
            && known.credentials.iter().all(|credential| credential.generation != known.machine.generation)
    })
}

/// The claimant has its bearer key, and the approval is used up.
pub(super) fn collect(asked: &Asked<'_>, known: Known) -> Plan<Outcome> {
    let machine =
        Machine { enrolled_at: Some(after(known.machine.enrolled_at, asked.now())), ..known.machine };
    let changes = vec![MachineChange::Update(machine.clone()).into()];
    admit::enrolled(asked, machine, changes, "credential.reserve", "hold_collected")
}

/// Whether two names are one: names of hosts are told apart by no case (RFC 1035 §2.3.3).
pub(super) fn same_name(one: &Option<Hostname>, other: &Option<Hostname>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.as_str().eq_ignore_ascii_case(other.as_str()),
        (None, None) => true,
        _ => false,
    }
}
