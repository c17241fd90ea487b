//! Founding a deployment, and accepting a database that was put back to an older day.

use muster_model::{Deployment, DeploymentId, IncarnationId, Object};

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
    let deployment = Deployment { id, proof, incarnations: vec![incarnation] };
    let change = DeploymentChange::Found { id, proof, incarnation, at: context.now };
    Plan::new(
        deployment,
        vec![change.into()],
        context.entry("deployment.found", Object::Deployment, "founded"),
    )
}

/// Goes on from what the database knows: whatever it has forgotten stays forgotten.
pub fn accept_restore(incarnation: IncarnationId, context: &Context) -> Plan<IncarnationId> {
    let change = DeploymentChange::Accept { incarnation, at: context.now };
    let entry = context.entry("restore.accept", Object::Deployment, "accepted");
    Plan::new(incarnation, vec![change.into()], entry)
}
