//! Founding a deployment, and accepting a database that was put back to an older day.

use muster_model::{Deployment, DeploymentId, Gap, IncarnationId, Object, Refusal};

use crate::{Context, DeploymentChange, Plan};

/// Founds the deployment, or finds the one that is there.
pub fn found(
    id: DeploymentId,
    proof: [u8; 32],
    incarnation: IncarnationId,
    present: Option<Deployment>,
    context: &Context,
) -> Plan<Deployment> {
    if let Some(present) = present {
        return Plan::unchanged(present);
    }
    let deployment = Deployment { id, proof, incarnations: vec![incarnation], gap: None };
    let change = DeploymentChange::Found { id, proof, incarnation, at: context.now };
    Plan::new(
        deployment,
        vec![change.into()],
        context.entry("deployment.found", Object::Deployment, "founded"),
    )
}

/// Tells every server that the database was put back: also one that starts anew, and has seen nothing of what is missing.
/// The first one to notice is believed; for whatever was accepted meanwhile its notice comes too late.
pub fn doubt(gap: &Gap, present: Option<&Deployment>, context: &Context) -> Plan<()> {
    let is_news = |there: &Deployment| {
        let is_accepted =
            there.incarnations.contains(&gap.incarnation) && there.incarnation() != gap.incarnation;
        there.gap.is_none() && !is_accepted
    };
    if !present.is_some_and(is_news) {
        return Plan::unchanged(());
    }
    let mut entry = context.entry("restore.notice", Object::Deployment, "restored");
    entry.detail = told(gap);
    Plan::new((), vec![DeploymentChange::Doubt { gap: *gap }.into()], entry)
}

fn told(gap: &Gap) -> Vec<(&'static str, String)> {
    vec![("seen", gap.seen.to_string()), ("found", gap.found.to_string())]
}

/// Goes on from what the database knows: whatever it has forgotten stays forgotten.
///
/// An incarnation that went with the forgotten stretch is written down again before the new one: other servers that
/// saw it find it among the old ones, and go on too.
///
/// # Errors
/// [`Refusal::WrongState`] for a deployment that was never founded.
pub fn accept_restore(
    new: IncarnationId,
    gap: &Gap,
    present: Option<&Deployment>,
    context: &Context,
) -> Result<Plan<IncarnationId>, Refusal> {
    let present = present.ok_or(Refusal::WrongState { verb: "restore.accept", state: "unfounded" })?;
    let is_known = present.incarnations.contains(&gap.incarnation);
    if is_known && present.incarnation() != gap.incarnation {
        // Another server was told so a moment ago.
        return Ok(Plan::unchanged(present.incarnation()));
    }
    let lost = (!is_known).then_some(gap.incarnation);
    let accept = |incarnation| DeploymentChange::Accept { incarnation, at: context.now }.into();
    let changes = lost.into_iter().chain([new]).map(accept).collect();
    let mut entry = context.entry("restore.accept", Object::Deployment, "accepted");
    entry.detail = told(gap);
    entry.detail.push(("incarnation", new.to_string()));
    Ok(Plan::new(new, changes, entry))
}

#[cfg(test)]
mod tests {
    use muster_model::{Actor, AuditId, TenantId, Timestamp};

    use super::*;
    use crate::Change;

    fn incarnation(n: u8) -> IncarnationId {
        IncarnationId::new(1, [n; 10])
    }

    fn context() -> Context {
        let (tenant, entry) = (TenantId::new(1, [1; 10]), AuditId::new(1, [1; 10]));
        Context { tenant, actor: Actor::System, source: None, now: Timestamp::UNIX_EPOCH, entry }
    }

    fn with(incarnations: &[u8]) -> Deployment {
        let incarnations = incarnations.iter().map(|n| incarnation(*n)).collect();
        Deployment { id: DeploymentId::new(1, [1; 10]), proof: [0; 32], incarnations, gap: None }
    }

    fn gap(seen: u8) -> Gap {
        Gap { incarnation: incarnation(seen), seen: 150, found: 120 }
    }

    fn began(plan: &Plan<IncarnationId>) -> Vec<IncarnationId> {
        let began = |change: &Change| match change {
            Change::Deployment(DeploymentChange::Accept { incarnation, .. }) => Some(*incarnation),
            _ => None,
        };
        plan.changes().iter().filter_map(began).collect()
    }

    #[test]
    fn what_is_there_is_found_and_not_founded_again() {
        let there = with(&[1]);
        let again =
            found(DeploymentId::new(9, [9; 10]), [9; 32], incarnation(9), Some(there.clone()), &context());
        assert!(again.is_unchanged() && again.outcome() == &there);
        let new = found(there.id, [9; 32], incarnation(1), None, &context());
        assert_eq!((new.changes().len(), new.entries().len()), (1, 1));
    }

    #[test]
    fn the_first_gap_that_is_noticed_is_told_once_and_never_after_it_was_accepted() {
        let there = with(&[1]);
        let plan = doubt(&gap(1), Some(&there), &context());
        assert_eq!(plan.changes(), [DeploymentChange::Doubt { gap: gap(1) }.into()]);
        assert_eq!(plan.entries()[0].detail, [("seen", "150".to_owned()), ("found", "120".to_owned())]);
        let lost_incarnation = doubt(&gap(2), Some(&there), &context());
        assert!(!lost_incarnation.is_unchanged());
        let doubted = Deployment { gap: Some(gap(1)), ..there };
        for present in [None, Some(&doubted), Some(&with(&[1, 2]))] {
            assert!(doubt(&gap(1), present, &context()).is_unchanged(), "{present:?}");
        }
    }

    #[test]
    fn accepting_begins_an_incarnation_and_tells_the_gap() {
        let plan = accept_restore(incarnation(2), &gap(1), Some(&with(&[1])), &context()).expect("accepted");
        assert_eq!(began(&plan), [incarnation(2)]);
        let told = &plan.entries()[0].detail;
        assert_eq!(told[..2], [("seen", "150".to_owned()), ("found", "120".to_owned())]);
    }

    #[test]
    fn an_incarnation_that_was_forgotten_is_written_down_again_before_the_new_one() {
        let plan = accept_restore(incarnation(3), &gap(2), Some(&with(&[1])), &context()).expect("accepted");
        assert_eq!(began(&plan), [incarnation(2), incarnation(3)]);
    }

    #[test]
    fn what_another_server_was_told_is_not_accepted_twice() {
        let plan = accept_restore(incarnation(3), &gap(1), Some(&with(&[1, 2])), &context()).expect("known");
        assert!(plan.is_unchanged());
        assert_eq!(plan.outcome(), &incarnation(2));
        assert!(accept_restore(incarnation(3), &gap(1), None, &context()).is_err(), "nothing is there");
    }
}
