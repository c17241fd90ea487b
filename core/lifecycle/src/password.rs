//! Passwords of operators: set, changed, and shown to get in.
//!
//! Invariants: with a password everything ends that the one before let in, but for API tokens; a session is never carried
//! over it, and never worth more than its operator; what fails is counted in the same plan that tells of it.

use muster_model::second_factor::SecondFactor;
use muster_model::{
    AccessKind, AccessToken, Entrance, Entry, Object, Operator, PasswordHash, Refusal, SignedDuration,
    Timestamp,
};

use crate::lockout::{Counted, Counter, Failures};
use crate::operator::Live;
use crate::plan::{AccessChange, Change, Context, MemoryChange, Plan};
use crate::second_factor::{self, Code};

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
    let (holder, session) = own(known, "password.set", context)?;
    let is_proved = match proof {
        Proof::Present(shown) => holder.password.as_ref() == Some(shown),
        Proof::Link => is_by_link(session, context.now),
    };
    if !is_proved {
        return Err(Refusal::Forbidden { action: "password.set" });
    }
    let after = Operator { password: Some(hash.clone()), ..holder.clone() };
    let what = if holder.password.is_some() { "changed" } else { "first" };
    let entry = context.entry("password.set", Object::Operator(holder.id), what);
    Ok(anew(known, after, session, renewed, entry, context))
}

/// Whoever asks for something of their own: an operator that is enabled, by a live session.
///
/// # Errors
/// [`Refusal::Forbidden`].
pub(crate) fn own<'a>(
    known: &'a Known,
    action: &'static str,
    context: &Context,
) -> Result<(&'a Operator, &'a AccessToken), Refusal> {
    let Known { holder, session, .. } = known;
    let is_own = |(holder, session): &(&Operator, &AccessToken)| {
        session.kind == AccessKind::Session
            && session.is_live(context.now)
            && holder.id == session.operator
            && holder.is_enabled()
    };
    holder.as_ref().zip(session.as_ref()).filter(is_own).ok_or(Refusal::Forbidden { action })
}

/// Changes how an operator gets in: its sessions and login links end, and the session that asked goes on as `renewed`.
pub(crate) fn anew(
    known: &Known,
    after: Operator,
    session: &AccessToken,
    renewed: AccessToken,
    mut entry: Entry,
    context: &Context,
) -> Plan<AccessToken> {
    let Live { links, sessions, .. } = known.live;
    // Its life and its age stay: nobody prolongs a session by this. What a link was good for is spent.
    let renewed = AccessToken {
        id: renewed.id,
        secret: renewed.secret,
        hash: renewed.hash,
        entrance: Some(Entrance::Password),
        ..session.clone()
    };
    let kinds = &[AccessKind::Login, AccessKind::Session];
    let operator = after.id;
    let mut changes = vec![
        AccessChange::UpdateOperator(after).into(),
        AccessChange::EndAllOf { operator, kinds, at: context.now }.into(),
        AccessChange::CreateToken(renewed.clone()).into(),
    ];
    changes.extend(forgive(&known.counters, context));
    entry.detail = vec![("ended", (links + sessions).to_string())];
    Plan::new(renewed, changes, entry)
}

/// What became of somebody who came with a name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// In, by this session.
    In(AccessToken),
    /// Not in, and counted.
    Failed,
}

/// How the log names that somebody did not get in.
const REFUSED: &str = "session.refused";

/// What somebody came with to get in.
#[derive(Debug)]
pub struct Login<'a> {
    /// Whom they say they are, where there is such an operator.
    pub holder: Option<&'a Operator>,
    /// The hash that their password fits.
    pub fits: Option<&'a PasswordHash>,
    /// What they showed beside it.
    pub code: &'a Code,
    /// What is counted of name and source.
    pub counters: &'a [Counter],
    /// What is counted of codes for this operator, by whoever showed its password.
    pub codes: Counter,
}

/// Opens a session for who has shown their password, and a code where one is asked for; or counts that it failed. Which of
/// name, password and code was wrong makes no difference to what is answered.
///
/// # Errors
/// [`Refusal::SlowDown`] for who tried too often, whatever was shown; [`Refusal::CodeNeeded`] where the password is right and
/// a code is missing.
pub fn login(shown: &Login<'_>, session: AccessToken, context: &Context) -> Result<Plan<Shown>, Refusal> {
    // Asked again: others may have tried while this one was checked.
    may_try(shown.counters, context)?;
    let proved = |holder: &&Operator| {
        holder.is_enabled() && shown.fits.is_some() && holder.password.as_ref() == shown.fits
    };
    let Some(holder) = shown.holder.filter(proved) else {
        let plan = failed(REFUSED, "password_wrong", Object::Deployment, shown.counters, context);
        return Ok(plan.map(|()| Shown::Failed));
    };
    match beside(shown, holder, context)? {
        Beside::NotAsked => Ok(opened(shown, holder, None, session, context)),
        Beside::Spent(second) => Ok(opened(shown, holder, Some(second), session, context)),
        Beside::Wrong => {
            let counters = [shown.counters, &[shown.codes]].concat();
            let object = Object::Operator(holder.id);
            Ok(failed(REFUSED, "code_wrong", object, &counters, context).map(|()| Shown::Failed))
        }
    }
}

/// A session for who has shown everything, with what a code left behind.
fn opened(
    shown: &Login<'_>,
    holder: &Operator,
    spent: Option<SecondFactor>,
    session: AccessToken,
    context: &Context,
) -> Plan<Shown> {
    let by = match (&spent, shown.code) {
        (None, _) => "password",
        (Some(_), Code::Recovery(_)) => "password_and_recovery_code",
        (Some(_), Code::Absent | Code::Wrong | Code::Step { .. }) => "password_and_code",
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
    if let Some(second) = spent {
        let after = Operator { second: Some(second), ..holder.clone() };
        changes.push(AccessChange::UpdateOperator(after).into());
        changes.extend(forgive(&[shown.codes], context));
    }
    changes.extend(forgive(shown.counters, context));
    let entry = context.entry("session.open", Object::AccessToken(session.id), by);
    Plan::new(Shown::In(session), changes, entry)
}

/// What was shown beside a password that is right.
enum Beside {
    NotAsked,
    Spent(SecondFactor),
    Wrong,
}

fn beside(shown: &Login<'_>, holder: &Operator, context: &Context) -> Result<Beside, Refusal> {
    let Some(second) = holder.second.as_ref().filter(|second| second.is_confirmed()) else {
        return Ok(Beside::NotAsked);
    };
    if *shown.code == Code::Absent {
        return Err(Refusal::CodeNeeded);
    }
    // Only here: whoever does not know the password learns nothing of who is asked for codes.
    may_try(&[shown.codes], context)?;
    Ok(second_factor::spend(second, shown.code).map_or(Beside::Wrong, Beside::Spent))
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
pub fn failed(
    action: &'static str,
    reason: &'static str,
    object: Object,
    counters: &[Counter],
    context: &Context,
) -> Plan<()> {
    let count = |counter: &Counter| {
        let failures = counter.failed(context.now);
        Change::from(MemoryChange::Failures { key: counter.key, failures })
    };
    let entry = context.entry(action, object, reason);
    Plan::new((), counters.iter().map(count).collect(), entry)
}

/// Who got in begins anew. What is counted of the whole source does not: one good account would buy guesses at all others.
pub(crate) fn forgive(counters: &[Counter], context: &Context) -> impl Iterator<Item = Change> {
    counters.iter().filter_map(|counter| forgiven(counter, context.now))
}

fn forgiven(counter: &Counter, now: Timestamp) -> Option<Change> {
    let is_counted = counter.failures.is_some_and(|failures| failures.count > 0);
    let failures = Failures { count: 0, at: now };
    let is_own = matches!(counter.counted, Counted::Name | Counted::Account);
    (is_counted && is_own).then(|| MemoryChange::Failures { key: counter.key, failures }.into())
}

#[cfg(test)]
mod tests;
