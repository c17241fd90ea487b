//! Making sites and rotating their enrollment keys.

use muster_model::{EnrollmentKey, Grant, GrantKind, GrantState, Object, Refusal, Site, Tenant};

use crate::grant::{self, NewGrant};
use crate::plan::{Context, GrantChange, Plan, SiteChange, TenantChange};

/// Makes a site.
///
/// # Errors
/// [`Refusal::NameTaken`] where the tenant has a site of that code.
pub fn create(site: Site, same_code: Option<&Site>, context: &Context) -> Result<Plan<Site>, Refusal> {
    if same_code.is_some() {
        return Err(Refusal::NameTaken { what: "site" });
    }
    let mut entry = context.entry("site.create", Object::Site(site.id), "created");
    entry.detail = vec![("code", site.code.to_string())];
    Ok(Plan::new(site.clone(), vec![SiteChange::Create(site).into()], entry))
}

/// Makes the next generation of a site's enrollment key. The generation before lets nobody in from now on; machines
/// that came in by it are not touched.
///
/// # Errors
/// [`Refusal::NotFound`] where the site is unknown.
pub fn rotate_key(
    new: NewGrant,
    fingerprint: [u8; 2],
    site: Option<Site>,
    newest: Option<&Grant>,
    context: &Context,
) -> Result<Plan<Grant>, Refusal> {
    let site = site.ok_or(Refusal::NotFound { what: "site" })?;
    let version = 1 + newest.map_or(0, |grant| match grant.kind {
        GrantKind::SiteKey { version, .. } => version,
        GrantKind::Token | GrantKind::Machine(_) => 0,
    });
    let next =
        grant::made(NewGrant { kind: GrantKind::SiteKey { version, fingerprint }, ..new }, &site, context);
    let mut entry = context.entry("site.rotate_key", Object::Site(site.id), "rotated");
    let generation = EnrollmentKey { version, fingerprint };
    entry.detail = vec![("generation", generation.to_string()), ("grant", next.id.to_string())];
    let mut changes = vec![GrantChange::Create(next.clone()).into()];
    if let Some(older) = newest.filter(|grant| grant.state == GrantState::Live) {
        changes.push(GrantChange::End { grant: older.id, state: GrantState::RotatedOut(context.now) }.into());
    }
    Ok(Plan::new(next, changes, entry))
}

/// The first tenant and its first site, on an empty store; nothing where there is one.
pub fn found(tenant: Tenant, site: Site, present: Option<Tenant>, context: &Context) -> Plan<Tenant> {
    if let Some(present) = present {
        return Plan::unchanged(present);
    }
    let mut entry = context.entry("tenant.found", Object::Deployment, "created");
    entry.detail = vec![("tenant", tenant.id.to_string()), ("site", site.code.to_string())];
    let changes = vec![TenantChange::Create(tenant.clone()).into(), SiteChange::Create(site).into()];
    Plan::new(tenant, changes, entry)
}

#[cfg(test)]
mod tests;
