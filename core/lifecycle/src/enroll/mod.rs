//! The enrollment decision: every door ends in a claim, and every claim meets this one function.
//!
//! The order of the checks is part of the contract: authenticate the grant → tenant → the machine key → the hardware
//! id → site → state → quota → write. Nothing is written before the last check. The `match` in `judge` is the
//! decision table of the documentation; the numbers in its comments are that table's rows.

mod admit;
mod checks;
mod hold;
mod keyless;
mod proof;
#[cfg(test)]
mod tests;

pub use keyless::approval;
pub use proof::ShownKey;

use muster_model::{
    Account, Claim, Claimant, Credential, CredentialId, CredentialKind, Grant, GrantId, GrantKind, Hold,
    HoldId, HoldReason, KeyFingerprint, KeyRecord, Machine, MachineId, MachineState, Presence, PublicKey,
    Refusal, Site, SiteCode, SiteUse,
};

use checks::Standing;
pub(crate) use checks::key_still_counts;

use crate::account::Wish;
use crate::plan::{Context, Plan};
use crate::terms::Terms;

/// A request to enroll, after its door accepted the evidence and its CSR proved the key.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who asks.
    pub claimant: Claimant,
    /// What the door accepted as proved.
    pub claim: Claim,
    /// The site that the caller named beside its token, where its wire has a place for that. Another one than the
    /// grant's is refused as a wrong token is.
    pub site: Option<SiteCode>,
    /// The present key of a machine that signed for the new key.
    pub vouched_by: Option<KeyFingerprint>,
    /// The credential to issue: for the claimant's key or, where it has none, a bearer key drawn for it.
    pub credential: CredentialKind,
    /// That what was shown fits the hash that another server kept of a site's key.
    pub shown: Option<ShownKey>,
}

/// Identifiers drawn beforehand, and the rules in force.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// Tenant, source and time; the actor is anonymous.
    pub context: Context,
    /// For a machine, should one be made.
    pub machine: MachineId,
    /// For a hold, should one be opened.
    pub hold: HoldId,
    /// For a credential, should one be reserved.
    pub credential: CredentialId,
    /// Lifetimes in force.
    pub terms: Terms,
    /// The accounts that machines may have without anybody ordering them.
    pub accounts: Vec<Wish>,
}

/// What was read for an enrollment.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The grant that the claim names.
    pub grant: Option<Grant>,
    /// The site that the grant or the claim leads to.
    pub site: Option<Site>,
    /// How full that site is.
    pub site_use: SiteUse,
    /// The machine that enrolled with this key.
    pub by_key: Option<Known>,
    /// The machine whose present key vouches for this one.
    pub by_previous: Option<Known>,
    /// The credential that the claim names, and its machine.
    pub by_credential: Option<(Credential, Known)>,
    /// The machine of this hardware: the live one, or else the one retired last.
    pub by_hardware: Option<Known>,
    /// The pending machine that the grant was made for.
    pub pending: Option<Machine>,
    /// The accounts of that machine in other systems, where it is there already.
    pub pending_accounts: Vec<Account>,
    /// Earlier holds by the same claimant, the newest first.
    pub holds: Vec<Hold>,
    /// The newest hold of any client without a key that gave this hardware and would show a secret.
    pub in_its_name: Option<Hold>,
    /// Holds of anybody about the machine of this hardware, the newest first.
    pub about: Vec<Hold>,
    /// For a claimant without a key: the machine that a person let it in as, by the newest of its holds.
    pub admitted: Option<Known>,
    /// For a claimant without a key: the bearer key that was derived for just what it says of itself and from where.
    pub derived: Option<CredentialId>,
}

/// A machine that is known already.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its record.
    pub machine: Machine,
    /// The key that was looked up, where the machine was found by a key.
    pub key: Option<KeyRecord>,
    /// When it was last heard of.
    pub presence: Presence,
    /// Its credentials that are not ended, the newest first.
    pub credentials: Vec<Credential>,
    /// Its accounts in other systems.
    pub accounts: Vec<Account>,
}

/// What the caller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A machine and its credential: a certificate is still to be minted where it is only reserved.
    Enrolled {
        /// The machine as it is from now on.
        machine: Box<Machine>,
        /// Its credential.
        credential: Box<Credential>,
        /// Whether it was enrolled before under the same key.
        again: bool,
    },
    /// A person must decide.
    Held(Box<Hold>),
}

/// Decides an enrollment.
///
/// # Errors
/// The refusals of rows 8 and 9, of a rejected or one too many hold, and of a grant for another kind of machine.
pub fn decide(request: &Request, facts: Facts, fresh: &Fresh) -> Result<Plan<Outcome>, Refusal> {
    let unproved = proof::unproved(request, &facts);
    let plan = judge(request, facts, fresh)?;
    Ok(match unproved {
        Some(shown) => proof::proved(plan, shown, &fresh.context),
        None => plan,
    })
}

fn judge(request: &Request, facts: Facts, fresh: &Fresh) -> Result<Plan<Outcome>, Refusal> {
    let way = checks::entitled(request, &facts, fresh.context.now)?; // row 9
    checks::may_ask(&facts, &way, fresh.context.now)?; // row 8
    checks::kind_is_admitted(&way, &request.claimant)?;
    if let Some(answer) = keyless::lost_answer(&facts, fresh.context.now) {
        return Ok(Plan::unchanged(answer)); // row 2, of a caller that has no key to be known by
    }
    let approved = keyless::approved(request, &facts).cloned();
    let Facts {
        by_key,
        by_previous,
        by_credential,
        by_hardware,
        site_use,
        mut holds,
        in_its_name,
        about,
        ..
    } = facts;
    // Found by the secret or the hardware alone: who asks on other hardware, or under another name, asks something else.
    holds.retain(|hold| hold.is_by(&request.claimant));
    let in_its_name = in_its_name.as_ref();
    let asked = Asked { request, way: &way, site_use, holds: &holds, in_its_name, about: &about, fresh };

    match (by_key, by_previous, by_hardware) {
        (None, _, hardware) if let Some((_, known)) = by_credential => {
            admit::upgrade(&asked, known, hardware.as_ref()) // row 4c
        }
        (Some(same), _, _) if same.machine.site == way.site.id => admit::again(&asked, same), // row 2
        (None, None, _) if let Some(hold) = asked.own_request() => {
            Ok(Plan::unchanged(Outcome::Held(Box::new(hold.clone()))))
        }
        _ if let Standing::Waiting(cause) = way.standing => asked.only_told(cause), // row 9
        _ if let Some(approved) = approved => Ok(keyless::collect(&asked, approved)), // a person has decided
        (Some(same), _, _) => asked.hold(HoldReason::SiteMismatch, Some(&same)),    // row 3
        (None, Some(old), hardware) if checks::is_rekey(&old, hardware.as_ref(), &way) => {
            admit::rekey(&asked, old) // row 4a
        }
        (None, Some(old), None) => asked.hold(HoldReason::SiteMismatch, Some(&old)), // row 3, under a new key
        (None, _, None) => admit::arrive(&asked),                                    // rows 1, 6, 10
        (None, _, Some(known)) => match &known.machine.state {
            MachineState::Retired(_) if checks::may_return(&asked, &known) => admit::readmit(&asked, known),
            MachineState::Retired(_) => asked.hold(HoldReason::WasRemoved, Some(&known)), // row 7
            _ if known.machine.site != way.site.id => asked.hold(HoldReason::SiteMismatch, Some(&known)), // row 5
            MachineState::Pending(_) if way.is_for(&known.machine) => admit::arrive(&asked),
            _ if checks::may_rejoin(&asked, &known) => admit::rejoin(&asked, known), // row 4b
            _ => asked.hold(HoldReason::KeyMismatch, Some(&known)),                  // row 4
        },
    }
}

/// The way in that a claim opens: its site and, for all but bare requests, its grant.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) grant: Option<Grant>,
    pub(crate) site: Site,
    pub(crate) pending: Option<Machine>,
    pub(crate) standing: Standing,
}

impl Way {
    fn is_for(&self, machine: &Machine) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.id == machine.id)
    }

    fn is_by_site_key(&self) -> bool {
        self.grant.as_ref().is_some_and(|grant| matches!(grant.kind, GrantKind::SiteKey { .. }))
    }

    /// Whether a person must approve whoever comes in by it. A bare request shows nothing, so somebody must look.
    fn needs_approval(&self) -> bool {
        self.grant.as_ref().is_none_or(|grant| grant.approval) || self.site.approval
    }
}

/// Everything that the branches of the decision look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    request: &'a Request,
    way: &'a Way,
    site_use: SiteUse,
    holds: &'a [Hold],
    in_its_name: Option<&'a Hold>,
    about: &'a [Hold],
    fresh: &'a Fresh,
}

impl Asked<'_> {
    fn key(&self) -> Option<KeyFingerprint> {
        self.request.claimant.key.as_ref().map(PublicKey::fingerprint)
    }

    fn grant(&self) -> Option<GrantId> {
        self.way.grant.as_ref().map(|grant| grant.id)
    }

    fn now(&self) -> muster_model::Timestamp {
        self.fresh.context.now
    }
}
