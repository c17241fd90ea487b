//! Somebody without a key collects what a person decided, by the secret it drew for itself.
//!
//! What it gets is one bearer key for each hold, derived and not drawn: collecting again gives the same one, because an
//! answer may be lost and a client may lose what it wrote. A second one is never given, and none is ended by asking, so
//! that who learns the secret later can take nothing away from the machine.

use muster_model::{
    Credential, CredentialId, CredentialKind, Hold, HoldState, Machine, MachineState, Object, Refusal,
    SuspendCause, Suspended, Timestamp, Verifier,
};

use crate::credential;
use crate::enroll::Outcome;
use crate::plan::{Context, CredentialChange, Plan};
use crate::terms::Terms;

/// What was read when somebody without a key asks what became of its hold.
#[derive(Debug, Clone, Default)]
pub struct KeylessFacts {
    /// The hold it names.
    pub hold: Option<Hold>,
    /// The machine that it was let in as.
    pub machine: Option<Machine>,
    /// The bearer key of this hold, whatever became of it, if it was collected before.
    pub given: Option<Credential>,
}

/// What was shown, and the bearer key that belongs to the hold.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What is kept of the secret that was shown.
    pub verifier: Verifier,
    /// The bearer key of this hold.
    pub bearer: CredentialKind,
    /// For its credential, should it be collected for the first time.
    pub credential: CredentialId,
}

/// Somebody without a key asks what became of its hold.
///
/// # Errors
/// [`Refusal::Rejected`]; [`Refusal::NotFound`] for another secret, once the hold expired undecided or the right to
/// collect lapsed, and where the machine or this way into it ended meanwhile.
pub fn collect_keyless(
    facts: KeylessFacts,
    shown: Shown,
    context: &Context,
    terms: &Terms,
) -> Result<Plan<Outcome>, Refusal> {
    let gone = Refusal::NotFound { what: "hold" };
    let KeylessFacts { hold, machine, given } = facts;
    let hold = hold.filter(|hold| hold.claimant.key.is_none());
    let hold = hold.filter(|hold| hold.claimant.verifier == Some(shown.verifier)).ok_or(gone.clone())?;
    match &hold.state {
        HoldState::Open if hold.is_expired(context.now) => Err(gone),
        HoldState::Open => Ok(Plan::unchanged(Outcome::Held(Box::new(hold)))),
        HoldState::Rejected { reason, .. } => {
            Err(Refusal::Rejected { reason: reason.as_ref().map(ToString::to_string) })
        }
        HoldState::Approved { at, .. } if context.now > *at + terms.collect_life => Err(gone),
        HoldState::Approved { at, .. } => {
            let machine = machine.filter(may_collect).ok_or(gone.clone())?;
            match given {
                Some(credential) if credential.machine == machine.id && credential.is_live(context.now) => {
                    Ok(again(machine, credential))
                }
                Some(_) => Err(gone),
                None if is_as_approved(&machine, *at) => {
                    Ok(given_first(machine, &hold, shown, context, terms))
                }
                None => Err(gone),
            }
        }
    }
}

fn may_collect(machine: &Machine) -> bool {
    match &machine.state {
        MachineState::Active(_)
        | MachineState::Suspended(Suspended {
            cause:
                SuspendCause::Operator(_)
                | SuspendCause::Probation
                | SuspendCause::Silent
                | SuspendCause::Quarantine,
            ..
        }) => true,
        MachineState::Suspended(Suspended { cause: SuspendCause::Revoked(_), .. })
        | MachineState::Pending(_)
        | MachineState::Retired(_) => false,
    }
}

/// Whether nobody became the machine since this hold was approved, by a key or by another hold.
fn is_as_approved(machine: &Machine, at: Timestamp) -> bool {
    machine.key.is_none() && machine.enrolled_at == Some(at)
}

fn again(machine: Machine, credential: Credential) -> Plan<Outcome> {
    let (machine, credential) = (Box::new(machine), Box::new(credential));
    Plan::unchanged(Outcome::Enrolled { machine, credential, again: true })
}

fn given_first(
    machine: Machine,
    hold: &Hold,
    shown: Shown,
    context: &Context,
    terms: &Terms,
) -> Plan<Outcome> {
    let credential = credential::reserve(shown.credential, &machine, shown.bearer, context.now, terms);
    let mut entry = context.entry("credential.reserve", Object::Machine(machine.id), "hold_collected");
    entry.detail = vec![("hold", hold.id.to_string()), ("credential", credential.id.to_string())];
    let change = CredentialChange::Reserve(credential.clone());
    let (machine, credential) = (Box::new(machine), Box::new(credential));
    Plan::new(Outcome::Enrolled { machine, credential, again: false }, vec![change.into()], entry)
}
