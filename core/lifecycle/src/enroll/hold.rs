//! The branches of the decision that ask a person.

use muster_model::{Hold, HoldReason, HoldState, Object, Refusal};

use super::{Asked, Known, Outcome, admit};
use crate::plan::{Change, HoldChange, Plan};

/// So many networks share the places of those who show nothing.
const NETWORKS: u64 = 8;
/// Places that a network has in any case.
const AT_LEAST: u64 = 4;

impl Asked<'_> {
    /// Opens a hold, or finds the one that this claimant opened before. The existing machine is not touched.
    pub(super) fn hold(
        &self,
        reason: HoldReason,
        existing: Option<&Known>,
    ) -> Result<Plan<Outcome>, Refusal> {
        let existing = existing.map(|known| known.machine.id);
        // Why a person is needed may change while one is asked; who asks to become what does not.
        let same = |hold: &&Hold| {
            hold.site == self.way.site.id
                && hold.existing == existing
                && (existing.is_some() || hold.grant == self.grant())
        };
        if let Some(answer) = self.holds.iter().find(same).and_then(|earlier| self.answer_of(earlier)) {
            return answer;
        }
        if self.site_use.open_holds >= self.hold_share() || self.is_crowded() {
            return Err(Refusal::TooManyHolds);
        }
        Ok(self.open(reason, existing))
    }

    /// How many holds may be open before this caller's. Anybody can ask without a secret: such requests get half of the
    /// places, so that they never keep out those who hold a token.
    fn hold_share(&self) -> u64 {
        let cap = u64::from(self.way.site.hold_cap);
        if self.way.grant.is_some() { cap } else { cap.div_ceil(2) }
    }

    /// Whether the network that asks has its part of the places for those who show nothing: one network must not take them
    /// all.
    fn is_crowded(&self) -> bool {
        let part = (self.hold_share() / NETWORKS).max(AT_LEAST);
        self.way.grant.is_none() && self.site_use.from_network >= part
    }

    /// What a newcomer was told before by the same grant: a seat that becomes free, or hardware that it no longer
    /// mentions, lets nobody in whom a person turned away or has still to look at.
    pub(super) fn told_before(&self) -> Option<Result<Plan<Outcome>, Refusal>> {
        let concerns = |hold: &&Hold| {
            let is_rejected = matches!(hold.state, HoldState::Rejected { .. });
            hold.site == self.way.site.id
                && hold.grant == self.grant()
                && (hold.existing.is_none() || is_rejected)
        };
        self.holds.iter().filter(concerns).find_map(|earlier| self.answer_of(earlier))
    }

    /// What became of the hold of somebody whose grant has lapsed since.
    pub(super) fn only_told(&self, cause: &'static str) -> Result<Plan<Outcome>, Refusal> {
        let by_it = self.holds.iter().filter(|hold| hold.grant == self.grant());
        let mut answers = by_it.filter_map(|earlier| self.answer_of(earlier));
        answers.next().unwrap_or(Err(Refusal::NotEntitled { cause }))
    }

    /// The request that a caller with a secret of its own repeats: the same for ever, whatever became of it, until it
    /// expired undecided. What became of it learns who shows the secret, which repeating a request is not.
    pub(super) fn own_request(&self) -> Option<&Hold> {
        self.request.claimant.verifier.as_ref()?;
        let same = |hold: &&Hold| {
            hold.is_by(&self.request.claimant)
                && hold.site == self.way.site.id
                && hold.grant == self.grant()
                && !hold.is_expired(self.now())
        };
        self.holds.iter().find(same)
    }

    /// How often was asked in this name at this site. Others may ask in it too, so it is told and nothing follows from it.
    fn times_asked(&self) -> u32 {
        let here = |hold: &&Hold| hold.site == self.way.site.id && self.request.claimant.verifier.is_some();
        self.in_its_name.filter(here).map_or(1, |earlier| earlier.asked.saturating_add(1))
    }

    /// What a hold says to the one who opened it, until it expires or is approved.
    fn answer_of(&self, hold: &Hold) -> Option<Result<Plan<Outcome>, Refusal>> {
        match &hold.state {
            HoldState::Rejected { reason, .. } => {
                Some(Err(Refusal::Rejected { reason: reason.as_ref().map(ToString::to_string) }))
            }
            HoldState::Open if !hold.is_expired(self.now()) => {
                Some(Ok(Plan::unchanged(Outcome::Held(Box::new(hold.clone())))))
            }
            HoldState::Open | HoldState::Approved { .. } => None,
        }
    }

    fn open(&self, reason: HoldReason, existing: Option<muster_model::MachineId>) -> Plan<Outcome> {
        let context = &self.fresh.context;
        let hold = Hold {
            id: self.fresh.hold,
            tenant: context.tenant,
            site: self.way.site.id,
            reason,
            claimant: self.request.claimant.clone(),
            existing,
            grant: self.grant(),
            state: HoldState::Open,
            asked: self.times_asked(),
            created_at: context.now,
            expires_at: context.now + self.fresh.terms.hold_life,
        };
        let mut entry = context.entry("hold.open", Object::Hold(hold.id), reason.as_str());
        entry.detail = self.described();
        entry.detail.extend(existing.map(|id| ("existing", id.to_string())));
        if hold.asked > 1 {
            entry.detail.push(("asked", hold.asked.to_string()));
        }
        let mut changes: Vec<Change> = vec![HoldChange::Open(hold.clone()).into()];
        changes.extend(admit::spend(self));
        Plan::new(Outcome::Held(Box::new(hold)), changes, entry)
    }
}
