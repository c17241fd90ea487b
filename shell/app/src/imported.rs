//! Sites' keys that were brought from another server: bringing them, and checking who shows one for the first time.
//!
//! Invariant: while any such key waits to be shown, whoever shows what no verifier here knows costs one run of the password
//! hash and the same reads, whatever the site, its key or the form of what was shown; once none waits, nobody does.

use muster_doors::Evidence;
use muster_lifecycle::enroll::ShownKey;
use muster_lifecycle::grant::NewGrant;
use muster_lifecycle::site::{BringFacts, BroughtKey, bring_key};
use muster_lifecycle::{Context, Plan};
use muster_model::{Claim, Entitlement, Grant, GrantId, Object, Refusal, SecretKind, SiteCode, SiteId};
use muster_store::{Decision, Lists, Reads, Store, StoreError, Unscoped};
use muster_wire::site as wire;
use zeroize::Zeroizing;

use crate::App;
use crate::caller::Origin;
use crate::enroll::Stepped;
use crate::error::Error;
use crate::kdf;
use crate::ports::draw;
use crate::site::{SiteGeneration, SiteRef};

impl<S: Store> App<S> {
    /// Brings a site's key along from another server, which knows it by a hash alone. It is the next generation of the
    /// site's key. Bringing it again gives the same answer.
    ///
    /// # Errors
    /// [`Error::Malformed`]; [`Refusal::NotFound`], [`Refusal::NameTaken`], [`Refusal::WrongState`].
    pub async fn import_key(
        &self,
        site: &SiteRef,
        request: wire::ImportKey,
        origin: &Origin,
    ) -> Result<wire::ImportedKey, Error> {
        let context = self.context(origin);
        let site = self.site_by(context.tenant, site).await?;
        let wire::ImportKeyFields { hash, version, fingerprint } = request.try_into()?;
        if !kdf::is_readable(&hash) {
            return Err(Error::field("phc", "cannot be read: copy it again as a whole"));
        }
        // Until somebody shows the key nobody knows its verifier; what stands for it, and the grant's identifier, follow
        // from the hash, so that it is found again.
        let secret = self.derived(SecretKind::Enroll, format!("imported key {}", hash.as_str()).as_bytes());
        let new = NewGrant { id: GrantId::new(0, secret.id().0), ..self.new_site_key(&secret) };
        let brought = BroughtKey { hash, version, fingerprint };
        let grant = self.settle(origin, ImportKey { site: site.id, new, brought, context }).await?;
        let generation = SiteGeneration::of(&grant).ok_or(Refusal::NotFound { what: "enrollment key" })?;
        Ok(wire::ImportedKey {
            site: site.code.to_string(),
            generation: generation.key.to_string(),
            grant: grant.id.to_string(),
            shown: grant.imported.is_none(),
        })
    }

    /// How often a password hash was run.
    pub fn password_hashes_run(&self) -> u64 {
        self.inner.kdf.runs() + self.inner.passwords.runs()
    }

    /// Judges what no verifier knows by the hashes that were brought along, if there are any. `may_ask` is asked before
    /// anything costly, and for whatever site.
    pub(crate) async fn by_imported(
        &self,
        stepped: Stepped,
        evidence: &Evidence,
        site: &SiteCode,
        may_ask: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<(Stepped, Option<ShownKey>), Error> {
        let (Some(_), Evidence::Token(shown)) = (&stepped.shut, evidence) else { return Ok((stepped, None)) };
        let tenant = self.inner.tenant;
        if !self.reader().await?.has_imported_keys(tenant).await? {
            return Ok((stepped, None));
        }
        may_ask()?;
        let turn = self.inner.kdf.turn().await?;
        // While this one waited for its turn another may have shown the same key.
        let stepped = self.claim(evidence).await?;
        if stepped.shut.is_none() {
            return Ok((stepped, None));
        }
        let grant = self.reader().await?.imported_key(tenant, site).await?;
        let hash = grant.as_ref().and_then(|grant| grant.imported.clone());
        let fits = self.inner.kdf.fits(turn, Zeroizing::new(shown.reveal()), hash.clone()).await?;
        Ok(match (grant, hash) {
            (Some(grant), Some(hash)) if fits => {
                let shown = ShownKey {
                    fits: hash,
                    secret: shown.id(),
                    hash: self.inner.pepper.hash(shown),
                    fingerprint: shown.short_fingerprint(),
                    entry: draw!(&*self.inner.ports),
                };
                let entitlement = Entitlement::Grant { id: grant.id, hash: shown.hash };
                let claim = Claim { method: stepped.claim.method, entitlement };
                (Stepped { tenant, claim, shut: None }, Some(shown))
            }
            _ => (stepped, None),
        })
    }
}

struct ImportKey {
    site: SiteId,
    new: NewGrant,
    brought: BroughtKey,
    context: Context,
}

impl Decision for ImportKey {
    const NAME: &'static str = "site.import_key";
    type Facts = BringFacts;
    type Outcome = Grant;

    fn object(&self) -> Object {
        Object::Site(self.site)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<BringFacts, StoreError> {
        let tenant = self.context.tenant;
        let site = reads.site(tenant, self.site).await?;
        let newest = reads.site_key(tenant, self.site).await?;
        Ok(BringFacts { site, newest, earlier: reads.grant(tenant, self.new.id).await? })
    }

    fn decide(&self, facts: BringFacts) -> Result<Plan<Grant>, Refusal> {
        bring_key(self.new.clone(), self.brought.clone(), facts, &self.context)
    }
}
