//! Operators' tokens, login links and sessions.

use muster_lifecycle::repeat::{self, Mark};
use muster_lifecycle::{Context, Plan, Remembered, access};
use muster_model::text::DisplayName;
use muster_model::{
    AccessKind, AccessToken, AccessTokenId, Object, Operator, OperatorId, OperatorRole, Refusal, Secret,
    SecretHash, SecretKind, SignedDuration, TenantId,
};
use muster_store::{Decision, Lists, Reads, Store, StoreError, Unscoped};
use muster_wire::access as wire;
use muster_wire::{ListQuery, Page};

use crate::App;
use crate::act::recalled;
use crate::api_key::ConfinedToken;
use crate::caller::{Caller, Origin};
use crate::error::Error;
use crate::ports::draw;
use crate::views;

impl<S: Store> App<S> {
    /// Makes an API token.
    ///
    /// # Errors
    /// [`Error::Malformed`]; [`Refusal::Forbidden`] for a role above the maker's, and for one that is not confined made by one
    /// that is; [`Refusal::IdempotencyMismatch`].
    pub async fn create_token(
        &self,
        request: wire::CreateToken,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<wire::CreatedToken, Error> {
        let asked = format!("token.create {request:?}");
        let fields = wire::CreateTokenFields::try_from(request)?;
        if let Some(scopes) = fields.scopes {
            let wished =
                ConfinedToken { name: fields.name, scopes, team: None, expires_in: fields.expires_in };
            let (token, secret) = self.create_confined_token(wished, idempotency_key, origin).await?;
            return Ok(wire::CreatedToken { token: views::token(&token, self.now()), secret });
        }
        self.unconfined(origin, CreateToken::NAME).await?;
        let maker = origin.caller.operator()?;
        let holder = self.acting(origin).await?;
        let mark = self.mark(origin, idempotency_key, &asked);
        let secret = self.secret(SecretKind::Api, mark.as_ref());
        let context = self.context(origin);
        let life = SignedDuration::from_secs(i64::from(fields.expires_in));
        let new = NewToken { kind: AccessKind::Api, name: fields.name, role: fields.role, life };
        let token = self.new_token(new, holder, &secret, &context);
        let maker = maker.role;
        let token = self.settle(origin, CreateToken { token, maker, mark, context }).await?;
        Ok(wire::CreatedToken { token: views::token(&token, self.now()), secret: secret.reveal() })
    }

    /// Makes a one-time login link for whoever sits on the server's own host: an address whose fragment, which no server ever
    /// sees in a request line, holds the secret.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn login_link(&self, operator: OperatorId) -> Result<String, Error> {
        let local = Origin { caller: self.local_admin(operator), source: None };
        let acting = self.acting(&local).await?;
        let origin = Origin { caller: self.local_admin(acting), source: None };
        self.link(acting, OperatorRole::Admin, &origin).await
    }

    /// Spends a login link on a session; the secret of the session goes into a cookie.
    ///
    /// # Errors
    /// [`Refusal::NotAuthenticated`] alike for whatever is wrong with the link.
    pub async fn login(
        &self,
        request: &wire::Login,
        origin: &Origin,
    ) -> Result<(String, SignedDuration), Error> {
        self.may_change()?;
        let refused = Refusal::NotAuthenticated { cause: "login_secret" };
        let link: Secret = match request.login.parse() {
            Ok(link) => link,
            Err(_not_a_secret) => return Err(self.refuse(origin, Login::NAME, refused).await),
        };
        let presented = self.inner.pepper.hash(&link);
        let known = self.reader().await?.access_by_secret(link.id()).await?;
        let Some(known) = known.filter(|known| known.hash == presented) else {
            return Err(self.refuse(origin, Login::NAME, refused).await);
        };
        let caller = self.local_admin(known.operator);
        let context = self.context(&Origin { caller, source: origin.source });
        let secret = self.secret(SecretKind::Session, None);
        let life = self.inner.settings.session_life;
        let new =
            NewToken { kind: AccessKind::Session, name: name("browser session"), role: known.role, life };
        let session = self.new_token(new, known.operator, &secret, &context);
        self.settle(origin, Login { link: known.id, presented, session, context }).await?;
        Ok((secret.reveal(), life))
    }

    pub(crate) fn new_token(
        &self,
        new: NewToken,
        operator: OperatorId,
        secret: &Secret,
        context: &Context,
    ) -> AccessToken {
        AccessToken {
            id: draw!(&*self.inner.ports),
            tenant: context.tenant,
            operator,
            kind: new.kind,
            name: new.name,
            role: new.role,
            secret: secret.id(),
            hash: self.inner.pepper.hash(secret),
            created_at: context.now,
            expires_at: context.now + new.life,
            ended_at: None,
            scope: None,
            entrance: None,
        }
    }

    /// A page of tokens, the newest first.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong cursor.
    pub async fn tokens(&self, query: &ListQuery, origin: &Origin) -> Result<Page<wire::Token>, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let binding = self.binding("tokens", query, origin);
        let page = binding.page(query.cursor.as_deref(), query.limit)?;
        let listed = self.reader().await?.access_tokens(tenant, page).await?;
        let now = self.now();
        let items = listed.items.iter().map(|token| views::token(token, now)).collect();
        Ok(Page { items, next: listed.next.map(|after| binding.seal(after)) })
    }

    /// Ends a token.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn revoke_token(&self, id: AccessTokenId, origin: &Origin) -> Result<wire::Token, Error> {
        let context = self.context(origin);
        let token = self.settle(origin, EndToken { id, confined: false, context }).await?;
        Ok(views::token(&token, self.now()))
    }

    /// Ends the session or token that a secret belongs to.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn logout(&self, secret: &str, origin: &Origin) -> Result<(), Error> {
        let Ok(secret) = secret.parse::<Secret>() else { return Ok(()) };
        let known = self.reader().await?.access_by_secret(secret.id()).await?;
        match known.filter(|known| known.hash == self.inner.pepper.hash(&secret)) {
            Some(known) => {
                let caller = self.local_admin(known.operator);
                let holder = Origin { caller, source: origin.source };
                self.revoke_token(known.id, &holder).await.map(drop)
            }
            None => Ok(()),
        }
    }
}

pub(crate) struct NewToken {
    pub(crate) kind: AccessKind,
    pub(crate) name: DisplayName,
    pub(crate) role: OperatorRole,
    pub(crate) life: SignedDuration,
}

pub(crate) fn name(text: &str) -> DisplayName {
    text.parse().expect("a short phrase is a valid name")
}

pub(crate) struct CreateToken {
    pub(crate) token: AccessToken,
    pub(crate) maker: OperatorRole,
    pub(crate) mark: Option<Mark>,
    pub(crate) context: Context,
}

impl Decision for CreateToken {
    const NAME: &'static str = "token.create";
    type Facts = (Option<Remembered>, Option<AccessToken>, Option<Operator>);
    type Outcome = AccessToken;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let remembered = recalled(reads, tenant, self.mark.as_ref(), Some(self.token.secret)).await?;
        let earlier = match remembered.as_ref().and_then(|known| known.object.parse().ok()) {
            Some(id) => reads.access_token(tenant, id).await?,
            None => None,
        };
        Ok((remembered, earlier, reads.operator(tenant, self.token.operator).await?))
    }

    fn decide(&self, (remembered, earlier, holder): Self::Facts) -> Result<Plan<AccessToken>, Refusal> {
        // Asked first also of a repetition: its answer holds the secret.
        let plan = access::create_token(self.token.clone(), holder.as_ref(), self.maker, &self.context)?;
        if repeat::earlier(self.mark.as_ref(), remembered.as_ref())?.is_some() {
            return earlier.map(Plan::unchanged).ok_or(Refusal::NotFound { what: "token" });
        }
        Ok(repeat::remember(plan, self.mark.as_ref(), self.token.id.to_string(), &self.context))
    }
}

struct Login {
    link: AccessTokenId,
    presented: SecretHash,
    session: AccessToken,
    context: Context,
}

impl Decision for Login {
    const NAME: &'static str = "session.open";
    type Facts = (Option<AccessToken>, Option<Operator>);
    type Outcome = AccessToken;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let holder = reads.operator(tenant, self.session.operator).await?;
        let link = reads.access_token(tenant, self.link).await?;
        Ok((link.filter(|link| link.hash == self.presented), holder))
    }

    fn decide(&self, (link, holder): Self::Facts) -> Result<Plan<AccessToken>, Refusal> {
        access::login(link, holder.as_ref(), self.session.clone(), &self.context)
    }
}

pub(crate) struct EndToken {
    pub(crate) id: AccessTokenId,
    /// Whether it ends confined tokens alone.
    pub(crate) confined: bool,
    pub(crate) context: Context,
}

impl Decision for EndToken {
    const NAME: &'static str = "token.revoke";
    type Facts = Option<AccessToken>;
    type Outcome = AccessToken;

    fn object(&self) -> Object {
        Object::AccessToken(self.id)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<AccessToken>, StoreError> {
        let token = reads.access_token(self.context.tenant, self.id).await?;
        Ok(if self.confined { access::confined(token) } else { token })
    }

    fn decide(&self, token: Option<AccessToken>) -> Result<Plan<AccessToken>, Refusal> {
        access::end_token(token, &self.context)
    }
}

impl Caller {
    /// What an operator has shown, and as what it was let in by it. On the server's own host nothing is shown.
    pub(crate) fn shown(&self) -> Option<(TenantId, AccessTokenId, OperatorRole)> {
        let Self::Operator(operator) = self else { return None };
        operator.token.map(|token| (operator.tenant, token, operator.role))
    }

    /// Whether this caller is an operator by a token that is not confined: those are handed to programs.
    pub(crate) fn is_person(&self) -> bool {
        matches!(self, Self::Operator(operator) if operator.scope.is_none())
    }

    /// Whether this caller sits on the server's own host.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Operator(operator) if operator.local)
    }
}
