//! A site's key that was brought from another server, and is shown here for the first time.
//!
//! The hash that came along is checked before the decision, which takes its time. What was found counts only while the
//! grant still has that hash; then the grant gets a verifier of our own in the transaction of whatever was decided for
//! the caller, so that nobody ever needs the hash again.

use muster_model::{
    AuditId, EnrollmentKey, Entry, Grant, GrantKind, ImportedHash, Object, SecretHash, SecretId,
};

use super::{Facts, Outcome, Request};
use crate::plan::{Context, GrantChange, Plan};

/// A key that fits the hash which another server kept of it.
#[derive(Debug, Clone)]
pub struct ShownKey {
    /// The hash.
    pub fits: ImportedHash,
    /// Selects the key.
    pub secret: SecretId,
    /// Proves it.
    pub hash: SecretHash,
    /// What people tell it by.
    pub fingerprint: [u8; 2],
    /// For the audit entry that tells of it.
    pub entry: AuditId,
}

/// Whether the claim on a grant holds: by the verifier of our own or, before there is one, by the hash that came along.
pub(super) fn holds(request: &Request, grant: &Grant, hash: SecretHash) -> bool {
    match (&grant.imported, &request.shown) {
        (None, _) => grant.hash == hash,
        (Some(imported), Some(shown)) => *imported == shown.fits,
        (Some(_), None) => false,
    }
}

/// The grant whose key is shown for the first time.
pub(super) fn unproved(request: &Request, facts: &Facts) -> Option<(ShownKey, Grant)> {
    let grant = facts.grant.as_ref().filter(|grant| grant.imported.is_some())?;
    Some((request.shown.clone()?, grant.clone()))
}

/// The same plan, from which on the key is kept like every other.
pub(super) fn proved(
    plan: Plan<Outcome>,
    (shown, grant): (ShownKey, Grant),
    context: &Context,
) -> Plan<Outcome> {
    let ShownKey { secret, hash, fingerprint, entry, .. } = shown;
    let entry = Entry { id: entry, ..context.entry("site.prove_key", Object::Site(grant.site), "shown") };
    let entry = Entry { detail: described(&grant, fingerprint), ..entry };
    plan.also_told_by(entry).and(GrantChange::Prove { grant: grant.id, secret, hash, fingerprint })
}

fn described(grant: &Grant, fingerprint: [u8; 2]) -> Vec<(&'static str, String)> {
    let generation = match grant.kind {
        GrantKind::SiteKey { version, .. } => Some(EnrollmentKey { version, fingerprint: Some(fingerprint) }),
        GrantKind::Token | GrantKind::Machine(_) => None,
    };
    let generation = generation.map(|key| ("generation", key.to_string()));
    generation.into_iter().chain([("grant", grant.id.to_string())]).collect()
}
