//! The second factor: proposed, confirmed by a first code, spent code by code, removed, and taken away by an admin.
//!
//! Invariants: no step counts twice, nor an earlier one after a later (RFC 6238 §5.2); a recovery code counts once; whoever
//! changes how they get in ends whatever was let in otherwise.

use muster_model::second_factor::{FactorSalt, SecondFactor};
use muster_model::{AccessToken, Object, Operator, PasswordHash, Refusal, SecretHash, SignedDuration};

use crate::lockout::Counter;
use crate::password::{self, Known};
use crate::plan::{AccessChange, Context, Plan};

/// How long a key that was shown waits for its first code.
const PROPOSED_FOR: SignedDuration = SignedDuration::from_hours(1);

/// What somebody showed beside the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// Nothing.
    Absent,
    /// Something that is no code of theirs.
    Wrong,
    /// The code of this step, by the key under this salt.
    Step {
        /// Of which key.
        salt: FactorSalt,
        /// Of which step.
        step: u64,
    },
    /// Something that looks like a recovery code.
    Recovery(SecretHash),
}

/// The second factor after a code was spent, where it counts.
pub fn spend(factor: &SecondFactor, code: &Code) -> Option<SecondFactor> {
    let SecondFactor::Confirmed { salt, since, step: newest, recovery } = factor else { return None };
    let (salt, since) = (*salt, *since);
    match code {
        Code::Step { salt: of, step } if *of == salt && step > newest => {
            Some(SecondFactor::Confirmed { salt, since, step: *step, recovery: recovery.clone() })
        }
        Code::Recovery(shown) if recovery.contains(shown) => {
            let recovery = recovery.iter().copied().filter(|hash| hash != shown).collect();
            Some(SecondFactor::Confirmed { salt, since, step: *newest, recovery })
        }
        Code::Absent | Code::Wrong | Code::Step { .. } | Code::Recovery(_) => None,
    }
}

/// Keeps the salt of a key that is shown to its operator. It replaces one that was shown before and never confirmed.
///
/// # Errors
/// [`Refusal::Forbidden`] for whatever is no live session of an operator whose present password was shown;
/// [`Refusal::WrongState`] where a second factor is asked for already.
pub fn propose(
    known: &Known,
    shown: &PasswordHash,
    salt: FactorSalt,
    context: &Context,
) -> Result<Plan<Operator>, Refusal> {
    let (holder, _) = password::own(known, "second_factor.propose", context)?;
    if holder.password.as_ref() != Some(shown) {
        return Err(Refusal::Forbidden { action: "second_factor.propose" });
    }
    if holder.second.as_ref().is_some_and(SecondFactor::is_confirmed) {
        return Err(Refusal::WrongState { verb: "set up a second factor", state: "there" });
    }
    let proposed = SecondFactor::Proposed { salt, at: context.now };
    let after = Operator { second: Some(proposed), ..holder.clone() };
    let mut changes = vec![AccessChange::UpdateOperator(after.clone()).into()];
    changes.extend(password::forgive(&known.counters, context));
    let entry = context.entry("second_factor.propose", Object::Operator(holder.id), "password");
    Ok(Plan::new(after, changes, entry))
}

/// Whether somebody confirms a key by its first code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmed {
    /// They do: their session goes on as this one.
    In(AccessToken),
    /// They do not, and it was counted.
    Failed,
}

/// Asks for codes from now on. All other sessions end, and login links; `recovery` is what is kept of the codes for the day on
/// which the device is lost.
///
/// # Errors
/// [`Refusal::Forbidden`] for whatever is no live session; [`Refusal::WrongState`] where nothing was proposed within the hour;
/// [`Refusal::SlowDown`].
pub fn confirm(
    known: &Known,
    code: &Code,
    recovery: Vec<SecretHash>,
    renewed: AccessToken,
    context: &Context,
) -> Result<Plan<Confirmed>, Refusal> {
    const ACT: &str = "second_factor.confirm";
    let (holder, session) = password::own(known, ACT, context)?;
    let Some(SecondFactor::Proposed { salt, at }) = holder.second else {
        return Err(Refusal::WrongState { verb: "confirm a second factor", state: "not proposed" });
    };
    if context.now >= at + PROPOSED_FOR {
        return Err(Refusal::WrongState { verb: "confirm a second factor", state: "proposed too long ago" });
    }
    password::may_try(&known.counters, context)?;
    let step = match code {
        Code::Step { salt: of, step } if *of == salt => *step,
        _ => return Ok(failed(holder, &known.counters, context).map(|()| Confirmed::Failed)),
    };
    let second = SecondFactor::Confirmed { salt, since: context.now, step, recovery };
    let after = Operator { second: Some(second), ..holder.clone() };
    let plan = password::anew(
        known,
        after,
        session,
        renewed,
        context.entry(ACT, Object::Operator(holder.id), "code"),
        context,
    );
    Ok(plan.map(Confirmed::In))
}

/// Asks for codes no more. It takes the password and a code.
///
/// # Errors
/// [`Refusal::Forbidden`] for whatever is no live session of an operator whose present password was shown;
/// [`Refusal::WrongState`] where there is none; [`Refusal::SlowDown`].
pub fn remove(
    known: &Known,
    shown: &PasswordHash,
    code: &Code,
    renewed: AccessToken,
    context: &Context,
) -> Result<Plan<Confirmed>, Refusal> {
    const ACT: &str = "second_factor.remove";
    let (holder, session) = password::own(known, ACT, context)?;
    let Some(second) = holder.second.as_ref().filter(|second| second.is_confirmed()) else {
        return Err(Refusal::WrongState { verb: "remove the second factor", state: "not there" });
    };
    if holder.password.as_ref() != Some(shown) {
        return Err(Refusal::Forbidden { action: ACT });
    }
    password::may_try(&known.counters, context)?;
    if spend(second, code).is_none() {
        return Ok(failed(holder, &known.counters, context).map(|()| Confirmed::Failed));
    }
    let after = Operator { second: None, ..holder.clone() };
    let plan = password::anew(
        known,
        after,
        session,
        renewed,
        context.entry(ACT, Object::Operator(holder.id), "code"),
        context,
    );
    Ok(plan.map(Confirmed::In))
}

fn failed(holder: &Operator, counters: &[Counter], context: &Context) -> Plan<()> {
    password::failed("second_factor.refused", "code_wrong", Object::Operator(holder.id), counters, context)
}

#[cfg(test)]
mod tests;
