//! Operators make, list and end grants; invites are made of them.

use muster_lifecycle::grant::{self, NewGrant};
use muster_lifecycle::repeat::{self, Mark};
use muster_lifecycle::{Context, Plan, Remembered};
use muster_model::{
    Grant, GrantId, GrantKind, Object, ReasonText, Refusal, Secret, SecretId, SecretKind, SignedDuration,
    Site, SiteId,
};
use muster_store::{Decision, Lists, Reads, Store, StoreError, Unscoped};
use muster_wire::grant as wire;
use muster_wire::invite::Invite;
use muster_wire::{ListQuery, Page};

use crate::App;
use crate::act::recalled;
use crate::caller::Origin;
use crate::error::Error;
use crate::ports::draw;
use crate::views;

impl<S: Store> App<S> {
    /// Makes a grant with its token, and an invite of both.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Refusal::NotFound`] for the site, [`Refusal::IdempotencyMismatch`].
    pub async fn create_grant(
        &self,
        request: wire::CreateGrant,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<wire::CreatedGrant, Error> {
        let asked = format!("grant.create {request:?}");
        let fields = wire::CreateGrantFields::try_from(request)?;
        let tenant = self.tenant_of(&origin.caller);
        let site = self.site_named(tenant, fields.site.as_ref()).await?;
        let mark = self.mark(origin, idempotency_key, &asked);
        let secret = self.secret(SecretKind::Enroll, mark.as_ref());
        let context = self.context(origin);
        let new = self.new_grant(fields, &secret, &context);
        let grant = self.settle(origin, CreateGrant { new, site: site.id, mark, context }).await?;
        Ok(wire::CreatedGrant {
            grant: views::grant(&grant, site.code.as_str(), self.now()),
            token: secret.reveal(),
            invite: self.invite(secret).reveal(),
        })
    }

    fn new_grant(&self, fields: wire::CreateGrantFields, secret: &Secret, context: &Context) -> NewGrant {
        NewGrant {
            id: draw!(&*self.inner.ports),
            kind: GrantKind::Token,
            secret: secret.id(),
            hash: self.inner.pepper.hash(secret),
            uses: fields.uses,
            expires_at: Some(context.now + SignedDuration::from_secs(i64::from(fields.expires_in))),
            labels: fields.labels,
            role: fields.role,
            machine_kind: fields.machine_kind,
            approval: fields.approval,
        }
    }

    /// Address, pin and token in one paste.
    pub(crate) fn invite(&self, token: Secret) -> Invite {
        let pin = self.authority().pin().parse().expect("the authority's own pin");
        Invite { url: self.inner.settings.url.clone(), pin, token }
    }

    /// A page of grants, the newest first.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong filter or cursor.
    pub async fn grants(&self, query: &ListQuery, origin: &Origin) -> Result<Page<wire::Grant>, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let site = match &query.site {
            Some(code) => {
                let code = code.parse().map_err(|error| Error::field("site", error))?;
                Some(self.site_named(tenant, Some(&code)).await?.id)
            }
            None => None,
        };
        let binding = self.binding("grants", query, origin);
        let page = binding.page(query.cursor.as_deref(), query.limit)?;
        let mut reads = self.reader().await?;
        let listed = reads.grants(tenant, site, page).await?;
        let mut items = Vec::with_capacity(listed.items.len());
        for grant in &listed.items {
            let site = reads.site(tenant, grant.site).await?;
            let code = site.as_ref().map_or("", |site| site.code.as_str());
            items.push(views::grant(grant, code, self.now()));
        }
        Ok(Page { items, next: listed.next.map(|after| binding.seal(after)) })
    }

    /// Ends a grant.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn revoke_grant(
        &self,
        id: GrantId,
        said: Option<ReasonText>,
        origin: &Origin,
    ) -> Result<wire::Grant, Error> {
        let context = self.context(origin);
        let tenant = context.tenant;
        let grant = self.settle(origin, RevokeGrant { id, said, context }).await?;
        let site = self.reader().await?.site(tenant, grant.site).await?;
        Ok(views::grant(&grant, site.as_ref().map_or("", |site| site.code.as_str()), self.now()))
    }
}

struct CreateGrant {
    new: NewGrant,
    site: SiteId,
    mark: Option<Mark>,
    context: Context,
}

impl Decision for CreateGrant {
    const NAME: &'static str = "grant.create";
    type Facts = (Option<Remembered>, Option<Grant>, Option<Site>);
    type Outcome = Grant;

    fn object(&self) -> Object {
        Object::Site(self.site)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let (remembered, earlier) =
            earlier_grant(reads, &self.context, self.mark.as_ref(), self.new.secret).await?;
        Ok((remembered, earlier, reads.site(self.context.tenant, self.site).await?))
    }

    fn decide(&self, (remembered, earlier, site): Self::Facts) -> Result<Plan<Grant>, Refusal> {
        if repeat::earlier(self.mark.as_ref(), remembered.as_ref())?.is_some() {
            return earlier.map(Plan::unchanged).ok_or(Refusal::NotFound { what: "grant" });
        }
        let plan = grant::create(self.new.clone(), site, &self.context)?;
        Ok(repeat::remember(plan, self.mark.as_ref(), self.new.id.to_string(), &self.context))
    }
}

/// What a marked request made before, where it made a grant.
pub(crate) async fn earlier_grant<R: Reads + Unscoped>(
    reads: &mut R,
    context: &Context,
    mark: Option<&Mark>,
    derived: SecretId,
) -> Result<(Option<Remembered>, Option<Grant>), StoreError> {
    let remembered = recalled(reads, context.tenant, mark, Some(derived)).await?;
    let grant = match remembered.as_ref().and_then(|known| known.object.parse().ok()) {
        Some(id) => reads.grant(context.tenant, id).await?,
        None => None,
    };
    Ok((remembered, grant))
}

struct RevokeGrant {
    id: GrantId,
    said: Option<ReasonText>,
    context: Context,
}

impl Decision for RevokeGrant {
    const NAME: &'static str = "grant.revoke";
    type Facts = Option<Grant>;
    type Outcome = Grant;

    fn object(&self) -> Object {
        Object::Grant(self.id)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Grant>, StoreError> {
        reads.grant(self.context.tenant, self.id).await
    }

    fn decide(&self, grant: Option<Grant>) -> Result<Plan<Grant>, Refusal> {
        grant::revoke(grant, self.said.clone(), &self.context)
    }
}
