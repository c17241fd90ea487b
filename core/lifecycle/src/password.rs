//! Passwords of operators: set, changed, and shown to get in.
//!
//! Invariants: with a password everything ends that the one before let in, but for API tokens; a session is never carried
//! over it, and never worth more than its operator; what fails is counted in the same plan that tells of it.

use muster_model::{
    AccessKind, AccessToken, Entrance, Object, Operator, PasswordHash, Refusal, SignedDuration, Timestamp,
};

use crate::lockout::{Counted, Counter, Failures};
use crate::operator::Live;
use crate::plan::{AccessChange, Change, Context, MemoryChange, Plan};

/// How long a session that a link opened needs no present password: so the first is set, and a forgotten one.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// By what somebody may set a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The present one was shown: this hash fits it.
    Present(PasswordHash),
    /// A session that a one-time link opened just now.
    Link,
}

/// Whether a one-time link opened this session just now. Who came in by the password knows it.
pub fn is_by_link(session: &AccessToken, now: Timestamp) -> bool {
    session.entrance == Some(Entrance::Link) && session.is_live(now) && now < session.created_at + FRESH
}

/// What was read of who sets a password.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Whose it is.
    pub holder: Option<Operator>,
    /// By what they ask.
    pub session: Option<AccessToken>,
    /// What they have that is good for something.
    pub live: Live,
    /// What is counted of them.
    pub counters: Vec<Counter>,
}

/// Gives an operator another password, and the session that asked another secret. All its other sessions and its login
/// links end. `renewed` is the session as it is from now on.
///
/// # Errors
/// [`Refusal::Forbidden`] for whatever is no live session of an operator that is enabled, and where neither the present
/// password was shown nor a link opened the session just now.
pub fn set(
    known: &Known,
    proof: &Proof,
    hash: &PasswordHash,
    renewed: AccessToken,
    context: &Context,
) -> Result<Plan<AccessToken>, Refusal> {
    let Known { holder, session, live, counters } = known;
    let forbidden = || Refusal::Forbidden { action: "password.set" };
    let is_own = |session: &&AccessToken| {
        session.kind == AccessKind::Session
            && session.is_live(context.now)
            && holder.as_ref().is_some_and(|holder| holder.id == session.operator && holder.is_enabled())
    };
    let (Some(holder), Some(session)) = (holder, session.as_ref().filter(is_own)) else {
        return Err(forbidden());
    };
    let is_proved = match proof {
        Proof::Present(shown) => holder.password.as_ref() == Some(shown),
        Proof::Link => is_by_link(session, context.now),
    };
    if !is_proved {
        return Err(forbidden());
    }
    let after = Operator { password: Some(hash.clone()), ..holder.clone() };
    // Its life and its age stay: nobody prolongs a session by this. What a link was good for is spent.
    let renewed = AccessToken {
        id: renewed.id,
        secret: renewed.secret,
        hash: renewed.hash,
        entrance: Some(Entrance::Password),
        ..session.clone()
    };
    let kinds = &[AccessKind::Login, AccessKind::Session];
    let mut changes = vec![
        AccessChange::UpdateOperator(after).into(),
        AccessChange::EndAllOf { operator: holder.id, kinds, at: context.now }.into(),
        AccessChange::CreateToken(renewed.clone()).into(),
    ];
    changes.extend(counters.iter().filter_map(|counter| forgiven(counter, context.now)));
    let what = if holder.password.is_some() { "changed" } else { "first" };
    let mut entry = context.entry("password.set", Object::Operator(holder.id), what);
    entry.detail = vec![("ended", (live.links + live.sessions).to_string())];
    Ok(Plan::new(renewed, changes, entry))
}

/// What became of somebody who came with a name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// In, by this session.
    In(AccessToken),
    /// Not in, and counted.
    Failed,
}

/// Opens a session for who has shown their password, or counts that it failed. Which of name and password was wrong makes
/// no difference to what is written.
///
/// # Errors
/// [`Refusal::SlowDown`] for who tried too often, whatever was shown.
pub fn login(
    holder: Option<&Operator>,
    fits: Option<&PasswordHash>,
    session: AccessToken,
    counters: &[Counter],
    context: &Context,
) -> Result<Plan<Shown>, Refusal> {
    // Asked again: others may have tried while this one was checked.
    may_try(counters, context)?;
    let proved =
        |holder: &&Operator| holder.is_enabled() && fits.is_some() && holder.password.as_ref() == fits;
    let Some(holder) = holder.filter(proved) else {
        return Ok(failed("session.refused", Object::Deployment, counters, context).map(|()| Shown::Failed));
    };
    let session = AccessToken {
        tenant: holder.tenant,
        operator: holder.id,
        kind: AccessKind::Session,
        role: holder.role,
        entrance: Some(Entrance::Password),
        ..session
    };
    let mut changes = vec![AccessChange::CreateToken(session.clone()).into()];
    changes.extend(counters.iter().filter_map(|counter| forgiven(counter, context.now)));
    let entry = context.entry("session.open", Object::AccessToken(session.id), "password");
    Ok(Plan::new(Shown::In(session), changes, entry))
}

/// Whether somebody may try now.
///
/// # Errors
/// [`Refusal::SlowDown`].
pub fn may_try(counters: &[Counter], context: &Context) -> Result<(), Refusal> {
    match crate::lockout::wait(counters, context.now) {
        Some(retry_after) => Err(Refusal::SlowDown { retry_after }),
        None => Ok(()),
    }
}

/// Counts a failure.
pub fn failed(action: &'static str, object: Object, counters: &[Counter], context: &Context) -> Plan<()> {
    let count = |counter: &Counter| {
        let failures = counter.failed(context.now);
        Change::from(MemoryChange::Failures { key: counter.key, failures })
    };
    let entry = context.entry(action, object, "password_wrong");
    Plan::new((), counters.iter().map(count).collect(), entry)
}

/// Who got in begins anew. What is counted of the whole source does not: one good account would buy guesses at all others.
fn forgiven(counter: &Counter, now: Timestamp) -> Option<Change> {
    let is_counted = counter.failures.is_some_and(|failures| failures.count > 0);
    let failures = Failures { count: 0, at: now };
    let is_own = matches!(counter.counted, Counted::Name | Counted::Account);
    (is_counted && is_own).then(|| MemoryChange::Failures { key: counter.key, failures }.into())
}

#[cfg(test)]
mod tests;
