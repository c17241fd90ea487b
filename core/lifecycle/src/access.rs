//! Operators, their tokens and their sessions.

use muster_model::{
    AccessKind, AccessToken, Entrance, Object, Operator, OperatorRole, Refusal, SecretHash, SecretId,
    Timestamp, TokenScope,
};

use crate::plan::{AccessChange, Context, Plan};

/// Makes an operator.
pub fn create_operator(operator: Operator, context: &Context) -> Plan<Operator> {
    let mut entry = context.entry("operator.create", Object::Operator(operator.id), operator.role.as_str());
    entry.detail = vec![("name", operator.name.to_string())];
    Plan::new(operator.clone(), vec![AccessChange::CreateOperator(operator).into()], entry)
}

/// Makes a token or login link for an operator. Nobody hands out more than they hold, and it is worth no more than whose
/// it is.
///
/// # Errors
/// [`Refusal::Forbidden`] where the token would be worth more than its maker; [`Refusal::NotFound`] and
/// [`Refusal::WrongState`] for an operator who is not there or disabled.
pub fn create_token(
    token: AccessToken,
    holder: Option<&Operator>,
    maker: OperatorRole,
    context: &Context,
) -> Result<Plan<AccessToken>, Refusal> {
    if token.role > maker {
        return Err(Refusal::Forbidden { action: "token.create" });
    }
    let holder = holder.ok_or(Refusal::NotFound { what: "operator" })?;
    if !holder.is_enabled() {
        return Err(Refusal::WrongState { verb: "make a token of the operator", state: "disabled" });
    }
    let token = AccessToken { role: token.role.min(holder.role), ..token };
    let mut entry = context.entry("token.create", Object::AccessToken(token.id), token.kind.as_str());
    entry.detail = vec![("name", token.name.to_string()), ("role", token.role.as_str().to_owned())];
    if let Some(TokenScope { scopes, team }) = &token.scope {
        entry.detail.push(("scopes", scopes.to_string()));
        entry.detail.extend(team.as_ref().map(|team| ("team", team.to_string())));
    }
    Ok(Plan::new(token.clone(), vec![AccessChange::CreateToken(token).into()], entry))
}

/// What whoever shows a token or a session may do by it, at this time.
///
/// # Errors
/// [`Refusal::NotAuthenticated`] where it has ended, or whose it is is disabled.
pub fn worth(token: &AccessToken, holder: &Operator, now: Timestamp) -> Result<OperatorRole, Refusal> {
    if !token.is_live(now) {
        return Err(Refusal::NotAuthenticated { cause: "secret_ended" });
    }
    if !holder.is_enabled() {
        return Err(Refusal::NotAuthenticated { cause: "operator_disabled" });
    }
    Ok(token.role.min(holder.role))
}

/// Spends a login link on a session. Whose it is and what it may do, the link says.
///
/// # Errors
/// [`Refusal::NotAuthenticated`] for a link that was spent, ended or is not one, and for one whose operator is disabled.
pub fn login(
    link: Option<AccessToken>,
    holder: Option<&Operator>,
    session: AccessToken,
    context: &Context,
) -> Result<Plan<AccessToken>, Refusal> {
    let link = link
        .filter(|link| link.kind == AccessKind::Login && link.is_live(context.now))
        .ok_or(Refusal::NotAuthenticated { cause: "login_link_not_live" })?;
    let holder = holder.filter(|holder| holder.id == link.operator && holder.is_enabled());
    let holder = holder.ok_or(Refusal::NotAuthenticated { cause: "operator_disabled" })?;
    let session = AccessToken {
        tenant: link.tenant,
        operator: link.operator,
        kind: AccessKind::Session,
        role: session.role.min(link.role).min(holder.role),
        entrance: Some(Entrance::Link),
        ..session
    };
    let entry = context.entry("session.open", Object::AccessToken(session.id), "login_link");
    let spent = AccessChange::EndToken { token: link.id, at: context.now };
    let changes = vec![spent.into(), AccessChange::CreateToken(session.clone()).into()];
    Ok(Plan::new(session, changes, entry))
}

/// Gives a token another secret; the one before ends with it.
///
/// # Errors
/// [`Refusal::NotFound`], also for one that has ended: no secret brings it back.
pub fn rotate_token(
    token: Option<AccessToken>,
    secret: SecretId,
    hash: SecretHash,
    context: &Context,
) -> Result<Plan<AccessToken>, Refusal> {
    let live = |token: &AccessToken| token.kind == AccessKind::Api && token.is_live(context.now);
    let token = token.filter(live).ok_or(Refusal::NotFound { what: "token" })?;
    let entry = context.entry("token.rotate", Object::AccessToken(token.id), token.kind.as_str());
    let change = AccessChange::RotateToken { token: token.id, secret, hash };
    Ok(Plan::new(AccessToken { secret, hash, ..token }, vec![change.into()], entry))
}

/// A token that is confined to scopes. To whoever may change those alone, no other is there.
pub fn confined(token: Option<AccessToken>) -> Option<AccessToken> {
    token.filter(|token| token.scope.is_some())
}

/// Ends a token, session or login link.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn end_token(token: Option<AccessToken>, context: &Context) -> Result<Plan<AccessToken>, Refusal> {
    let token = token.ok_or(Refusal::NotFound { what: "token" })?;
    if token.ended_at.is_some() {
        return Ok(Plan::unchanged(token));
    }
    let entry = context.entry("token.revoke", Object::AccessToken(token.id), token.kind.as_str());
    let change = AccessChange::EndToken { token: token.id, at: context.now };
    Ok(Plan::new(AccessToken { ended_at: Some(context.now), ..token }, vec![change.into()], entry))
}

#[cfg(test)]
mod tests;
