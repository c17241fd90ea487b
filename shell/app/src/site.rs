//! Operators make sites, list them, and rotate their enrollment keys.

use std::str::FromStr;

use muster_lifecycle::grant::NewGrant;
use muster_lifecycle::repeat::{self, Mark};
use muster_lifecycle::{Context, Plan, Remembered, site};
use muster_model::{
    EnrollmentKey, Grant, GrantKind, GrantState, Labels, Object, Refusal, Secret, SecretForm, SecretKind,
    Site, SiteCode, SiteId, TenantId, TextError,
};
use muster_store::{Decision, Lists, Reads, Store, StoreError, Unscoped};
use muster_wire::site as wire;
use muster_wire::{ListQuery, Page};

use crate::App;
use crate::act::recalled;
use crate::caller::Origin;
use crate::error::Error;
use crate::grant::earlier_grant;
use crate::ports::draw;
use crate::views;

impl<S: Store> App<S> {
    /// Makes a site.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Refusal::NameTaken`], [`Refusal::IdempotencyMismatch`].
    pub async fn create_site(
        &self,
        request: wire::CreateSite,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<wire::Site, Error> {
        let asked = format!("site.create {request:?}");
        let fields = wire::CreateSiteFields::try_from(request)?;
        let context = self.context(origin);
        let site = Site {
            id: draw!(&*self.inner.ports),
            tenant: context.tenant,
            code: fields.code,
            approval: fields.approval,
            requests: fields.requests,
            reimage: fields.reimage,
            seats: fields.seats,
            hold_cap: self.inner.settings.hold_cap,
            created_at: context.now,
        };
        let mark = self.mark(origin, idempotency_key, &asked);
        let site = self.settle(origin, CreateSite { site, mark, context }).await?;
        Ok(views::site(&site, None))
    }

    /// A page of sites.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong cursor.
    pub async fn sites(&self, query: &ListQuery, origin: &Origin) -> Result<Page<wire::Site>, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let binding = self.binding("sites", query, origin);
        let page = binding.page(query.cursor.as_deref(), query.limit)?;
        let mut reads = self.reader().await?;
        let listed = reads.sites(tenant, page).await?;
        let mut items = Vec::with_capacity(listed.items.len());
        for site in &listed.items {
            let key = reads.site_key(tenant, site.id).await?;
            items.push(views::site(site, key.as_ref()));
        }
        Ok(Page { items, next: listed.next.map(|after| binding.seal(after)) })
    }

    /// Makes the next generation of a site's enrollment key.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::IdempotencyMismatch`].
    pub async fn rotate_key(
        &self,
        code: &SiteCode,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<wire::RotatedKey, Error> {
        let site = SiteRef::Code(code.clone());
        Ok(self.rotate_key_in(&site, SecretForm::Native, idempotency_key, origin).await?.0)
    }

    /// The same, written in this form.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::IdempotencyMismatch`].
    pub async fn rotate_key_in(
        &self,
        site: &SiteRef,
        form: SecretForm,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<(wire::RotatedKey, SiteGeneration), Error> {
        let context = self.context(origin);
        let site = self.site_by(context.tenant, site).await?;
        let asked = match form {
            SecretForm::Native => format!("site.rotate_key {}", site.code),
            SecretForm::Prefixed => format!("site.rotate_key {} prefixed", site.code),
        };
        let mark = self.mark(origin, idempotency_key, &asked);
        let secret = self.formed_secret(form, SecretKind::Enroll, mark.as_ref());
        let fingerprint = secret.short_fingerprint();
        let new = self.new_site_key(&secret);
        let grant = self.settle(origin, RotateKey { site: site.id, new, fingerprint, mark, context }).await?;
        let generation = SiteGeneration::of(&grant).ok_or(Refusal::NotFound { what: "enrollment key" })?;
        let rotated = wire::RotatedKey {
            site: site.code.to_string(),
            generation: generation.key.to_string(),
            grant: grant.id.to_string(),
            key: secret.reveal(),
            invite: self.invite(secret).reveal(),
        };
        Ok((rotated, generation))
    }

    pub(crate) fn new_site_key(&self, secret: &Secret) -> NewGrant {
        NewGrant {
            id: draw!(&*self.inner.ports),
            kind: GrantKind::Token,
            secret: secret.id(),
            hash: self.inner.pepper.hash(secret),
            uses: None,
            expires_at: None,
            labels: Labels::default(),
            role: None,
            machine_kind: None,
            approval: false,
        }
    }

    /// The newest generation of a site's enrollment key.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for the site, or for a site that never had a key.
    pub async fn site_generation(&self, site: &SiteRef, origin: &Origin) -> Result<SiteGeneration, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let site = self.site_by(tenant, site).await?;
        let newest = self.reader().await?.site_key(tenant, site.id).await?;
        let generation = newest.as_ref().and_then(SiteGeneration::of);
        generation.ok_or_else(|| Refusal::NotFound { what: "enrollment key" }.into())
    }

    pub(crate) async fn site_by(&self, tenant: TenantId, site: &SiteRef) -> Result<Site, Error> {
        match site {
            SiteRef::Code(code) => self.site_named(tenant, Some(code)).await,
            SiteRef::Id(id) => {
                let found = self.reader().await?.site(tenant, *id).await?;
                found.ok_or_else(|| Refusal::NotFound { what: "site" }.into())
            }
        }
    }
}

/// What names a site: its identifier, or its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteRef {
    /// Its identifier.
    Id(SiteId),
    /// Its code.
    Code(SiteCode),
}

impl FromStr for SiteRef {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        text.parse().map(Self::Id).or_else(|_| text.parse().map(Self::Code))
    }
}

/// A generation of a site's enrollment key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteGeneration {
    /// Of which site.
    pub site: SiteId,
    /// Version and fingerprint.
    pub key: EnrollmentKey,
    /// Whether it lets anybody in.
    pub active: bool,
}

impl SiteGeneration {
    pub(crate) fn of(grant: &Grant) -> Option<Self> {
        let active = matches!(grant.state, GrantState::Live);
        enrollment_key(grant).map(|key| Self { site: grant.site, key, active })
    }
}

struct CreateSite {
    site: Site,
    mark: Option<Mark>,
    context: Context,
}

impl Decision for CreateSite {
    const NAME: &'static str = "site.create";
    type Facts = (Option<Remembered>, Option<Site>);
    type Outcome = Site;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let remembered = recalled(reads, tenant, self.mark.as_ref(), None).await?;
        Ok((remembered, reads.site_by_code(tenant, &self.site.code).await?))
    }

    fn decide(&self, (remembered, same_code): Self::Facts) -> Result<Plan<Site>, Refusal> {
        if repeat::earlier(self.mark.as_ref(), remembered.as_ref())?.is_some() {
            return same_code.map(Plan::unchanged).ok_or(Refusal::NotFound { what: "site" });
        }
        let plan = site::create(self.site.clone(), same_code.as_ref(), &self.context)?;
        Ok(repeat::remember(plan, self.mark.as_ref(), self.site.id.to_string(), &self.context))
    }
}

struct RotateKey {
    site: SiteId,
    new: NewGrant,
    fingerprint: [u8; 2],
    mark: Option<Mark>,
    context: Context,
}

struct RotateFacts {
    remembered: Option<Remembered>,
    earlier: Option<Grant>,
    site: Option<Site>,
    newest: Option<Grant>,
}

impl Decision for RotateKey {
    const NAME: &'static str = "site.rotate_key";
    type Facts = RotateFacts;
    type Outcome = Grant;

    fn object(&self) -> Object {
        Object::Site(self.site)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<RotateFacts, StoreError> {
        let tenant = self.context.tenant;
        let (remembered, earlier) =
            earlier_grant(reads, &self.context, self.mark.as_ref(), self.new.secret).await?;
        let site = reads.site(tenant, self.site).await?;
        Ok(RotateFacts { remembered, earlier, site, newest: reads.site_key(tenant, self.site).await? })
    }

    fn decide(&self, facts: RotateFacts) -> Result<Plan<Grant>, Refusal> {
        if repeat::earlier(self.mark.as_ref(), facts.remembered.as_ref())?.is_some() {
            return facts.earlier.map(Plan::unchanged).ok_or(Refusal::NotFound { what: "grant" });
        }
        let newest = facts.newest.as_ref();
        let plan = site::rotate_key(self.new.clone(), self.fingerprint, facts.site, newest, &self.context)?;
        Ok(repeat::remember(plan, self.mark.as_ref(), self.new.id.to_string(), &self.context))
    }
}

/// How people call a generation of a site's enrollment key.
pub(crate) fn enrollment_key(grant: &Grant) -> Option<EnrollmentKey> {
    match grant.kind {
        GrantKind::SiteKey { version, fingerprint } => Some(EnrollmentKey { version, fingerprint }),
        GrantKind::Token | GrantKind::Machine(_) => None,
    }
}
