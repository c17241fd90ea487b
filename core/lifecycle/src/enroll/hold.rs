//! The branches of the decision that ask a person.

use muster_model::{Hold, HoldReason, HoldState, Object, Refusal};

use super::{Asked, Known, Outcome, admit};
use crate::plan::{Change, HoldChange, Plan};

impl Asked<'_> {
    /// Opens a hold, or finds the one that this claimant opened before. The existing machine is not touched.
    pub(super) fn hold(
        &self,
        reason: HoldReason,
        existing: Option<&Known>,
    ) -> Result<Plan<Outcome>, Refusal> {
        let existing = existing.map(|known| known.machine.id);
        let same = |hold: &&Hold| {
            hold.reason == reason && hold.existing == existing && hold.site == self.way.site.id
        };
        if let Some(earlier) = self.holds.iter().find(same) {
            match &earlier.state {
                HoldState::Rejected { reason, .. } => {
                    return Err(Refusal::Rejected { reason: reason.as_ref().map(ToString::to_string) });
                }
                HoldState::Open if !earlier.is_expired(self.now()) => {
                    return Ok(Plan::unchanged(Outcome::Held(Box::new(earlier.clone()))));
                }
                HoldState::Open | HoldState::Approved { .. } => {}
            }
        }
        if self.site_use.open_holds >= u64::from(self.way.site.hold_cap) {
            return Err(Refusal::TooManyHolds);
        }
        Ok(self.open(reason, existing))
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
            grant: self.way.grant.as_ref().map(|grant| grant.id),
            state: HoldState::Open,
            created_at: context.now,
            expires_at: context.now + self.fresh.terms.hold_life,
        };
        let mut entry = context.entry("hold.open", Object::Hold(hold.id), reason.as_str());
        entry.detail = self.described();
        entry.detail.extend(existing.map(|id| ("existing", id.to_string())));
        let mut changes: Vec<Change> = vec![HoldChange::Open(hold.clone()).into()];
        changes.extend(admit::spend(self));
        Plan::new(Outcome::Held(Box::new(hold)), changes, entry)
    }
}
