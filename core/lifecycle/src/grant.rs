//! Making and ending grants.

use muster_model::{
    Grant, GrantId, GrantKind, GrantState, Labels, MachineKind, Object, ReasonText, Refusal, Role,
    SecretHash, SecretId, Site, Timestamp, Uses,
};

use crate::plan::{Context, GrantChange, Plan};

/// A grant to be made.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// Its identifier.
    pub id: GrantId,
    /// What makes it.
    pub kind: GrantKind,
    /// Selects the row when its token is presented.
    pub secret: SecretId,
    /// Proves the token.
    pub hash: SecretHash,
    /// How often it may be drawn on; `None`: as often as anybody likes.
    pub uses: Option<u32>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Stamped on its machines.
    pub labels: Labels,
    /// Stamped on its machines.
    pub role: Option<Role>,
    /// The only kind of machine it admits.
    pub machine_kind: Option<MachineKind>,
    /// Whether a person must approve each of its machines.
    pub approval: bool,
}

/// Makes a grant.
///
/// # Errors
/// [`Refusal::NotFound`] where the site is unknown.
pub fn create(new: NewGrant, site: Option<Site>, context: &Context) -> Result<Plan<Grant>, Refusal> {
    let site = site.ok_or(Refusal::NotFound { what: "site" })?;
    let grant = made(new, &site, context);
    let mut entry = context.entry("grant.create", Object::Grant(grant.id), "live");
    entry.detail = vec![("site", site.code.to_string())];
    entry.detail.extend(grant.expires_at.map(|end| ("expires_at", end.to_string())));
    Ok(Plan::new(grant.clone(), vec![GrantChange::Create(grant).into()], entry))
}

/// The record of a new grant.
pub(crate) fn made(new: NewGrant, site: &Site, context: &Context) -> Grant {
    let uses = match new.uses {
        Some(1) => Uses::Once(None),
        Some(limit) => Uses::Capped { limit, used: 0 },
        None => Uses::Unlimited,
    };
    Grant {
        id: new.id,
        tenant: context.tenant,
        site: site.id,
        kind: new.kind,
        secret: new.secret,
        hash: new.hash,
        imported: None,
        uses,
        expires_at: new.expires_at,
        labels: new.labels,
        role: new.role,
        machine_kind: new.machine_kind,
        approval: new.approval,
        state: GrantState::Live,
        created_at: context.now,
    }
}

/// Ends a grant. The machines that came in by it stay.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn revoke(
    grant: Option<Grant>,
    said: Option<ReasonText>,
    context: &Context,
) -> Result<Plan<Grant>, Refusal> {
    let grant = grant.ok_or(Refusal::NotFound { what: "grant" })?;
    if matches!(grant.state, GrantState::Revoked(_)) {
        return Ok(Plan::unchanged(grant));
    }
    let state = GrantState::Revoked(context.now);
    let mut entry = context.entry("grant.revoke", Object::Grant(grant.id), "revoked");
    entry.detail.extend(said.map(|said| ("said", said.to_string())));
    let change = GrantChange::End { grant: grant.id, state };
    Ok(Plan::new(Grant { state, imported: None, ..grant }, vec![change.into()], entry))
}

#[cfg(test)]
mod tests;
