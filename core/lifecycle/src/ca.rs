//! Changing the certificate authority, step by step, each of which can be taken back until the next.
//!
//! `prepare` makes the next authority, `publish` puts its roots into everybody's bundle, `activate` has it sign, `taint`
//! declares that what the one before signed proves nothing, `remove` takes the roots of that one out of the bundle. What
//! was removed does not come back: the database forgets its keys. Those of the founding one stay in its files, unused.

use muster_model::{Ca, CaPhase, Object, Refusal, SignedDuration, Timestamp};

use crate::plan::{Context, DeploymentChange, Plan};

/// A server that has not heard of a step yet signs by the older authority for so long at most.
pub const LAG: SignedDuration = SignedDuration::from_secs(60);

/// A step of the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make the next authority.
    Prepare,
    /// Give its roots to everybody.
    Publish,
    /// Sign by it.
    Activate,
    /// Take nothing more that the one before has signed.
    Taint,
    /// Take the roots of the one before out of the bundle.
    Remove,
    /// Take the last step back.
    Undo,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 6] =
        [Self::Prepare, Self::Publish, Self::Activate, Self::Taint, Self::Remove, Self::Undo];

    /// What the audit log calls it.
    pub fn action(self) -> &'static str {
        match self {
            Self::Prepare => "ca.prepare",
            Self::Publish => "ca.publish",
            Self::Activate => "ca.activate",
            Self::Taint => "ca.taint",
            Self::Remove => "ca.remove",
            Self::Undo => "ca.undo",
        }
    }

    /// Its word on the command line and in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Publish => "publish",
            Self::Activate => "activate",
            Self::Taint => "taint",
            Self::Remove => "remove",
            Self::Undo => "undo",
        }
    }
}

/// The machines that a step would leave behind, and how many of them whoever asks for it has agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fleet {
    /// How many are not ready.
    pub behind: u64,
    /// How many of them whoever asks goes on without, at most.
    pub even_so: Option<u64>,
}

/// Where the change stands after a step. What is sealed is as it was: it is for whoever has the keys to make it anew.
///
/// # Errors
/// [`Refusal::WrongState`] where the step does not follow; [`Refusal::TrustBehind`] and [`Refusal::CountDiffers`] for one
/// that would leave machines behind.
pub fn next(present: &Ca, step: Step, fleet: Fleet, now: Timestamp) -> Result<Ca, Refusal> {
    let wrong = || Refusal::WrongState { verb: step.action(), state: present.phase.as_str() };
    let mut next = Ca { revision: present.revision + 1, since: now, ..present.clone() };
    next.phase = match (step, present.phase) {
        (Step::Prepare, CaPhase::Settled) => CaPhase::Prepared,
        (Step::Publish, CaPhase::Prepared) => CaPhase::Published,
        (Step::Activate, CaPhase::Published) => {
            ready(fleet)?;
            next.signs_since = Some(now);
            CaPhase::Activated
        }
        (Step::Taint, CaPhase::Activated) => {
            next.rotate_before = Some(now);
            CaPhase::Tainted { before: present.rotate_before }
        }
        (Step::Remove, CaPhase::Activated | CaPhase::Tainted { .. }) => {
            ready(fleet)?;
            CaPhase::Settled
        }
        (Step::Undo, CaPhase::Prepared) => CaPhase::Settled,
        (Step::Undo, CaPhase::Published) => CaPhase::Prepared,
        (Step::Undo, CaPhase::Activated) => {
            // What the other one signed meanwhile is of no use once its roots are taken back too.
            next.signs_since = Some(now);
            CaPhase::Published
        }
        (Step::Undo, CaPhase::Tainted { before }) => {
            next.rotate_before = before;
            CaPhase::Activated
        }
        (
            Step::Prepare | Step::Publish | Step::Activate | Step::Taint | Step::Remove | Step::Undo,
            CaPhase::Settled
            | CaPhase::Prepared
            | CaPhase::Published
            | CaPhase::Activated
            | CaPhase::Tainted { .. },
        ) => return Err(wrong()),
    };
    // The bundle is another one where the roots of an authority come or go.
    let is_other = |phase: CaPhase| matches!(phase, CaPhase::Settled | CaPhase::Prepared);
    if is_other(present.phase) != is_other(next.phase) {
        next.bundle += 1;
    }
    Ok(next)
}

fn ready(fleet: Fleet) -> Result<(), Refusal> {
    match (fleet.behind, fleet.even_so) {
        (0, _) => Ok(()),
        // Fewer than agreed to is better news: machines come and go while somebody decides.
        (behind, Some(known)) if behind <= known => Ok(()),
        (found, Some(expected)) => Err(Refusal::CountDiffers { expected, found }),
        (machines, None) => Err(Refusal::TrustBehind { machines }),
    }
}

/// Writes a step that was worked out on what was there.
///
/// # Errors
/// [`Refusal::WrongState`] where somebody else was faster.
pub fn take(
    present: &Ca,
    step: Step,
    next: &Ca,
    fleet: Fleet,
    context: &Context,
) -> Result<Plan<Ca>, Refusal> {
    if present.revision + 1 != next.revision {
        return Err(Refusal::WrongState { verb: step.action(), state: present.phase.as_str() });
    }
    let mut entry = context.entry(step.action(), Object::Deployment, next.phase.as_str());
    entry.detail = told(next);
    entry.detail.push(("before", present.phase.as_str().to_owned()));
    entry.detail.push(("behind", fleet.behind.to_string()));
    Ok(Plan::new(next.clone(), vec![DeploymentChange::Authority(next.clone()).into()], entry))
}

/// Writes down again what a restored database has forgotten: roots that machines have given up do not come back.
pub fn recall(present: &Ca, known: &Ca, context: &Context) -> Plan<()> {
    if known.revision <= present.revision {
        return Plan::unchanged(());
    }
    let mut entry = context.entry("ca.recall", Object::Deployment, known.phase.as_str());
    entry.detail = told(known);
    entry.detail.push(("found", present.revision.to_string()));
    Plan::new((), vec![DeploymentChange::Authority(known.clone()).into()], entry)
}

fn told(ca: &Ca) -> Vec<(&'static str, String)> {
    vec![("revision", ca.revision.to_string()), ("bundle", ca.bundle.to_string())]
}

#[cfg(test)]
mod tests;
