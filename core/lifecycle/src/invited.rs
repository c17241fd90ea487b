//! Enrolling by the invite of one machine, for clients without a key of their own.
//!
//! Where a person must decide, the invite is spent on asking and nothing is lost: the same call tells how it stands, and once
//! the person has approved it lets this caller in, also after the invite's own life.
//!
//! Such a client cannot prove that a call is its own repeated. Its first refresh token therefore follows from the invite:
//! until that was used, whoever shows the invite with the same facts gets the same token, because the answer may have been
//! lost; afterwards nobody does. A newer invite, which an operator made for a machine that is there, brings it back one
//! generation on. Everything else is the enrollment decision.

use muster_model::{
    Account, Credential, Grant, GrantKind, GrantState, Hold, HoldState, Machine, MachineKind, MachineState,
    Object, Presence, Refusal, Timestamp,
};

use crate::credential;
use crate::enroll::{self, Facts, Fresh, Known, Outcome, Request};
use crate::identity;
use crate::plan::{CredentialChange, GrantChange, Plan};
use crate::refresh;

/// Decides an enrollment by an invite. `open` are the credentials of the invited machine that are not ended.
///
/// # Errors
/// What [`enroll::decide`] refuses; [`Refusal::NotEntitled`] for a grant that is not one machine's invite.
pub fn decide(
    request: &Request,
    facts: Facts,
    open: &[Credential],
    fresh: &Fresh,
) -> Result<Plan<Outcome>, Refusal> {
    let asked = Asked { request, open, fresh };
    if let Some(decided) = asked.decided(&facts) {
        return decided;
    }
    match facts.grant.as_ref().zip(facts.pending.as_ref()).filter(|(grant, _)| asked.stands(grant)) {
        Some((grant, machine)) if asked.lost_its_answer(grant, machine) => Ok(asked.again(machine)),
        Some((grant, machine)) if may_return(grant, machine) => {
            asked.back(grant, machine.clone(), &facts.pending_accounts)
        }
        None if facts.grant.as_ref().is_some_and(|grant| !is_invite(grant)) => {
            Err(Refusal::NotEntitled { cause: "grant_kind" })
        }
        Some(_) | None => enroll::decide(request, facts, fresh),
    }
}

struct Asked<'a> {
    request: &'a Request,
    open: &'a [Credential],
    fresh: &'a Fresh,
}

impl Asked<'_> {
    fn now(&self) -> Timestamp {
        self.fresh.context.now
    }

    /// Whether the grant is the one that was shown.
    fn is_shown(&self, grant: &Grant) -> bool {
        let muster_model::Entitlement::Grant { id, hash } = &self.request.claim.entitlement else {
            return false;
        };
        grant.id == *id && grant.hash == *hash && is_invite(grant)
    }

    /// Whether the grant that was shown has neither ended nor is past its life. It may be spent.
    fn stands(&self, grant: &Grant) -> bool {
        self.is_shown(grant)
            && grant.state == GrantState::Live
            && grant.expires_at.is_none_or(|end| self.now() < end)
    }

    /// What a person decided about this very caller, if anything is decided.
    fn decided(&self, facts: &Facts) -> Option<Result<Plan<Outcome>, Refusal>> {
        let shown = facts.grant.as_ref().filter(|grant| self.is_shown(grant))?;
        let grant = Some(shown).filter(|grant| !matches!(grant.state, GrantState::Revoked(_)))?;
        let is_own = |hold: &&Hold| hold.is_by(&self.request.claimant) && hold.grant == Some(grant.id);
        let hold = facts.holds.iter().find(is_own)?;
        match &hold.state {
            HoldState::Open => None,
            HoldState::Rejected { reason, .. } => {
                Some(Err(Refusal::Rejected { reason: reason.as_ref().map(ToString::to_string) }))
            }
            HoldState::Approved { machine, at, .. } => {
                let is_it = |found: &&Machine| found.id == *machine && found.enrolled_at == Some(*at);
                let machine = facts.pending.as_ref().filter(is_it);
                let in_time = self.now() <= *at + self.fresh.terms.collect_life;
                let plan =
                    machine.filter(|_| in_time).and_then(|machine| self.collected(grant, machine, hold));
                Some(plan.ok_or(Refusal::NotEntitled { cause: "grant_spent" }))
            }
        }
    }

    /// The first token of a machine that a person let in, until it was used.
    fn collected(&self, grant: &Grant, machine: &Machine, hold: &Hold) -> Option<Plan<Outcome>> {
        if self.lost_its_answer(grant, machine) {
            return Some(self.again(machine));
        }
        let is_untouched = matches!(machine.state, MachineState::Active(_))
            && machine.key.is_none()
            && self.open.iter().all(|credential| credential.generation != machine.generation);
        if !is_untouched {
            return None;
        }
        let Fresh { context, terms, .. } = self.fresh;
        let kind = self.request.credential.clone();
        let credential = credential::reserve(self.fresh.credential, machine, kind, context.now, terms);
        let mut entry = context.entry("credential.reserve", Object::Machine(machine.id), "hold_collected");
        entry.detail = vec![("hold", hold.id.to_string()), ("credential", credential.id.to_string())];
        let change = CredentialChange::Reserve(credential.clone());
        let (machine, credential) = (Box::new(machine.clone()), Box::new(credential));
        let outcome = Outcome::Enrolled { machine, credential, again: false };
        Some(Plan::new(outcome, vec![change.into()], entry))
    }

    /// Whether the caller is who spent the invite, and nobody has shown yet that they have the answer.
    fn lost_its_answer(&self, grant: &Grant, machine: &Machine) -> bool {
        let family: Vec<&Credential> = refresh::family(self.open).collect();
        matches!(machine.state, MachineState::Active(_))
            && machine.key.is_none()
            && machine.grant == Some(grant.id)
            && machine.attributes == self.request.claimant.attributes
            && matches!(family[..], [first] if first.kind == self.request.credential && refresh::is_unused(first))
    }

    /// The same machine and token. What is issued beside it leaves an entry.
    fn again(&self, machine: &Machine) -> Plan<Outcome> {
        let first = refresh::family(self.open).next().expect("it is there, else this is no repetition");
        let mut entry = self.fresh.context.entry("machine.enroll", Object::Machine(machine.id), "again");
        entry.detail = vec![("credential", first.id.to_string())];
        let (machine, credential) = (Box::new(machine.clone()), Box::new(first.clone()));
        Plan::new(Outcome::Enrolled { machine, credential, again: true }, Vec::new(), entry)
    }

    /// An operator invited the machine again: what it had ends, in the transaction that lets it in.
    fn back(&self, grant: &Grant, machine: Machine, accounts: &[Account]) -> Result<Plan<Outcome>, Refusal> {
        let Fresh { context, terms, .. } = self.fresh;
        let state = machine.state.clone().vouched_for(context.now)?;
        let credentials = self.open.to_vec();
        let (presence, accounts) = (Presence::default(), accounts.to_vec());
        let claimant = &self.request.claimant;
        let machine = Machine { lineage: identity::lineage(claimant.source, context), ..machine };
        let known = Known { machine, key: None, presence, credentials, accounts };
        let (machine, mut changes) = identity::take_over(known, state, claimant, Some(grant.id), context.now);
        let drawn = grant.drawn(None, context.now);
        changes.extend(drawn.map(|uses| GrantChange::Draw { grant: grant.id, uses }.into()));
        let kind = self.request.credential.clone();
        let credential = credential::reserve(self.fresh.credential, &machine, kind, context.now, terms);
        changes.push(CredentialChange::Reserve(credential.clone()).into());
        let mut entry = context.entry("machine.enroll", Object::Machine(machine.id), "invited_again");
        entry.detail = vec![("grant", grant.id.to_string()), ("credential", credential.id.to_string())];
        let (machine, credential) = (Box::new(machine), Box::new(credential));
        Ok(Plan::new(Outcome::Enrolled { machine, credential, again: false }, changes, entry))
    }
}

fn is_invite(grant: &Grant) -> bool {
    matches!(grant.kind, GrantKind::Machine(_))
}

/// Whether an unspent invite is for a machine that is there, and that no key protects.
fn may_return(grant: &Grant, machine: &Machine) -> bool {
    let is_there = matches!(machine.state, MachineState::Active(_) | MachineState::Suspended(_));
    // A software agent comes back by its nick, which an operator may have barred.
    let is_agent = machine.kind == MachineKind::SoftwareAgent;
    let is_meant = grant.kind == GrantKind::Machine(machine.id) && grant.has_uses_left();
    is_meant && is_there && machine.key.is_none() && !is_agent
}

#[cfg(test)]
mod tests;
