//! Making sites, rotating their enrollment keys, and bringing those of another server along.

use muster_model::{
    EnrollmentKey, Entry, Grant, GrantKind, GrantState, ImportedHash, Object, Refusal, Site, Tenant,
};

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
    let key = EnrollmentKey { version: 1 + version_of(newest), fingerprint: Some(fingerprint) };
    let next = grant::made(NewGrant { kind: kind(key), ..new }, &site, context);
    Ok(succeed(next, key, newest, context.entry("site.rotate_key", Object::Site(site.id), "rotated")))
}

/// A site's key that another server knows by a hash alone.
#[derive(Debug, Clone)]
pub struct BroughtKey {
    /// The hash.
    pub hash: ImportedHash,
    /// The number of its generation there, to be kept; else the next one here.
    pub version: Option<u32>,
    /// Its fingerprint, where it is known.
    pub fingerprint: Option<[u8; 2]>,
}

/// What was read before a key is brought.
#[derive(Debug, Clone, Default)]
pub struct BringFacts {
    /// The site.
    pub site: Option<Site>,
    /// The newest generation of its key.
    pub newest: Option<Grant>,
    /// The grant that the same hash made, if it was brought before: its identifier follows from the hash.
    pub earlier: Option<Grant>,
}

/// Brings a site's key along from another server, as its next generation. Bringing it again changes nothing.
///
/// # Errors
/// [`Refusal::NotFound`] where the site is unknown, [`Refusal::NameTaken`] where its key has that number, or a higher one,
/// already or another site has that hash, [`Refusal::WrongState`] for a key that was here and has ended.
pub fn bring_key(
    new: NewGrant,
    brought: BroughtKey,
    facts: BringFacts,
    context: &Context,
) -> Result<Plan<Grant>, Refusal> {
    let BringFacts { site, newest, earlier } = facts;
    let site = site.ok_or(Refusal::NotFound { what: "site" })?;
    if let Some(earlier) = earlier {
        return if earlier.site != site.id {
            Err(Refusal::NameTaken { what: "imported key" })
        } else if earlier.state == GrantState::Live {
            Ok(Plan::unchanged(earlier))
        } else {
            Err(Refusal::WrongState { verb: "import the key", state: earlier.state.as_str() })
        };
    }
    let highest = version_of(newest.as_ref());
    let version = brought.version.unwrap_or(highest + 1);
    if version <= highest {
        return Err(Refusal::NameTaken { what: "generation" });
    }
    let key = EnrollmentKey { version, fingerprint: brought.fingerprint };
    let made = grant::made(NewGrant { kind: kind(key), ..new }, &site, context);
    let next = Grant { imported: Some(brought.hash), ..made };
    Ok(succeed(
        next,
        key,
        newest.as_ref(),
        context.entry("site.import_key", Object::Site(site.id), "imported"),
    ))
}

fn kind(EnrollmentKey { version, fingerprint }: EnrollmentKey) -> GrantKind {
    GrantKind::SiteKey { version, fingerprint }
}

fn version_of(newest: Option<&Grant>) -> u32 {
    newest.map_or(0, |grant| match grant.kind {
        GrantKind::SiteKey { version, .. } => version,
        GrantKind::Token | GrantKind::Machine(_) => 0,
    })
}

/// The next generation takes the place of the newest one.
fn succeed(next: Grant, key: EnrollmentKey, newest: Option<&Grant>, mut entry: Entry) -> Plan<Grant> {
    entry.detail = vec![("generation", key.to_string()), ("grant", next.id.to_string())];
    let mut changes = vec![GrantChange::Create(next.clone()).into()];
    if let Some(older) = newest.filter(|grant| grant.state == GrantState::Live) {
        changes.push(GrantChange::End { grant: older.id, state: GrantState::RotatedOut(entry.at) }.into());
    }
    Plan::new(next, changes, entry)
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
